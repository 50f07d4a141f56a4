// Package memnet is a simulated network: a transport.Network for each of many peers in one process, with delays, bandwidth,
// cuts and partitions that follow from a seed.
//
// It waits on timers and channels only, so that testing/synctest controls it. No two messages arrive at the same instant, so
// that a seed gives the same run each time.
package memnet

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options adjusts a Net. The zero value of a field is its default.
type Options struct {
	Seed uint64
	// MinDelay and MaxDelay bound how long a message takes. Default: 1 ms and 30 ms.
	MinDelay, MaxDelay time.Duration
	// Rate is how many bytes a connection carries in a second, in each direction and lane. Default: no limit.
	Rate int
	// HighWater is how many bytes may be on the way in a lane, or wait to be received, before Send blocks. Default: 256 KiB.
	HighWater int
	// Redial bounds the wait before a connection that ended is made again. Default: 500 ms.
	Redial time.Duration
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	out.MinDelay = cmp.Or(out.MinDelay, time.Millisecond)
	out.MaxDelay = cmp.Or(out.MaxDelay, 30*time.Millisecond)
	out.HighWater = cmp.Or(out.HighWater, 256<<10)
	out.Redial = cmp.Or(out.Redial, 500*time.Millisecond)
	return out
}

// Net is a network that any number of peers can be part of. Its methods may be called concurrently.
type Net struct {
	opts Options

	mu       sync.Mutex // guards the following fields, and those of all Networks and conns
	rng      *rand.Rand
	peers    map[string]*Network
	severed  map[pair]bool
	conns    map[pair]*link
	dialing  map[pair]*time.Timer
	arrivals map[time.Time]bool // at which a message arrives
	tap      func(Message)
}

type pair struct{ a, b string } // a < b

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// New makes a network without peers.
func New(opts *Options) *Net {
	o := opts.withDefaults()
	return &Net{
		opts:     o,
		rng:      rand.New(rand.NewPCG(o.Seed, 0x6d656d6e6574)),
		peers:    make(map[string]*Network),
		severed:  make(map[pair]bool),
		conns:    make(map[pair]*link),
		dialing:  make(map[pair]*time.Timer),
		arrivals: make(map[time.Time]bool),
	}
}

// Message is one message as Tap sees it.
type Message struct {
	From, To string
	Lane     int
	Data     []byte // not to be kept or changed
}

// Tap calls f with each message at the moment at which it is sent. f must not block.
func (n *Net) Tap(f func(Message)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// Peer adds a peer with that id, which must not be in use.
func (n *Net) Peer(id string) *Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers[id] != nil {
		panic("memnet: peer " + id + " exists")
	}
	p := &Network{net: n, id: id, topics: make(map[string]bool), accept: newQueue[*conn](), closed: make(chan struct{})}
	n.peers[id] = p
	return p
}

// Sever cuts the connection between two peers, with all that is on the way in it, and lets them make none until Mend.
func (n *Net) Sever(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.severed[pairOf(a, b)] = true
	n.update(pairOf(a, b))
}

// Mend undoes Sever.
func (n *Net) Mend(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.severed, pairOf(a, b))
	n.update(pairOf(a, b))
}

// Connected reports whether there is a connection between two peers.
func (n *Net) Connected(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[pairOf(a, b)] != nil
}

// update makes or ends the connection of p as it should be. Callers hold mu.
func (n *Net) update(p pair) {
	a, b := n.peers[p.a], n.peers[p.b]
	want := a != nil && b != nil && !n.severed[p] && sharesTopic(a, b)
	switch l := n.conns[p]; {
	case !want && l != nil:
		l.cut()
	case want && l == nil && n.dialing[p] == nil:
		n.dialing[p] = time.AfterFunc(between(n.rng, n.opts.MinDelay, n.opts.Redial), func() { n.dial(p) })
	case !want && n.dialing[p] != nil:
		n.dialing[p].Stop()
		delete(n.dialing, p)
	}
}

func sharesTopic(a, b *Network) bool {
	for t := range a.topics {
		if b.topics[t] {
			return true
		}
	}
	return false
}

func (n *Net) dial(p pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dialing[p] == nil {
		return // stopped as it fired
	}
	delete(n.dialing, p)
	a, b := n.peers[p.a], n.peers[p.b]
	if a == nil || b == nil || n.severed[p] || !sharesTopic(a, b) {
		return
	}
	l := newLink(n, p)
	n.conns[p] = l
	a.accept.push(l.ends[0])
	b.accept.push(l.ends[1])
}

// updateAll updates the connections of a peer. Callers hold mu.
func (n *Net) updateAll(id string) {
	others := make([]string, 0, len(n.peers))
	for o := range n.peers {
		others = append(others, o)
	}
	slices.Sort(others)
	for _, o := range others {
		if o != id {
			n.update(pairOf(id, o))
		}
	}
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(rng.Int64N(int64(most-least)))
}
