package pool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/transport"
)

// channel is one collection on one link: an offer of this side, and, once the other side has made the same, a session.
type channel struct {
	link   *link
	pool   *Pool
	own    *protocol.Open
	theirs protocol.Channel // guarded by link.mu; 0 until matched
	stop   context.CancelCauseFunc
	ctx    context.Context

	mu      sync.Mutex // guards the following fields
	queue   []replication.Received
	sizes   []int // of the frames of queue
	size    int   // of queue
	session *replication.Session
	ready   chan struct{} // capacity 1: queue is not empty
	room    chan struct{} // capacity 1: queue is not full
}

// errEnded tells that the other side ended a session without a fault.
var errEnded = errors.New("peer ended the session")

// newChannel makes an offer. Callers hold l.mu.
func newChannel(l *link, p *Pool, id protocol.Channel) *channel {
	c := &channel{link: l, pool: p, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	c.ctx, c.stop = context.WithCancelCause(p.ctx)
	c.own = &protocol.Open{
		Channel:    id,
		Proof:      protocol.OpenProof(p.topic, p.coll.Name(), l.theirs.Nonce, l.nonce),
		Collection: p.coll.Name(),
		Pulls:      p.opts.Pull != nil,
		Pushes:     p.opts.Push != nil,
	}
	c.own.SchemaVersion, c.own.SchemaHash = p.coll.Schema()
	p.coll.View(func(v collection.View) { c.own.Replica, c.own.Known = v.Replica(), v.Known() })
	return c
}

// end makes the session end because of err, or, if that is nil, because the other side wants it.
func (c *channel) end(err error) {
	if err == nil {
		err = errEnded
	}
	c.stop(err)
}

// queueBytes is how many bytes of frames may wait for the session before the reading of the connection waits, and with it, before
// long, the other side's sending.
const queueBytes = 1 << 20

// push queues a frame for the session. It blocks while too much waits already.
func (c *channel) push(r replication.Received, size int) {
	for !c.tryPush(r, size) {
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *channel) tryPush(r replication.Received, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size > queueBytes {
		return false
	}
	c.size += size
	c.queue, c.sizes = append(c.queue, r), append(c.sizes, size)
	signal(c.ready)
	return true
}

// takeBytes is how many bytes of frames the session takes at a time, unless a single frame has more. It is what a page has time for before
// its user notices: a browser runs nothing else meanwhile.
const takeBytes = 192 << 10

// pop blocks until frames have come, and returns as many as are to be taken together.
func (c *channel) pop(ctx context.Context) ([]replication.Received, error) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.queue) && (n == 0 || size+c.sizes[n] <= takeBytes) {
		size += c.sizes[n]
		n++
	}
	frames := c.queue[:n:n]
	c.queue, c.sizes, c.size = c.queue[n:], c.sizes[n:], c.size-size
	if len(c.queue) > 0 {
		signal(c.ready)
	}
	signal(c.room)
	return frames, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run is the session, from the match of the offers to the end.
func (c *channel) run(ctx context.Context, theirs *protocol.Open) {
	defer context.AfterFunc(ctx, func() { c.stop(context.Cause(ctx)) })()
	err := c.serve(c.ctx, theirs)
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	if s != nil {
		s.Close()
		c.pool.left(c)
	}
	again := c.pool.opts.RetryTime
	switch {
	case ctx.Err() != nil: // the connection has ended
		return
	case errors.Is(err, collection.ErrIdentity):
		err, again = nil, 0
	case errors.Is(err, errEnded):
		err, again = nil, 0
	case c.pool.ctx.Err() != nil:
		err = nil
	case errors.Is(err, errRefused):
		err, again = protocol.Faultf(protocol.FaultRefused, "%v", err), never
	default:
		c.pool.report(c.link.conn.Peer(), err)
	}
	c.link.drop(c, err, again)
}

func (c *channel) serve(ctx context.Context, theirs *protocol.Open) error {
	if err := c.pool.admit(ctx, c, theirs); err != nil {
		return err
	}
	s, err := replication.New(ctx, replication.Config{
		Collection: c.pool.coll,
		Channel:    c.own.Channel,
		Own:        c.own,
		Remote:     theirs,
		Pull:       c.pool.opts.Pull,
		Push:       c.pool.opts.Push,
		Turns:      c.pool.turns,
		Rand:       c.pool.newRand(),
		Wake:       func() { c.link.wake(); c.pool.changed() },
		OnClash:    func(cs []collection.Clash) { c.pool.clashed(c.link.conn.Peer(), cs) },
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	c.pool.joined(c)
	c.link.wake()
	for {
		frames, err := c.pop(ctx)
		if err != nil {
			return err
		}
		if err := s.Receive(ctx, time.Now(), frames...); err != nil {
			return err
		}
	}
}

// nextFrame returns the session's next frame for a lane. A session that fails at it ends.
func (c *channel) nextFrame(lane transport.Lane) (protocol.Frame, time.Time) {
	s := c.current()
	if s == nil || c.ctx.Err() != nil {
		return nil, time.Time{}
	}
	f, at, err := s.Next(c.ctx, replication.Lane(lane), time.Now())
	if err != nil {
		c.stop(err)
		return nil, time.Time{}
	}
	return f, at
}

func (c *channel) current() *replication.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}
