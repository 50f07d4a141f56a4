package hub

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// conn is one WebSocket. It is made for the many that are idle: a small struct, one goroutine with a small stack, and no
// buffer; buffers are borrowed while there is something to read or write.
//
// Its goroutine, serve, reads, and owns the fields that are not marked otherwise. Anybody may queue messages for it.
type conn struct {
	hub   *Hub
	nc    net.Conn
	raw   syscall.RawConn       // nil where the socket cannot be waited for without holding a buffer
	ready func(fd uintptr) bool // readable, bound once
	addr  netip.Addr
	shoal bool          // speaks shoal.v1
	done  chan struct{} // closed when the hub has forgotten the connection

	id      string       // set once, before known; anybody may read it after that
	heir    chan []*room // guarded by hub.mu; takes the rooms when another connection resumes this peer
	iced    bool         // has been told ICE servers
	garbled bool         // its input makes no sense any more
	rooms   []*room
	in      *inbox // nil while nothing is half read
	fillErr error
	bucket  bucket

	known  atomic.Bool   // it has a peer id: at once, or when a Shoal client has said hello
	heard  atomic.Uint32 // tick of the last frame
	spoke  atomic.Uint32 // tick of the last message
	pinged atomic.Bool   // since it was heard
	ending atomic.Uint32 // tick at which the server began to end it, 0 when it did not
	stuck  atomic.Uint32 // tick since which one piece of output is on its way, 0 for none

	out outbox
}

// newConn wraps an upgraded socket.
func newConn(h *Hub, nc net.Conn, addr netip.Addr, shoal bool) *conn {
	c := &conn{hub: h, nc: nc, addr: addr, shoal: shoal, done: make(chan struct{})}
	c.initRaw()
	now := h.tick.Load()
	c.heard.Store(now)
	c.spoke.Store(now)
	c.bucket = bucket{tokens: h.opts.Burst, filled: time.Now()}
	return c
}

func (c *conn) dialect() protocol.Dialect {
	if c.shoal {
		return protocol.DialectShoal
	}
	return protocol.DialectRxDB
}

// inbox is what a connection needs while it has input: a buffer and scratch space.
type inbox struct {
	buf     []byte // frames not yet handled, from the beginning of one
	message []byte // what came so far of a message in several frames
	partial bool   // there is such a message
	reader  bytes.Reader
	header  [ws.MaxHeaderSize]byte
	env     protocol.Envelope
	batch   batch
}

const inboxSize = 16 << 10

var inboxes = sync.Pool{New: func() any { return &inbox{buf: make([]byte, 0, inboxSize)} }}

func takeInbox() *inbox { return inboxes.Get().(*inbox) }

// release gives the inbox back when nothing is half read.
func (c *conn) release() {
	in := c.in
	if in == nil || len(in.buf) > 0 || in.partial {
		return
	}
	c.in = nil
	if cap(in.buf) == inboxSize && cap(in.message) <= inboxSize {
		inboxes.Put(in)
	}
}

// space returns where to read to. The buffer grows only when it is full of what really came.
func (in *inbox) space() []byte {
	if len(in.buf) == cap(in.buf) {
		in.buf = append(make([]byte, 0, 2*cap(in.buf)), in.buf...)
	}
	return in.buf[len(in.buf):cap(in.buf)]
}

// errOver ends serve without a fault.
var errOver = errors.New("hub: connection is over")

// serve is the life of a connection.
func (h *Hub) serve(c *conn) {
	defer h.wg.Done()
	defer h.unregister(c)
	if !c.shoal {
		c.sendInit()
	}
	for {
		if err := c.frames(); err != nil {
			return
		}
		c.release()
		if err := c.fill(); err != nil {
			return
		}
	}
}

