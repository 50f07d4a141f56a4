package memnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// link is a connection between two peers: one conn for each end.
type link struct {
	net     *Net
	pair    pair
	binding [sha256.Size]byte
	ends    [2]*conn
	over    bool // guarded by net.mu
}

func newLink(n *Net, p pair) *link {
	l := &link{net: n, pair: p, binding: sha256.Sum256(fmt.Append(nil, n.rng.Uint64(), p))}
	for i, ids := range [2][2]string{{p.a, p.b}, {p.b, p.a}} {
		c := &conn{link: l, self: ids[0], peer: ids[1], inbox: newQueue[message](), closed: make(chan struct{})}
		for lane := range c.out {
			c.out[lane].room = make(chan struct{}, 1)
			c.out[lane].rng = rand.New(rand.NewPCG(n.rng.Uint64(), n.rng.Uint64()))
		}
		l.ends[i] = c
	}
	l.ends[0].other, l.ends[1].other = l.ends[1], l.ends[0]
	return l
}

// cut ends the link. Callers hold net.mu.
func (l *link) cut() {
	if l.over {
		return
	}
	l.over = true
	delete(l.net.conns, l.pair)
	close(l.ends[0].closed)
	close(l.ends[1].closed)
	l.net.update(l.pair)
}

type message struct {
	lane transport.Lane
	data []byte
}

// conn is one end of a link.
type conn struct {
	link       *link
	self, peer string
	other      *conn
	inbox      *queue[message]
	closed     chan struct{}
	out        [transport.Lanes]outgoing // guarded by net.mu
	sent, got  uint64                    // bytes; guarded by net.mu
}

// outgoing is one lane in one direction.
type outgoing struct {
	flight []message
	unread int       // bytes sent that the other end has not received
	last   time.Time // at which the newest message on the way arrives
	room   chan struct{}
	rng    *rand.Rand // own, so that delays do not depend on what others send at the same instant
}

var _ transport.Conn = (*conn)(nil)

// Send implements transport.Conn.
func (c *conn) Send(ctx context.Context, lane transport.Lane, msg []byte) error {
	switch {
	case lane >= transport.Lanes:
		return fmt.Errorf("lane %d, there are %d", lane, transport.Lanes)
	case len(msg) > transport.MaxMessage:
		return fmt.Errorf("message of %d bytes, at most %d are allowed", len(msg), transport.MaxMessage)
	}
	for ctx.Err() == nil {
		if ok, err := c.trySend(lane, msg); ok || err != nil {
			return err
		}
		select {
		case <-c.out[lane].room:
		case <-ctx.Done():
		case <-c.closed:
			return net.ErrClosed
		}
	}
	return context.Cause(ctx)
}

func (c *conn) trySend(lane transport.Lane, msg []byte) (bool, error) {
	n := c.link.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.link.over {
		return false, net.ErrClosed
	}
	o := &c.out[lane]
	if o.unread > n.opts.HighWater {
		return false, nil
	}
	if n.tap != nil {
		n.tap(Message{c.self, c.peer, int(lane), msg})
	}
	o.unread += len(msg)
	c.sent += uint64(len(msg))
	at := c.arrival(o, len(msg))
	o.flight = append(o.flight, message{lane, bytes.Clone(msg)})
	time.AfterFunc(time.Until(at), func() { c.deliver(o, at) })
	return true, nil
}

// arrival returns when a message of that size arrives that is sent now: after those before it in its lane, and at an instant of its own.
func (c *conn) arrival(o *outgoing, size int) time.Time {
	n := c.link.net
	at := time.Now().Add(between(o.rng, n.opts.MinDelay, n.opts.MaxDelay))
	if n.opts.Rate > 0 {
		begin := at
		if o.last.After(begin) {
			begin = o.last
		}
		at = begin.Add(time.Duration(size) * time.Second / time.Duration(n.opts.Rate))
	}
	if !at.After(o.last) {
		at = o.last.Add(1)
	}
	for n.arrivals[at] {
		at = at.Add(1)
	}
	n.arrivals[at] = true
	o.last = at
	return at
}

// deliver hands over the message that is next in its lane; without virtual time the one whose time has come may overtake it.
func (c *conn) deliver(o *outgoing, at time.Time) {
	n := c.link.net
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.arrivals, at)
	m := o.flight[0]
	o.flight = o.flight[1:]
	if c.link.over {
		return
	}
	c.other.got += uint64(len(m.data))
	c.other.inbox.push(m)
}

// Receive implements transport.Conn.
func (c *conn) Receive(ctx context.Context) (transport.Lane, []byte, error) {
	m, err := c.inbox.pop(ctx, c.closed)
	if err == nil {
		c.other.read(m)
	}
	return m.lane, m.data, err
}

// read makes room for what the other end may send, now that m was received.
func (c *conn) read(m message) {
	n := c.link.net
	n.mu.Lock()
	defer n.mu.Unlock()
	o := &c.out[m.lane]
	o.unread -= len(m.data)
	select {
	case o.room <- struct{}{}:
	default:
	}
}

// Close implements transport.Conn.
func (c *conn) Close() error {
	c.link.net.mu.Lock()
	defer c.link.net.mu.Unlock()
	c.link.cut()
	return nil
}

// Peer implements transport.Conn.
func (c *conn) Peer() string { return c.peer }

// Binding implements transport.Conn.
func (c *conn) Binding() []byte { return c.link.binding[:] }

// Stats implements transport.Conn.
func (c *conn) Stats(context.Context) transport.Stats {
	n := c.link.net
	n.mu.Lock()
	defer n.mu.Unlock()
	return transport.Stats{BytesSent: c.sent, BytesReceived: c.got}
}
