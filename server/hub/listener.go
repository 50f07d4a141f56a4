package hub

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Listener returns a listener for an http.Server on whose handler the hub is at paths. Connections of ln that begin with a
// proper WebSocket upgrade of one of them go to the hub at once, and the server never sees them; it gets all others, upgrades
// with something amiss included, as if they came from ln. The way round net/http makes a connection cost less than half (see
// bench/signaling). Closing the listener closes ln and ends what has not yet said what it is.
func (h *Hub) Listener(ln net.Listener, paths ...string) net.Listener {
	l := &listener{
		Listener: ln,
		hub:      h,
		paths:    paths,
		accepted: make(chan accepted),
		closed:   make(chan struct{}),
	}
	l.wg.Go(l.run)
	return l
}

type accepted struct {
	conn net.Conn
	err  error
}

type listener struct {
	net.Listener
	hub      *Hub
	paths    []string
	accepted chan accepted
	closed   chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// Accept returns the next connection that is not for the hub.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and waits until nothing of it runs any more.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	l.wg.Wait()
	l.hub.dropPending(l)
	return err
}

// run accepts until the listener is closed.
func (l *listener) run() {
	for {
		nc, err := l.Listener.Accept()
		if err == nil && l.take(nc) {
			continue
		}
		if !l.pass(nc, err, nil) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// take has a connection looked at when it says something. It returns false where the HTTP server should see to it.
func (l *listener) take(nc net.Conn) bool {
	c := newConn(l.hub, nc)
	if c.raw == nil {
		return false
	}
	c.addr = l.hub.clientAddr(socketAddr(nc), nil)
	switch err := l.hub.expect(c, l); {
	case errors.Is(err, net.ErrClosed):
		return false
	case err != nil:
		l.hub.stats.refuse(err)
		c.cut()
	default:
		go c.wait()
	}
	return true
}

// pass hands a connection, or an error, to Accept. It returns false when the listener is closed, or stop is.
func (l *listener) pass(nc net.Conn, err error, stop <-chan struct{}) bool {
	select {
	case l.accepted <- accepted{nc, err}:
		return true
	case <-l.closed:
	case <-stop:
	}
	if nc != nil {
		nc.Close()
	}
	return false
}

// expect notes a conn of which nothing is known yet. Their number is limited as that of WebSockets is.
func (h *Hub) expect(c *conn, l *listener) error {
	c.nc.SetReadDeadline(time.Now().Add(h.opts.HandshakeTimeout))
	c.from = l
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return net.ErrClosed
	case len(h.pending) >= h.opts.MaxConns, h.silent[c.addr] >= h.opts.MaxConnsPerAddress && !h.trusted(socketAddr(c.nc)):
		return errTooMany
	}
	h.pending[c] = struct{}{}
	h.silent[c.addr]++
	h.live.Add(1)
	return nil
}

// socketAddr is the address of a TCP socket's other end.
func socketAddr(nc net.Conn) netip.Addr {
	return nc.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

var errTooMany = &refusal{reason: reasonSilent, text: "hub: too many connections that say nothing"}

// settled undoes expect.
func (h *Hub) settled(c *conn, addr netip.Addr) {
	h.mu.Lock()
	delete(h.pending, c)
	if h.silent[addr]--; h.silent[addr] == 0 {
		delete(h.silent, addr)
	}
	h.mu.Unlock()
	h.live.Done()
}

// dropPending ends the conns of a listener, or of all for nil, of which nothing is known yet.
func (h *Hub) dropPending(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.pending {
		if l == nil || c.from == l {
			c.nc.Close()
		}
	}
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	early []byte
}

// Read reads what was read already, then from the connection.
func (r *replayed) Read(b []byte) (int, error) {
	if len(r.early) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.early)
	r.early = r.early[n:]
	return n, nil
}

// maxHead is the largest header of a request that is looked at here. Those of upgrades have some 500 bytes, without cookies.
const maxHead = 8 << 10

// sortOut finds out for whom a connection is of which the worker's buffer holds what came so far.
func (w *worker) sortOut(c *conn) verdict {
	b := w.buf
	end := bytes.Index(b, []byte("\r\n\r\n"))
	hopeless := !bytes.HasPrefix(b, []byte("GET /")) && len(b) >= len("GET /") || len(b) >= maxHead
	switch {
	case c.err != nil:
		w.hub.settled(c, c.addr)
		c.nc.Close()
		return gone
	case end < 0 && !hopeless:
		c.keep(b)
		return waiting
	}
	l, addr := c.from, c.addr
	c.nc.SetReadDeadline(time.Time{})
	if end >= 0 && w.hub.upgrade(c, b[:end+4]) {
		w.hub.settled(c, addr)
		c.from = nil
		c.keep(b[end+4:])
		c.start()
		return gone
	}
	w.hub.settled(c, addr)
	early := bytes.Clone(b)
	w.hub.wg.Go(func() { l.pass(&replayed{c.nc, early}, nil, w.hub.stop) }) // the HTTP server may not take it at once
	return gone
}

// upgrade registers a conn and queues the answer to its upgrade. It returns false where head is not a request that the hub
// takes; net/http and ServeHTTP then give the answer.
func (h *Hub) upgrade(c *conn, head []byte) bool {
	var origin, token string
	var forwarded, offered []string
	up := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			path, query, _ := strings.Cut(string(uri), "?")
			token = urlToken(query)
			if !slices.Contains(c.from.paths, path) {
				return errNotOurs
			}
			return nil
		},
		ProtocolCustom: func(v []byte) (string, bool) {
			offered = append(offered, string(v))
			if offers(offered, protocol.Subprotocol) {
				return protocol.Subprotocol, true
			}
			return "", true
		},
		OnHeader: func(key, value []byte) error {
			switch string(key) {
			case "Origin":
				origin = string(value)
			case "X-Forwarded-For":
				forwarded = append(forwarded, string(value))
			case "Content-Length", "Transfer-Encoding":
				return errNotOurs
			}
			return nil
		},
	}
	answer := outbufs.Get().(*outbuf)
	hs, err := up.Upgrade(readWriter{bytes.NewReader(head), answer})
	if err != nil || len(offered) > 0 && hs.Protocol == "" {
		answer.free()
		return false
	}
	c.shoal, c.token = hs.Protocol == protocol.Subprotocol, token
	if len(forwarded) > 0 {
		c.addr = h.clientAddr(socketAddr(c.nc), forwarded)
	}
	if h.check(c.addr, origin) != nil || h.register(c) != nil {
		answer.free()
		return false
	}
	c.out.queued = answer
	return true
}

var errNotOurs = errors.New("hub: request is not for the hub")

// readWriter is a request to read and a place for its answer.
type readWriter struct {
	io.Reader
	io.Writer
}
