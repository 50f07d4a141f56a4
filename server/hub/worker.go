package hub

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// worker reads and handles what comes, for one conn after the other. It never waits: what takes time is done elsewhere, and
// the conn parked there.
type worker struct {
	hub    *Hub
	buf    []byte // input, from the beginning of a frame
	reader bytes.Reader
	header [ws.MaxHeaderSize]byte
	env    protocol.Envelope
	batch  batch
}

func newWorker(h *Hub) *worker {
	// A message fits in whole, with what came behind it.
	return &worker{hub: h, buf: make([]byte, 0, 2*protocol.MaxSignalingMessage)}
}

// run works until the channel is closed.
func (w *worker) run() {
	for c := range w.hub.ready {
		w.serve(c)
	}
}

// serve has a conn its turn, and gives it up.
func (w *worker) serve(c *conn) {
	next := w.turn(c)
	w.batch.flush()
	switch next {
	case waiting:
		c.wait()
	case parked:
		w.hub.park(c)
	case over:
		w.hub.unregister(c)
		w.hub.live.Done()
	}
}

// verdict says to whom a conn belongs after a worker's turn.
type verdict int

const (
	waiting verdict = iota // it waits for input
	parked                 // there is something to wait for before the rest of its input is handled
	over                   // it is at its end
	gone                   // it is no longer the worker's
)

// turn handles what there is to handle for a conn.
func (w *worker) turn(c *conn) verdict {
	if c.entry != nil {
		w.decided(c)
	}
	w.buf = append(w.buf[:0], c.rest...)
	if c.fresh {
		c.fresh = false
		c.err = w.read(c)
	}
	if c.from != nil {
		return w.sortOut(c)
	}
	used, next := w.frames(c)
	c.keep(w.buf[used:])
	if next == waiting && c.err != nil {
		next = over
	}
	return next
}

// read appends what has come to the worker's buffer. That may be nothing.
func (w *worker) read(c *conn) error {
	space := w.buf[len(w.buf):cap(w.buf)]
	n, err := c.sock.read(space)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	w.buf = w.buf[:len(w.buf)+n]
	if n == len(space) || c.sock.ended.Load() {
		c.wake() // the poller has told of it all, and may not tell again
	}
	return nil
}

// charge has a client pay for what it has the server do.
func (w *worker) charge(c *conn, n int) { c.bucket.charge(n, w.hub.tick.Load(), &w.hub.opts) }

// keep notes input that a later turn is to handle.
func (c *conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.rest = nil
		return
	}
	c.rest = append(c.rest[:0], rest...)
}

// frames handles the frames that are complete, and returns how many bytes they had.
func (w *worker) frames(c *conn) (used int, next verdict) {
	for !c.garbled {
		if d := c.bucket.debt(&w.hub.opts); d > 0 {
			w.hub.stats.delayed.Add(1)
			c.delay = d
			return used, parked
		}
		n, next := w.frame(c, w.buf[used:])
		used += n
		if n == 0 || next != waiting {
			if c.garbled {
				break
			}
			return used, next
		}
	}
	return len(w.buf), waiting
}

// park gives a conn back to the workers when it is decided whether its client may enter a room, or when the client has paid
// for what it did. Meanwhile it is not read, so that TCP slows its client down: nothing of an honest client in a hurry is
// lost, and nobody else notices.
func (h *Hub) park(c *conn) {
	if c.entry == nil {
		time.AfterFunc(c.delay, func() { h.ready <- c })
		return
	}
	go func() { // gives the conn back, and for that Close waits
		c.entry.grant, c.entry.err = h.opts.Authorize(c.entry.room, c.entry.token)
		h.ready <- c
	}()
}

// frame handles the frame that b begins with, and returns its length: 0 when it is not complete.
func (w *worker) frame(c *conn, b []byte) (int, verdict) {
	if len(b) < ws.MinHeaderSize {
		return 0, waiting
	}
	w.reader.Reset(b)
	h, err := ws.ReadHeaderBuffer(&w.reader, w.header[:])
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return 0, waiting
	}
	state := ws.StateServerSide
	if c.partial {
		state = state.Set(ws.StateFragmented)
	}
	if err == nil {
		err = ws.CheckHeader(h, state)
	}
	switch {
	case err != nil:
		c.garbled = true
		c.endWith(protocol.CodeBadMessage, ws.StatusProtocolError, err.Error())
		return 0, waiting
	case h.OpCode.IsData() && h.Length > int64(w.hub.opts.MaxMessage-len(c.parts)):
		c.garbled = true
		c.end(protocol.CodeTooBig, "message too big")
		return 0, waiting
	}
	size := len(b) - w.reader.Len() + int(h.Length)
	if size > len(b) {
		return 0, waiting
	}
	payload := b[size-int(h.Length) : size]
	ws.Cipher(payload, h.Mask, 0)
	c.heard.Store(w.hub.tick.Load())
	c.pinged.Store(false)
	return size, w.handleFrame(c, h, payload)
}

func (w *worker) handleFrame(c *conn, h ws.Header, payload []byte) verdict {
	if h.OpCode == ws.OpClose {
		return w.handleClose(c, payload)
	}
	if c.ending.Load() != 0 {
		return waiting // the client may not have seen yet that it is over
	}
	w.charge(c, 1+len(payload)>>10)
	switch h.OpCode {
	case ws.OpPing:
		c.put(ws.OpPong, payload, &w.batch)
	case ws.OpBinary:
		c.endWith(protocol.CodeBadMessage, ws.StatusUnsupportedData, "messages must be text")
	case ws.OpText, ws.OpContinuation:
		if h.Fin && !c.partial {
			return w.handle(c, payload)
		}
		c.parts = append(c.parts, payload...)
		if c.partial = !h.Fin; c.partial {
			return waiting
		}
		payload, c.parts = c.parts, nil
		return w.handle(c, payload)
	}
	return waiting
}

// handleClose answers a close frame, as RFC 6455, section 5.5.1 has it, and ends the connection.
func (w *worker) handleClose(c *conn, payload []byte) verdict {
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case len(payload) == 0:
	case ws.CheckCloseFrameData(code, reason) != nil || !utf8.ValidString(reason):
		payload = ws.NewCloseFrameBody(ws.StatusProtocolError, "")
	default:
		payload = payload[:2]
	}
	c.putLast(payload, &w.batch)
	return over
}
