package rtc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// errTooBig is the error of Send for a message over transport.MaxMessage.
var errTooBig = errors.New("rtc: message too big")

// conn is the data plane of a connection: it moves messages over the lanes of a peer connection. The link above it says when
// it is open and when it ends. It implements transport.Conn together with link.
type conn struct {
	out       medium // set before the connection is used
	highWater int

	in    *inbox
	lanes [transport.Lanes]outLane
	limit int // bytes of a piece that the peer takes; set before the connection is used

	done context.Context // ends with the connection; its cause is the error of Send and Receive
	fail context.CancelCauseFunc

	lastHeard atomic.Int64 // when the last piece came, as time since start
	start     time.Time
	pings     pings
}

// medium carries the pieces of a conn: a pc, or a tunnel through the signaling server.
type medium interface {
	send(lane transport.Lane, piece []byte) error // does not wait, and does not keep piece
	buffered(lane transport.Lane) int             // bytes that are unsent
}

// outLane is one lane of what is sent.
type outLane struct {
	turn    chan struct{} // holds one token; who took it may send
	drained chan struct{} // one token: the channel holds little again
	credit  chan struct{} // one token: the peer took messages
	buf     []byte        // of who has the turn
	sent    uint64        // bytes of all messages sent; of who has the turn

	mu    sync.Mutex // guards the following field
	taken uint64     // bytes of which the peer told that it took them
}

// pings is the state of the keepalive.
type pings struct {
	mu    sync.Mutex // guards the following fields
	value uint64     // of the last ping
	sent  time.Time
	rtt   time.Duration // of the last ping answered; 0 when none was
}

func newConn(ctx context.Context) *conn {
	c := &conn{in: newInbox(), limit: maxPiece, start: time.Now()}
	c.done, c.fail = context.WithCancelCause(ctx)
	for i := range c.lanes {
		l := &c.lanes[i]
		l.turn, l.drained, l.credit = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
		l.turn <- struct{}{}
	}
	return c
}

// closedError is the error of a connection that ended because of cause.
func closedError(cause error) error {
	if cause == nil || errors.Is(cause, net.ErrClosed) {
		return cause
	}
	return fmt.Errorf("%w: %w", net.ErrClosed, cause)
}

// send is Send of transport.Conn.
func (c *conn) send(ctx context.Context, lane transport.Lane, msg []byte) error {
	if lane >= transport.Lanes {
		return fmt.Errorf("rtc: lane %d does not exist", lane)
	}
	if len(msg) > transport.MaxMessage {
		return fmt.Errorf("%w: %d bytes, the limit is %d", errTooBig, len(msg), transport.MaxMessage)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l := &c.lanes[lane]
	if err := c.wait(ctx, l.turn); err != nil {
		return err
	}
	defer func() { l.turn <- struct{}{} }()
	for l.outstanding() >= window {
		if err := c.wait(ctx, l.credit); err != nil {
			return err
		}
	}
	return c.sendPieces(ctx, lane, l, msg)
}

// sendPieces sends msg. When ctx ends between two pieces it takes the message back.
func (c *conn) sendPieces(ctx context.Context, lane transport.Lane, l *outLane, msg []byte) (err error) {
	begun := false
	l.buf, err = split(msg, l.buf, c.limit, func(piece []byte) error {
		for c.out.buffered(lane) > c.highWater {
			if err := c.wait(ctx, l.drained); err != nil {
				return err
			}
		}
		begun = true
		return c.write(lane, piece)
	})
	if err == nil {
		l.sent += uint64(len(msg))
		return nil
	}
	if begun && c.done.Err() == nil {
		_ = c.write(lane, []byte{pieceAbort}) // an error here ends the connection, and with it the message
	}
	return err
}

// write hands one piece to the data channel without waiting.
func (c *conn) write(lane transport.Lane, piece []byte) error {
	if c.done.Err() != nil {
		return closedError(context.Cause(c.done))
	}
	if err := c.out.send(lane, piece); err != nil {
		c.fail(err)
		return closedError(context.Cause(c.done))
	}
	return nil
}

// wait takes a token from ch.
func (c *conn) wait(ctx context.Context, ch chan struct{}) error {
	select {
	case <-c.done.Done():
		return closedError(context.Cause(c.done))
	default:
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done.Done():
		return closedError(context.Cause(c.done))
	}
}

func (l *outLane) outstanding() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken > l.sent { // the peer's fault, and only to its own harm
		return 0
	}
	return l.sent - l.taken
}

func (l *outLane) setTaken(taken uint64) {
	l.mu.Lock()
	l.taken = max(l.taken, taken)
	l.mu.Unlock()
	signalOne(l.credit)
}

func signalOne(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// receive is Receive of transport.Conn.
func (c *conn) receive(ctx context.Context) (transport.Lane, []byte, error) {
	lane, msg, credit, err := c.in.take(ctx)
	if err != nil {
		return 0, nil, err
	}
	if credit > 0 {
		_ = c.write(transport.Live, appendCredit(nil, lane, credit)) // an error here ends the connection, and Receive then
	}
	return lane, msg, nil
}

// heard takes a piece from a data channel. It never blocks.
func (c *conn) heard(lane transport.Lane, piece []byte) {
	if c.done.Err() != nil {
		return
	}
	c.lastHeard.Store(int64(time.Since(c.start)))
	var err error
	if isControl(piece) && lane == transport.Live {
		err = c.control(piece)
	} else {
		err = c.in.put(lane, piece)
	}
	if err != nil {
		c.fail(err)
	}
}

func (c *conn) control(piece []byte) error {
	kind, lane, value, err := parseControl(piece)
	switch {
	case err != nil:
		return err
	case kind == piecePing:
		return c.pong(value)
	case kind == piecePong:
		c.pings.answered(value)
	case kind == pieceCredit:
		c.lanes[lane].setTaken(value)
	}
	return nil
}

// pong answers a ping, unless so much is unsent that a peer seems to ask without ever reading.
func (c *conn) pong(value uint64) error {
	if c.out.buffered(transport.Live) > 2*c.highWater {
		return nil
	}
	return c.out.send(transport.Live, appendControl(nil, piecePong, value))
}

// ping sends a ping; the pong counts as heard, and tells the round trip time.
func (c *conn) ping() {
	value := c.pings.next()
	_ = c.write(transport.Live, appendControl(nil, piecePing, value)) // an error here has ended the connection
}

// heardTime is when something came last, or else when the connection was made.
func (c *conn) heardTime() time.Time { return c.start.Add(time.Duration(c.lastHeard.Load())) }

func (p *pings) next() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.value++
	p.sent = time.Now()
	return p.value
}

func (p *pings) answered(value uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if value == p.value {
		p.rtt = time.Since(p.sent)
	}
}

func (p *pings) last() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rtt
}
