package hub

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// conn is one WebSocket. It is made for the many that are idle: such a one is a small struct and nothing else, where its socket is one that the
// hub's poller can wait for. What comes is read and handled by one of the hub's few workers, which have the buffers.
//
// At any time a conn belongs to one goroutine, a worker or whoever it is parked with, or, idle, to nobody: a worker
// takes it from the poller when there is input. The goroutine owns the fields that are not marked otherwise. Anybody may queue messages for it.
type conn struct {
	hub   *Hub
	nc    net.Conn   // of TLS for one; nil with sock
	sock  *socket    // nil with nc
	peer  netip.Addr // the socket's other end
	addr  netip.Addr // that under which its connections are counted
	state atomic.Uint32
	from  *listener // while it is not known what the connection is for
	shoal bool      // speaks shoal.v1

	remote  string // the node that has the connection, "" for this one; see Remote
	id      string // set once, before known; anybody may read it after that
	token   string // from the URL, for joins that have none
	garbled bool   // its input makes no sense any more
	fresh   bool   // there is input that was not read yet
	err     error  // why there will be no more input
	bucket  bucket
	relay   *bucket       // of relayed bytes; nil before the first
	rest    []byte        // input that was read but not handled
	parts   []byte        // what came so far of a message in several frames
	partial bool          // there is such a message
	entry   *entry        // to a room, asked for and then decided
	delay   time.Duration // until the client has paid for what it did

	since  atomic.Int64  // when the peer got this connection, see Presence; set with id
	known  atomic.Bool   // it has a peer id: at once, or when a Shoal client has said hello
	pinged atomic.Bool   // since it was heard
	heard  atomic.Uint32 // tick of the last frame
	spoke  atomic.Uint32 // tick of the last message
	ending atomic.Uint32 // tick at which the server began to end it, 0 when it did not
	stuck  atomic.Uint32 // tick since which one piece of output is on its way, 0 for none
	iced   atomic.Uint32 // which ICE servers the client was told last
	iceDue atomic.Uint32 // tick at which it is to be told again, 0 for never

	expires atomic.Int64 // Unix time at which the first of the grants ends, 0 for never
	roomsMu sync.Mutex   // guards rooms; no other lock is taken while it is held
	rooms   []membership

	out outbox
}

// The states of a conn with a socket.
const (
	busy  = iota // it belongs to somebody
	again        // the same, and more has come since
	idle
)

// newConn wraps an accepted connection, which is nc or else sock.
func newConn(h *Hub, nc net.Conn, sock *socket) *conn {
	c := &conn{hub: h, nc: nc, sock: sock}
	if sock != nil {
		sock.owner = c
	}
	c.out.flushing = true // until start
	now := h.tick.Load()
	c.heard.Store(now)
	c.spoke.Store(now)
	c.bucket = bucket{tokens: float64(h.opts.Burst), filled: time.Now(), tick: now}
	return c
}

// watch begins to look for input; wait has to follow.
func (c *conn) watch() {
	if c.sock != nil && c.hub.poller.watch(c.sock) != nil {
		c.cut()
	}
}

// start sends what is queued for a registered conn and sees to its input.
func (c *conn) start() {
	if !c.shoal {
		c.sendInit(&batch{})
	}
	c.flush()
	if len(c.rest) > 0 {
		c.hub.give(c)
	} else {
		c.wait()
	}
}

// give has a worker see to a conn. It does not block.
func (h *Hub) give(c *conn) {
	select {
	case h.ready <- c:
	default:
		go func() { h.ready <- c }() // for the conn, which is live, Close waits
	}
}

// wait gives a conn up until there is input.
func (c *conn) wait() {
	switch {
	case c.sock == nil:
		go c.readPlain()
	case !c.state.CompareAndSwap(busy, idle):
		c.state.Store(busy)
		c.fresh = true
		c.hub.give(c)
	}
}

// wake has a worker see to a conn for which something has come. Anybody may call it.
func (c *conn) wake() {
	if c.claim() {
		c.hub.give(c)
	}
}

// claim notes that something has come. It reports whether the conn is the caller's then; whoever else it belongs to sees to it.
func (c *conn) claim() bool {
	for {
		switch c.state.Load() {
		case idle:
			if c.state.CompareAndSwap(idle, busy) {
				c.fresh = true
				return true
			}
		case busy:
			if c.state.CompareAndSwap(busy, again) {
				return false
			}
		default:
			return false
		}
	}
}

func (c *conn) dialect() protocol.Dialect {
	if c.shoal {
		return protocol.DialectShoal
	}
	return protocol.DialectRxDB
}

// plainRead is how much is read at once from a socket that is not a plain TCP one.
const plainRead = 4 << 10

// readPlain waits for input with a buffer in hand, as crypto/tls for one must. It is the whole life of a goroutine, so that a stack that
// grew is not kept while nothing comes.
func (c *conn) readPlain() {
	var buf [plainRead]byte
	n, err := c.nc.Read(buf[:])
	c.rest = append(c.rest, buf[:n]...)
	c.err = err
	c.hub.ready <- c
}

// write writes some of b, and waits until that is possible.
func (c *conn) write(b []byte) (int, error) {
	if c.sock != nil {
		return c.sock.send(b)
	}
	return c.nc.Write(b)
}

// shut closes the connection. Anybody may call it.
func (c *conn) shut() {
	if c.sock == nil {
		c.nc.Close()
		return
	}
	c.sock.close(false)
	c.wake()
}

// name is the peer's id for the log, "" before it has one.
func (c *conn) name() string {
	if c.known.Load() {
		return c.id
	}
	return ""
}

// end tells the client that the server ends the connection, and why; the client has a moment to close it. What it sends
// from now on is dropped. Anybody may call end.
func (c *conn) end(code protocol.Code, text string) { c.endWith(code, closeStatus(code), text) }

func (c *conn) endWith(code protocol.Code, status ws.StatusCode, text string) {
	if !c.ending.CompareAndSwap(0, c.hub.tick.Load()) {
		return
	}
	c.hub.stats.cutFor(reason(code))
	c.hub.opts.Logger.Info("connection ended", "peer", c.name(), "code", code, "reason", text)
	var b batch
	if c.shoal {
		c.put(ws.OpText, encode(&protocol.Message{Type: protocol.TypeError, Code: code, Text: text}), &b)
	}
	c.putLast(ws.NewCloseFrameBody(status, text), &b)
	b.flush()
}

// cut ends the connection at once, and drops what the kernel still holds for it. Anybody may call it.
func (c *conn) cut() {
	if c.sock != nil {
		c.sock.close(true)
		c.wake()
		return
	}
	nc := c.nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // crypto/tls would first try to say goodbye
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	nc.Close()
}

// closeStatus is the WebSocket close code that goes with a code; see RFC 6455, section 7.4.1, and the IANA registry for 1012.
func closeStatus(code protocol.Code) ws.StatusCode {
	switch code {
	case protocol.CodeBadMessage:
		return ws.StatusInvalidFramePayloadData
	case protocol.CodeTooBig:
		return ws.StatusMessageTooBig
	case protocol.CodeGoingAway:
		return 1012 // service restart
	case protocol.CodeInternal:
		return ws.StatusInternalServerError
	}
	return ws.StatusPolicyViolation
}
