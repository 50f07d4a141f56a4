package hub

import (
	"bytes"
	"errors"
	"io"
	"net"
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
		pending:  make(map[net.Conn]struct{}),
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

	mu      sync.Mutex            // guards the following fields
	pending map[net.Conn]struct{} // of which nothing is known yet; nil after Close
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
	l.once.Do(func() {
		close(l.closed)
		l.mu.Lock()
		for nc := range l.pending {
			nc.Close()
		}
		l.pending = nil
		l.mu.Unlock()
	})
	l.wg.Wait()
	return err
}

// run accepts until the listener is closed.
func (l *listener) run() {
	for {
		nc, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		_, tcp := nc.(*net.TCPConn)
		if err == nil && tcp && l.track(nc) {
			l.wg.Go(func() { l.sort(nc) })
			continue
		}
		if !l.pass(nc, err) {
			return
		}
	}
}

// track notes that nothing is known of nc, unless the listener is closed.
func (l *listener) track(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending != nil {
		l.pending[nc] = struct{}{}
	}
	return l.pending != nil
}

func (l *listener) untrack(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, nc)
}

// pass hands a connection, or an error, to Accept. It returns false when the listener is closed.
func (l *listener) pass(nc net.Conn, err error) bool {
	select {
	case l.accepted <- accepted{nc, err}:
		return true
	case <-l.closed:
		if nc != nil {
			nc.Close()
		}
		return false
	}
}

// sort finds out for whom a connection is.
func (l *listener) sort(nc net.Conn) {
	buf := heads.Get().(*[maxHead]byte)
	defer heads.Put(buf)
	head, err := readHead(nc, buf[:], l.hub.opts.HandshakeTimeout)
	l.untrack(nc)
	if err != nil {
		nc.Close()
		return
	}
	if c := l.hub.upgrade(nc, head, l.paths); c != nil {
		c.start()
		return
	}
	l.pass(&replayed{nc, bytes.Clone(head)}, nil)
}

// maxHead is the largest header of a request that is looked at here. Those of upgrades have some 500 bytes, without cookies.
const maxHead = 8 << 10

var heads = sync.Pool{New: func() any { return new([maxHead]byte) }}

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

// readHead reads until all of a request's header is there, or as much as this is made for, or it cannot be an upgrade.
func readHead(nc net.Conn, buf []byte, timeout time.Duration) ([]byte, error) {
	nc.SetReadDeadline(time.Now().Add(timeout))
	defer nc.SetReadDeadline(time.Time{})
	have := 0
	for {
		n, err := nc.Read(buf[have:])
		have += n
		if err != nil {
			return nil, err
		}
		b := buf[:have]
		if !bytes.HasPrefix(b, []byte("GET /")) && len(b) >= len("GET /") || len(b) == len(buf) ||
			bytes.Contains(b, []byte("\r\n\r\n")) {
			return b, nil
		}
	}
}

// upgrade returns a registered connection with the answer to its upgrade queued, or nil where head does not begin with a
// request that the hub takes; net/http and ServeHTTP then give the answer.
func (h *Hub) upgrade(nc net.Conn, head []byte, paths []string) *conn {
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	head, rest := head[:end+4], head[end+4:]
	var origin string
	var forwarded, offered []string
	up := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			path, _, _ := strings.Cut(string(uri), "?")
			if !slices.Contains(paths, path) {
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
		return nil
	}
	c := newConn(h, nc)
	c.shoal = hs.Protocol == protocol.Subprotocol
	c.addr = h.clientAddr(nc.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), forwarded)
	if h.check(c.addr, origin) != nil || h.register(c) != nil {
		answer.free()
		return nil
	}
	c.out.queued = answer
	c.rest = bytes.Clone(rest)
	return c
}

var errNotOurs = errors.New("hub: request is not for the hub")

// readWriter is a request to read and a place for its answer.
type readWriter struct {
	io.Reader
	io.Writer
}
