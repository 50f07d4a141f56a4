package pool

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/transport"
	"golang.org/x/sync/errgroup"
)

// link is one connection: it finds the collections that both sides offer, and carries the frames of their sessions.
type link struct {
	mesh  *Mesh
	conn  transport.Conn
	nonce [16]byte
	group *errgroup.Group
	ctx   context.Context // of group
	wakes [transport.Lanes]chan struct{}

	mu       sync.Mutex // guards the following fields
	rng      *rand.Rand
	over     bool  // group takes nothing more
	fault    error // that ended the connection, found here or there
	path     transport.Stats
	theirs   *protocol.Hello
	control  []protocol.Frame                    // to be sent before anything else
	last     protocol.Channel                    // the last number given
	channels []*channel                          // of this side, in the order of their numbers; those that ended are gone
	offers   map[protocol.Channel]*protocol.Open // of the other side, not matched yet
	next     [transport.Lanes]int                // whose turn it is in channels
}

func newLink(m *Mesh, conn transport.Conn, rng *rand.Rand) *link {
	l := &link{mesh: m, conn: conn, rng: rng, offers: make(map[protocol.Channel]*protocol.Open)}
	for i := range l.wakes {
		l.wakes[i] = make(chan struct{}, 1)
	}
	binary.LittleEndian.PutUint64(l.nonce[:], rng.Uint64())
	binary.LittleEndian.PutUint64(l.nonce[8:], rng.Uint64())
	l.control = append(l.control, &protocol.Hello{MinVersion: protocol.Version, MaxVersion: protocol.Version, Nonce: l.nonce})
	return l
}

// run carries frames until the connection ends, and waits until all that belongs to it has ended. It closes the connection.
func (l *link) run(ctx context.Context) error {
	if err := l.prove(ctx); err != nil {
		return errors.Join(err, l.conn.Close())
	}
	l.group, l.ctx = errgroup.WithContext(ctx)
	l.group.Go(func() error { // keeps group open for as long as anything may be added to it
		<-l.ctx.Done()
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
		return nil
	})
	l.group.Go(l.watchPath)
	l.group.Go(l.read)
	l.group.Go(func() error { return l.write(transport.Live) })
	l.group.Go(func() error { return l.write(transport.Bulk) })
	err := l.group.Wait()
	return errors.Join(l.failure(), err, l.conn.Close())
}

// It is looked at what a connection is made up of at once, after pathFirst, when the round trip time is known, and then every pathEvery.
const (
	pathFirst = time.Second
	pathEvery = 10 * time.Second
)

// watchPath keeps path up to date.
func (l *link) watchPath() error {
	timer := time.NewTimer(pathFirst)
	defer timer.Stop()
	for {
		now := l.conn.Stats(l.ctx)
		l.mu.Lock()
		old := l.path
		l.path = now
		l.mu.Unlock()
		if now.Relayed != old.Relayed || now.LocalCandidate != old.LocalCandidate || now.RemoteCandidate != old.RemoteCandidate {
			for _, p := range l.mesh.offered() {
				p.changed()
			}
		}
		select {
		case <-timer.C:
			timer.Reset(pathEvery)
		case <-l.ctx.Done():
			return nil
		}
	}
}

func (l *link) lastPath() transport.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path
}

// failed notes the fault that ends the connection. The first counts.
func (l *link) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *link) wake() {
	for _, c := range l.wakes {
		signal(c)
	}
}

// write sends what there is to be sent on a lane.
func (l *link) write(lane transport.Lane) error {
	var buf []byte
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		f, at := l.nextFrame(lane)
		if f != nil {
			buf = f.AppendTo(buf[:0])
			if err := l.conn.Send(l.ctx, lane, buf); err != nil {
				return err
			}
			if c, ok := f.(*protocol.Close); ok && c.Channel == 0 {
				return net.ErrClosed
			}
			continue
		}
		timer.Stop()
		if !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case <-l.wakes[lane]:
		case <-timer.C:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// nextFrame returns the next frame for a lane, or when to ask again. Sessions take turns.
func (l *link) nextFrame(lane transport.Lane) (protocol.Frame, time.Time) {
	l.mu.Lock()
	if lane == transport.Live && len(l.control) > 0 {
		f := l.control[0]
		l.control = l.control[1:]
		l.mu.Unlock()
		return f, time.Time{}
	}
	channels := slices.Clone(l.channels)
	first := l.next[lane]
	l.next[lane]++
	l.mu.Unlock()
	var at time.Time
	for i := range channels {
		c := channels[(first+i)%len(channels)]
		f, again := c.nextFrame(lane)
		if f != nil {
			return f, time.Time{}
		}
		if at.IsZero() || !again.IsZero() && again.Before(at) {
			at = again
		}
	}
	return nil, at
}

// tell queues a frame of the link itself.
func (l *link) tell(f protocol.Frame) {
	l.mu.Lock()
	l.control = append(l.control, f)
	l.mu.Unlock()
	l.wake()
}

// read takes frames to where they belong. A fault that is not one channel's ends the connection.
func (l *link) read() error {
	for {
		lane, data, err := l.conn.Receive(l.ctx)
		if err != nil {
			return err
		}
		if err := l.take(lane, data); err != nil {
			l.mesh.log.Warn("connection ends", "peer", l.conn.Peer(), "error", err)
			l.failed(err)
			l.tell(protocol.CloseFor(0, err))
			return nil // the writer ends it all once that is sent
		}
	}
}

func (l *link) take(lane transport.Lane, data []byte) error {
	f, err := protocol.Decode(data)
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *protocol.Hello:
		return l.hello(f)
	case *protocol.Share:
		return protocol.Faultf(protocol.FaultSecret, "the peer wants a room secret to be proved, and this side has none")
	}
	if l.theirs == nil { // written by this goroutine only
		return protocol.Faultf(protocol.FaultFrame, "%T before Hello", f)
	}
	switch f := f.(type) {
	case *protocol.Open:
		return l.opened(f)
	case *protocol.Close:
		return l.closed(f)
	case *protocol.Pull:
		l.route(f.Channel, lane, f, len(data))
	case *protocol.Changes:
		l.route(f.Channel, lane, f, len(data))
	}
	return nil
}

