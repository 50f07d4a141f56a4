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

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Listener returns a listener for an http.Server on whose handler the hub is at paths. Connections of ln that begin with a
// proper WebSocket upgrade of one of them go to the hub at once, and the server never sees them; it gets all others, upgrades
// with something amiss included, as if they came from ln. The way round net/http makes a connection cost less than half (see
// bench/signaling). The listener takes ln over: use it instead. Closing it closes ln and ends what has not yet said what it is.
func (h *Hub) Listener(ln net.Listener, paths ...string) net.Listener {
	l := &listener{
		Listener: ln,
		acceptor: h.poller.acceptor(ln),
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
	net.Listener // closed where there is an acceptor
	acceptor     *acceptor
	hub          *Hub
	paths        []string
	accepted     chan accepted
	closed       chan struct{}
	once         sync.Once
	wg           sync.WaitGroup
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
	err := l.stop()
	l.once.Do(func() { close(l.closed) })
	l.wg.Wait()
	l.hub.dropPending(func(c *conn) bool { return c.from == l })
	return err
}

func (l *listener) stop() error {
	if l.acceptor != nil {
		return l.acceptor.close()
	}
	return l.Listener.Close()
}

// run accepts until the listener is closed.
func (l *listener) run() {
	for {
		nc, err := l.next()
		if nc == nil && err == nil {
			continue
		}
		if !l.pass(nc, err, nil) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// next accepts a connection. It returns nil for one that the hub has.
func (l *listener) next() (net.Conn, error) {
	if l.acceptor == nil {
		return l.Listener.Accept()
	}
	s, peer, err := l.acceptor.accept()
	if err != nil {
		return nil, err
	}
	return l.take(s, peer), nil
}

// take has a socket looked at when it says something. It returns it where the HTTP server should see to it.
func (l *listener) take(s *socket, peer netip.Addr) net.Conn {
	c := newConn(l.hub, nil, s)
	c.peer, c.addr = peer, l.hub.clientAddr(peer, nil)
	switch err := l.hub.expect(c, l); {
	case errors.Is(err, net.ErrClosed):
		nc, _ := s.release() // nil without it, which is then closed
		return nc
	case err != nil:
		l.hub.stats.refuse(err)
		c.cut()
	default:
		c.watch()
		c.wait()
	}
	return nil
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
	c.from = l
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return net.ErrClosed
	case len(h.pending) >= h.opts.MaxConns, h.silent[c.addr] >= h.opts.MaxConnsPerAddress && !h.trusted(c.peer):
		return errTooMany
	}
	h.pending[c] = struct{}{}
	h.silent[c.addr]++
	h.live.Add(1)
	return nil
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

// dropPending ends the conns of which nothing is known yet and that match.
func (h *Hub) dropPending(match func(c *conn) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.pending {
		if match(c) {
			c.shut()
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
		c.shut()
		return gone
	case end < 0 && !hopeless:
		c.keep(b)
		return waiting
	}
	l, addr := c.from, c.addr
	if end >= 0 && w.hub.upgrade(c, b[:end+4]) {
		w.hub.settled(c, addr)
		c.from = nil
		c.keep(b[end+4:])
		c.start()
		return gone
	}
	w.hub.settled(c, addr)
	if nc, err := c.sock.release(); err == nil {
		early := bytes.Clone(b)
		w.hub.wg.Go(func() { l.pass(&replayed{nc, early}, nil, w.hub.stop) }) // the HTTP server may not take it at once
	}
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
		c.addr = h.clientAddr(c.peer, forwarded)
	}
	c.out.queued = answer // before the hub knows it, for then anybody may queue more
	if h.check(c.addr, origin) != nil || h.register(c) != nil {
		c.out.queued = nil
		answer.free()
		return false
	}
	return true
}

var errNotOurs = errors.New("hub: request is not for the hub")

// readWriter is a request to read and a place for its answer.
type readWriter struct {
	io.Reader
	io.Writer
}
