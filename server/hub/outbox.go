package hub

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// outbox is the bounded queue of what a client is to be sent: frames one after the other in a buffer, so that all that
// gathered leaves in one write, and nothing is allocated for a message.
type outbox struct {
	mu       sync.Mutex // guards the following fields
	queued   *outbuf    // nil when empty
	flying   int        // bytes being written
	flushing bool       // somebody is about to write what is queued, or does
	last     bool       // nothing may follow what is queued
	closed   bool
	lists    []*room // whose member list in RxDB's dialect is queued
}

// outbuf is a buffer of frames.
type outbuf struct {
	b       []byte
	written int
	header  [ws.MaxHeaderSize]byte
}

// Write appends to the buffer.
func (o *outbuf) Write(p []byte) (int, error) {
	o.b = append(o.b, p...)
	return len(p), nil
}

const (
	outbufSize = 4 << 10
	// outbufKeep is the largest buffer that is worth keeping for the next.
	outbufKeep = 64 << 10
	// chunk is how much is written to a slow socket at once; its progress is watched by chunks.
	chunk = 16 << 10
)

var outbufs = sync.Pool{New: func() any { return &outbuf{b: make([]byte, 0, outbufSize)} }}

func (o *outbuf) free() {
	if cap(o.b) <= outbufKeep {
		o.b, o.written = o.b[:0], 0
		outbufs.Put(o)
	}
}

// batch is the connections for which something was queued but not yet sent.
type batch struct{ conns []*conn }

// flush sends what is queued for them, without waiting for any of them.
func (b *batch) flush() {
	for i, c := range b.conns {
		b.conns[i] = nil
		c.flush()
	}
	b.conns = b.conns[:0]
}

// begin locks the outbox and returns the buffer for size more bytes, or nil, unlocked, when they are not to be sent.
func (c *conn) begin(size, limit int) *outbuf {
	c.out.mu.Lock()
	o := &c.out
	if o.closed || o.last {
		o.mu.Unlock()
		return nil
	}
	have := o.flying
	if o.queued != nil {
		have += len(o.queued.b)
	}
	if have+size > limit {
		o.mu.Unlock()
		return nil
	}
	if o.queued == nil {
		o.queued = outbufs.Get().(*outbuf)
	}
	return o.queued
}

// commit unlocks the outbox after begin, and notes in b that there is something to send.
func (c *conn) commit(b *batch) {
	kick := !c.out.flushing
	c.out.flushing = true
	c.out.mu.Unlock()
	if kick {
		b.conns = append(b.conns, c)
	}
}

// frameSize is an upper bound for a frame's bytes.
func frameSize(payload int) int { return payload + ws.MaxHeaderSize }

// writeHeader begins a frame from the server.
func (o *outbuf) writeHeader(op ws.OpCode, length int) {
	// Write never fails, and the header is well-formed.
	_ = ws.WriteHeaderBuffer(o, ws.Header{Fin: true, OpCode: op, Length: int64(length)}, o.header[:])
}

// put queues a message. A client for which the queue is full is cut off: it does not read, or asks for more than it reads.
func (c *conn) put(op ws.OpCode, payload []byte, b *batch) {
	o := c.begin(frameSize(len(payload)), c.hub.opts.MaxQueue)
	if o == nil {
		c.overflow()
		return
	}
	o.writeHeader(op, len(payload))
	o.b = append(o.b, payload...)
	c.commit(b)
}

// putFrames queues frames that are ready.
func (c *conn) putFrames(frames []byte, b *batch) {
	o := c.begin(len(frames), c.hub.opts.MaxQueue)
	if o == nil {
		c.overflow()
		return
	}
	o.b = append(o.b, frames...)
	c.commit(b)
}

// putList queues the frame of a member list in RxDB's dialect, unless an older one of the same room still waits.
func (c *conn) putList(r *room, frame []byte, b *batch) bool {
	o := c.begin(len(frame), c.hub.opts.MaxQueue)
	if o == nil {
		c.overflow()
		return true
	}
	for _, waiting := range c.out.lists {
		if waiting == r {
			c.out.mu.Unlock()
			return false
		}
	}
	c.out.lists = append(c.out.lists, r)
	o.b = append(o.b, frame...)
	c.commit(b)
	return true
}