func (l *link) hello(h *protocol.Hello) error {
	switch {
	case l.theirs != nil:
		return protocol.Faultf(protocol.FaultFrame, "second Hello")
	case h.MinVersion > protocol.Version || h.MaxVersion < protocol.Version:
		return protocol.Faultf(protocol.FaultVersion, "peer speaks versions %d to %d of the protocol, this side %d", h.MinVersion, h.MaxVersion, protocol.Version)
	}
	l.mu.Lock()
	l.theirs = h
	l.mu.Unlock()
	for _, p := range l.mesh.offered() {
		l.offer(p)
	}
	return nil
}

// offer opens a channel for the collection of p. It does nothing before the Hello of the other side, or if there is one already.
func (l *link) offer(p *Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.theirs == nil || p.ctx.Err() != nil || slices.ContainsFunc(l.channels, func(c *channel) bool { return c.pool == p }) {
		return
	}
	l.last++
	c := newChannel(l, p, l.last)
	l.channels = append(l.channels, c)
	l.control = append(l.control, c.own)
	for _, o := range l.offers {
		if l.match(c, o) {
			break
		}
	}
	l.wake()
}

// opened takes an offer of the other side.
func (l *link) opened(o *protocol.Open) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return net.ErrClosed
	}
	if len(l.offers)+len(l.channels) >= protocol.MaxChannels {
		return protocol.Faultf(protocol.FaultLimit, "more than %d channels", protocol.MaxChannels)
	}
	if l.offers[o.Channel] != nil || slices.ContainsFunc(l.channels, func(c *channel) bool { return c.theirs == o.Channel }) {
		return protocol.Faultf(protocol.FaultFrame, "channel %d is open already", o.Channel)
	}
	l.offers[o.Channel] = o
	for _, c := range l.channels {
		if c.theirs == 0 && l.match(c, o) {
			break
		}
	}
	return nil
}

// match begins a session if o offers what c does. Callers hold mu.
func (l *link) match(c *channel, o *protocol.Open) bool {
	proof := protocol.OpenProof(c.pool.topic, c.own.Collection, l.nonce, l.theirs.Nonce)
	if o.Collection != c.own.Collection || subtle.ConstantTimeCompare(o.Proof[:], proof[:]) == 0 {
		return false
	}
	delete(l.offers, o.Channel)
	c.theirs = o.Channel
	if !c.pool.begin() {
		l.forget(c, nil)
		return true
	}
	l.group.Go(func() error {
		defer c.pool.wg.Done()
		c.run(l.ctx, o)
		return nil
	})
	return true
}

// route gives a frame to the channel that it is for. Frames for a channel that this side has ended are of no use to anybody.
func (l *link) route(theirs protocol.Channel, lane transport.Lane, f protocol.Frame, size int) {
	l.mu.Lock()
	i := slices.IndexFunc(l.channels, func(c *channel) bool { return c.theirs == theirs })
	var c *channel
	if i >= 0 {
		c = l.channels[i]
	}
	l.mu.Unlock()
	if c != nil {
		c.push(replication.Received{Lane: replication.Lane(lane), Frame: f}, size)
	}
}

// closed takes the Close of a channel of the other side, or of the connection.
func (l *link) closed(f *protocol.Close) error {
	if f.Channel == 0 {
		if err := f.Err(); err != nil {
			l.mesh.log.Warn("peer ended the connection", "peer", l.conn.Peer(), "error", err)
			l.failed(err)
		}
		return net.ErrClosed
	}
	l.mu.Lock()
	delete(l.offers, f.Channel)
	i := slices.IndexFunc(l.channels, func(c *channel) bool { return c.theirs == f.Channel })
	var c *channel
	if i >= 0 {
		c = l.channels[i]
	}
	l.mu.Unlock()
	if c != nil {
		c.end(f.Err())
	}
	return nil
}

// withdraw takes back an offer of p to which there is no session.
func (l *link) withdraw(p *Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range slices.Clone(l.channels) {
		if c.pool == p && c.theirs == 0 {
			l.forget(c, nil)
		}
	}
}

// forget takes a channel out and tells the other side why. Callers hold mu.
func (l *link) forget(c *channel, err error) {
	l.channels = slices.DeleteFunc(slices.Clone(l.channels), func(o *channel) bool { return o == c })
	l.control = append(l.control, protocol.CloseFor(c.own.Channel, err))
	l.wake()
}

// never tells drop not to offer again.
const never = -1

// drop forgets a channel of this side that has ended, tells the other side why, and offers its collection again after a while.
func (l *link) drop(c *channel, err error, again time.Duration) {
	l.mu.Lock()
	l.forget(c, err)
	l.mu.Unlock()
	if again == never || c.pool.ctx.Err() != nil {
		return
	}
	l.group.Go(func() error {
		timer := time.NewTimer(again)
		defer timer.Stop()
		select {
		case <-timer.C:
			l.offer(c.pool)
		case <-c.pool.ctx.Done():
		case <-l.ctx.Done():
		}
		return nil
	})
}