// fill waits for input and reads what is there.
func (c *conn) fill() error {
	if c.raw != nil {
		return c.fillRaw()
	}
	if c.in == nil {
		c.in = takeInbox()
	}
	n, err := c.nc.Read(c.in.space())
	c.in.buf = c.in.buf[:len(c.in.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// frames handles all frames that are complete, and then sends what they gave others to send.
func (c *conn) frames() error {
	in := c.in
	if in == nil {
		return nil
	}
	defer in.batch.flush()
	used := 0
	for !c.garbled {
		n, err := c.frame(in.buf[used:])
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		used += n
	}
	if c.garbled {
		used = len(in.buf)
	}
	in.buf = in.buf[:copy(in.buf, in.buf[used:])]
	return nil
}

// frame handles the frame that b begins with, if it is complete, and returns its length.
func (c *conn) frame(b []byte) (int, error) {
	if len(b) < ws.MinHeaderSize {
		return 0, nil
	}
	in := c.in
	in.reader.Reset(b)
	h, err := ws.ReadHeaderBuffer(&in.reader, in.header[:])
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return 0, nil
	}
	state := ws.StateServerSide
	if in.partial {
		state = state.Set(ws.StateFragmented)
	}
	if err == nil {
		err = ws.CheckHeader(h, state)
	}
	switch {
	case err != nil:
		c.garbled = true
		c.endWith(protocol.CodeBadMessage, ws.StatusProtocolError, err.Error())
		return 0, nil
	case h.OpCode.IsData() && h.Length > int64(c.hub.opts.MaxMessage-len(in.message)):
		c.garbled = true
		c.end(protocol.CodeTooBig, "message too big")
		return 0, nil
	}
	size := len(b) - in.reader.Len() + int(h.Length)
	if size > len(b) {
		return 0, nil
	}
	payload := b[size-int(h.Length) : size]
	ws.Cipher(payload, h.Mask, 0)
	c.heard.Store(c.hub.tick.Load())
	c.pinged.Store(false)
	return size, c.handleFrame(h, payload)
}

func (c *conn) handleFrame(h ws.Header, payload []byte) error {
	in := c.in
	if h.OpCode == ws.OpClose {
		return c.handleClose(payload)
	}
	if c.ending.Load() != 0 {
		return nil // the client may not have seen yet that it is over
	}
	if err := c.pay(1 + len(payload)>>10); err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		c.put(ws.OpPong, payload, &in.batch)
	case ws.OpBinary:
		c.endWith(protocol.CodeBadMessage, ws.StatusUnsupportedData, "messages must be text")
	case ws.OpText, ws.OpContinuation:
		if !h.Fin || in.partial {
			in.message = append(in.message, payload...)
			if in.partial = !h.Fin; in.partial {
				return nil
			}
			payload = in.message
			in.message = in.message[:0]
		}
		c.spoke.Store(c.hub.tick.Load())
		return c.handle(payload)
	}
	return nil
}

// handleClose answers a close frame, as RFC 6455, section 5.5.1 has it, and ends the connection.
func (c *conn) handleClose(payload []byte) error {
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case len(payload) == 0:
	case ws.CheckCloseFrameData(code, reason) != nil || !utf8.ValidString(reason):
		payload = ws.NewCloseFrameBody(ws.StatusProtocolError, "")
	default:
		payload = payload[:2]
	}
	c.putLast(payload, &c.in.batch)
	c.in.batch.flush()
	return errOver
}

// end tells the client that the server ends the connection, and why; the client has a moment to close it. What it sends
// from now on is dropped. Anybody may call end.
func (c *conn) end(code protocol.Code, text string) { c.endWith(code, closeStatus(code), text) }

func (c *conn) endWith(code protocol.Code, status ws.StatusCode, text string) {
	if !c.ending.CompareAndSwap(0, c.hub.tick.Load()) {
		return
	}
	c.hub.stats.cut.Add(1)
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
	nc := c.nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // crypto/tls would first try to say goodbye
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	nc.Close()
}

// name is the peer's id for the log, "" before it has one.
func (c *conn) name() string {
	if c.known.Load() {
		return c.id
	}
	return ""
}

// closeStatus is the WebSocket close code that goes with a code. Sections 7.4.1 of RFC 6455, and the IANA registry for 1012.
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