// putSignal queues a signal, and reports false when the client does not keep up. Signals may fill only half of the queue, so
// that a flood of them neither ends its receiver nor keeps it from learning who is there; what is relayed may fill a quarter.
func (c *conn) putSignal(env *protocol.Envelope, b *batch) bool {
	if c.remote != "" {
		return c.hub.opts.Cluster.Signal(c.remote, env.AppendSignal(nil))
	}
	size, limit := env.SignalSize(), c.hub.opts.MaxQueue/2
	if env.Type() == protocol.TypeRelay {
		limit /= 2
	}
	o := c.begin(frameSize(size), limit)
	if o == nil {
		return false
	}
	o.writeHeader(ws.OpText, size)
	o.b = env.AppendSignal(o.b)
	c.commit(b)
	return true
}

// putLast queues a close frame; nothing can be queued after it.
func (c *conn) putLast(payload []byte, b *batch) {
	o := c.begin(frameSize(len(payload)), c.hub.opts.MaxQueue+ws.MaxControlFramePayloadSize+ws.MaxHeaderSize)
	if o == nil {
		return
	}
	o.writeHeader(ws.OpClose, len(payload))
	o.b = append(o.b, payload...)
	c.out.last = true
	c.commit(b)
}

// overflow cuts the client off unless its connection is over anyway.
func (c *conn) overflow() {
	c.out.mu.Lock()
	over := c.out.closed || c.out.last
	c.out.mu.Unlock()
	if !over && c.ending.CompareAndSwap(0, c.hub.tick.Load()) {
		c.hub.stats.cutFor(reasonSlow)
		c.hub.opts.Logger.Info("slow reader cut off", "peer", c.name(), "queue", c.hub.opts.MaxQueue)
		c.cut()
	}
}

// take returns the queued buffer. When there is none, it ends the flushing, and says goodbye where that is due.
func (c *conn) take() *outbuf {
	o := &c.out
	o.mu.Lock()
	next := o.queued
	o.queued = nil
	o.lists = o.lists[:0]
	o.flying = 0
	if next != nil {
		o.flying = len(next.b)
		o.mu.Unlock()
		return next
	}
	o.flushing = false
	last, closed := o.last, o.closed
	o.mu.Unlock()
	switch {
	case closed:
		c.shut()
	case last && c.sock != nil:
		c.sock.closeWrite()
	case last:
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
			half.CloseWrite() // the sweeper ends what this does not
		}
	}
	return nil
}

// flush writes what is queued without waiting. What the socket does not take at once is left to a goroutine.
func (c *conn) flush() {
	for o := c.take(); o != nil; o = c.take() {
		if !c.tryWrite(o) {
			c.hub.wg.Go(func() { c.flushSlowly(o) })
			return
		}
		o.free()
	}
}

// tryWrite writes as much of o as the socket takes at once, and reports whether that was all. After an error there is nothing
// more to write.
func (c *conn) tryWrite(o *outbuf) bool {
	if c.sock == nil {
		return false
	}
	for o.written < len(o.b) {
		n, err := c.sock.write(o.b[o.written:])
		o.written += n
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		if err != nil {
			c.cut()
			break
		}
	}
	return true
}

// flushSlowly writes o and what is queued behind it. The sweeper sees how long one chunk takes.
func (c *conn) flushSlowly(o *outbuf) {
	defer c.stuck.Store(0)
	for ; o != nil; o = c.take() {
		for o.written < len(o.b) {
			c.stuck.Store(c.hub.tick.Load())
			n, err := c.write(o.b[o.written:min(len(o.b), o.written+chunk)])
			o.written += n
			if err != nil {
				c.cut()
				break
			}
		}
		o.free()
	}
}

// close closes the socket. What is queued already still has a moment to leave; what comes later is dropped.
func (c *conn) close() {
	c.out.mu.Lock()
	c.out.closed = true
	flushing := c.out.flushing
	c.out.mu.Unlock()
	switch {
	case !flushing:
		c.shut()
	case c.sock != nil:
		time.AfterFunc(time.Second, c.cut) // unless take closes the socket before
	default:
		c.nc.SetWriteDeadline(time.Now().Add(time.Second)) // take closes it
	}
}
