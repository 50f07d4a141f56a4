package turn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// firstWait is how long a TCP connection may take to say something, the TLS handshake included.
	firstWait = 15 * time.Second
	// idleWait is how long one may be silent: longer than between two refreshes of an allocation that lives 10 minutes.
	idleWait = 12 * time.Minute
	// writeWait is how long a client may take to read what it is sent before it is cut off.
	writeWait = 10 * time.Second
	// acceptWait is the pause after an accept, or a read of the UDP socket, that failed for lack of resources.
	acceptWait = 100 * time.Millisecond
)

// gate counts TCP connections, of all listeners together.
type gate struct {
	opts *Options

	mu    sync.Mutex // guards the following fields
	conns int
	addrs map[netip.Addr]int
}

func newGate(opts *Options) *gate { return &gate{opts: opts, addrs: make(map[netip.Addr]int)} }

func (g *gate) enter(addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns >= g.opts.MaxConns || g.addrs[addr] >= g.opts.MaxConnsPerIP {
		return false
	}
	g.conns++
	g.addrs[addr]++
	return true
}

func (g *gate) leave(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns--
	if g.addrs[addr]--; g.addrs[addr] == 0 {
		delete(g.addrs, addr)
	}
}

// listener gives pion's server the TCP connections. It does what that leaves undone: limits, timeouts, and an end.
type listener struct {
	net.Listener
	gate   *gate
	config *tls.Config // nil for plain TCP
	wg     *sync.WaitGroup
	closed chan struct{}

	mu    sync.Mutex // guards the following fields
	conns map[*conn]struct{}
	over  bool
}

// newListener returns a listener for which wg counts, until its Accept has told that it is closed.
func newListener(l net.Listener, g *gate, config *tls.Config, wg *sync.WaitGroup) net.Listener {
	wg.Add(1)
	return &listener{Listener: l, gate: g, config: config, wg: wg, closed: make(chan struct{}), conns: make(map[*conn]struct{})}
}

// Accept returns the next connection that is within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			l.wg.Done()
			return nil, err
		case err != nil:
			pause(acceptWait, l.closed)
			continue
		}
		if c := l.take(nc); c != nil {
			return c, nil
		}
		nc.Close()
	}
}

func (l *listener) take(nc net.Conn) *conn {
	addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.gate.enter(addr) {
		return nil
	}
	c := &conn{Conn: nc, owner: l, addr: addr, wait: firstWait}
	if l.config != nil {
		c.Conn = tls.Server(nc, l.config)
	}
	l.conns[c] = struct{}{}
	l.wg.Add(1)
	return c
}

// Close closes the listener and its connections.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.closed)
	}
	for c := range l.conns {
		c.SetDeadline(time.Now()) // ends the reading; pion's server then closes it
		c.Conn.Close()
	}
	return err
}

// conn is a connection with timeouts. Its TLS handshake takes place in the first Read.
type conn struct {
	net.Conn
	owner *listener
	addr  netip.Addr
	wait  time.Duration // for the next Read; used by its caller alone
	once  sync.Once
}

// Read is called by one goroutine.
func (c *conn) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(c.wait))
	n, err := c.Conn.Read(p)
	c.wait = idleWait
	return n, err
}

// Write closes the connection when it fails, for it may have been in the middle of something.
func (c *conn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(writeWait))
	n, err := c.Conn.Write(p)
	if err != nil {
		c.Conn.Close()
	}
	return n, err
}

// Close is called by pion's server when it has done with the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.owner.mu.Lock()
		delete(c.owner.conns, c)
		c.owner.mu.Unlock()
		c.owner.gate.leave(c.addr)
		c.owner.wg.Done()
	})
	return err
}

// packetConn is the UDP socket. Reading from it fails only when it is closed.
type packetConn struct {
	net.PacketConn
	wg     *sync.WaitGroup
	once   sync.Once
	closed chan struct{}
}

// newPacketConn returns a socket for which wg counts, until its ReadFrom has told that it is closed.
func newPacketConn(c net.PacketConn, wg *sync.WaitGroup) net.PacketConn {
	wg.Add(1)
	return &packetConn{PacketConn: c, wg: wg, closed: make(chan struct{})}
}

// ReadFrom is called by one goroutine.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := p.PacketConn.ReadFrom(b)
		switch {
		case err == nil:
			return n, addr, nil
		case errors.Is(err, net.ErrClosed):
			p.wg.Done()
			return 0, nil, err
		}
		pause(acceptWait, p.closed)
	}
}

// Close closes the socket.
func (p *packetConn) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.PacketConn.Close()
}

// pause waits, until closed is.
func pause(d time.Duration, closed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-closed:
	}
}
