package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/transport"
)

// MeshOptions adjusts a Mesh. The zero value of a field is its default.
type MeshOptions struct {
	// Secret is what all replicas of the topics know and nobody else, the signaling server included. Peers that do not prove that they know it are
	// told nothing and nothing is taken from them; nor can somebody sit in the middle of a connection. Who has no secret is no peer of who
	// has one. It may be a phrase, for what crosses the wire does not help to guess it: each connection is one guess. Default: none.
	Secret string
	// Logger receives what happens; nil discards it.
	Logger *slog.Logger
	// Rand spreads waits and makes nonces. Default: seeded at random. Simulations give each mesh a seed.
	Rand *rand.Rand
}

// Mesh is the connections of this replica to others. All pools of a mesh share them: two replicas have one connection, whatever number of
// topics and collections they have in common. All methods may be called concurrently.
type Mesh struct {
	network  transport.Network
	signaler *signaler // nil where the network has none
	log      *slog.Logger
	secret   []byte
	wake     func()
	avoid    func(peer string, cause error, d time.Duration) // makes no connection to peer for some time, and observes why
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup // the accept loop and the links
	joins    sync.Mutex     // held while pools come and go, over calls of the network; taken before mu, which no such call is made under

	mu     sync.Mutex // guards the following fields
	rng    *rand.Rand
	closed bool
	pools  []*Pool
	links  map[*link]struct{}
	topics map[string]int // pools of each
	turns  map[*collection.Collection]*replication.Turns

	signaling transport.Event            // the last about the way to the signaling server
	pending   map[string]transport.Event // the last of each peer that is not connected
	unproved  map[string]int             // how often each peer did not prove the secret
}

// NewMesh makes a mesh on network, which it owns from then on, and takes connections until Close.
func NewMesh(network transport.Network, opts *MeshOptions) *Mesh {
	m := newMesh(opts)
	m.start(network)
	return m
}

func newMesh(opts *MeshOptions) *Mesh {
	if opts == nil {
		opts = &MeshOptions{}
	}
	m := &Mesh{
		log:      opts.Logger,
		rng:      opts.Rand,
		secret:   []byte(opts.Secret),
		wake:     func() {},
		links:    make(map[*link]struct{}),
		topics:   make(map[string]int),
		turns:    make(map[*collection.Collection]*replication.Turns),
		pending:  make(map[string]transport.Event),
		unproved: make(map[string]int),
	}
	m.avoid = func(peer string, cause error, _ time.Duration) {
		m.observe(transport.Event{Peer: peer, State: transport.Failed, Err: cause})
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.rng == nil {
		m.rng = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return m
}

func (m *Mesh) start(network transport.Network) {
	m.network = network
	ctx, cancel := context.WithCancelCause(context.Background())
	m.cancel = cancel
	m.wg.Go(func() { m.accept(ctx) })
}

// Wake tells that the network may be there again, or the page is visible again: what waits for its next try tries now. It does not block.
func (m *Mesh) Wake() {
	m.wake()
	for _, p := range m.offered() {
		if p.bridge != nil {
			p.bridge.push(hurry{})
		}
	}
}

// observe takes what the network tells of itself.
func (m *Mesh) observe(e transport.Event) {
	m.mu.Lock()
	switch {
	case e.Peer == "":
		m.signaling = e
	case e.State == transport.Closed || e.State == transport.Open:
		delete(m.pending, e.Peer)
	default:
		m.pending[e.Peer] = e
	}
	pools := slices.Clone(m.pools)
	m.mu.Unlock()
	for _, p := range pools {
		if e.Err != nil {
			p.report(e.Peer, e.Err)
		}
		p.changed()
	}
}

// refused takes what the signaling server would not do.
func (m *Mesh) refused(e signaling.Refused) {
	for _, p := range m.offered() {
		if e.Room == "" || e.Room == p.topic {
			p.report(e.Peer, e.Err)
		}
	}
}

// States returns how the way to the signaling server is, and how far connections to peers are that are not open.
func (m *Mesh) States() (server transport.Event, peers []transport.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.signaling, slices.SortedFunc(maps.Values(m.pending), func(a, b transport.Event) int { return cmp.Compare(a.Peer, b.Peer) })
}

// Close cancels all pools, closes the network and waits until nothing runs any more.
func (m *Mesh) Close() error {
	m.joins.Lock()
	m.mu.Lock()
	m.closed = true
	pools := slices.Clone(m.pools)
	m.mu.Unlock()
	m.joins.Unlock()
	for _, p := range pools {
		p.Cancel()
	}
	m.cancel(net.ErrClosed)
	err := m.network.Close()
	m.wg.Wait()
	return err
}

func (m *Mesh) accept(ctx context.Context) {
	for {
		conn, err := m.network.Accept(ctx)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				m.log.Error("accept connections", "error", err)
			}
			return
		}
		m.wg.Go(func() { m.serve(ctx, conn) })
	}
}

// serve runs a connection until it ends.
func (m *Mesh) serve(ctx context.Context, conn transport.Conn) {
	m.mu.Lock()
	l := newLink(m, conn, rand.New(rand.NewPCG(m.rng.Uint64(), m.rng.Uint64())))
	m.links[l] = struct{}{}
	m.mu.Unlock()
	err := l.run(ctx)
	m.log.Debug("connection ended", "peer", conn.Peer(), "error", err)
	m.mu.Lock()
	delete(m.links, l)
	m.mu.Unlock()
	m.ended(conn.Peer(), err)
}

// add makes p one of the pools, and offers its collection on all links.
func (m *Mesh) add(p *Pool) error {
	m.joins.Lock()
	defer m.joins.Unlock()
	first, err := m.admit(p)
	if err != nil {
		return err
	}
	if p.bridge != nil {
		p.bridge.start()
		m.signaler.setBridge(p.topic, p.bridge)
	}
	if first {
		if err := m.network.Join(p.topic); err != nil {
			if p.bridge != nil {
				m.signaler.setBridge(p.topic, nil)
			}
			return fmt.Errorf("join topic %q: %w", p.topic, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.topics[p.topic]++
	if m.turns[p.coll] == nil {
		m.turns[p.coll] = &replication.Turns{}
	}
	p.turns = m.turns[p.coll]
	m.pools = append(m.pools, p)
	for l := range m.links {
		l.offer(p)
	}
	return nil
}

// admit returns an error if p cannot be one of the pools, and whether it is the first of its topic.
func (m *Mesh) admit(p *Pool) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, net.ErrClosed
	}
	for _, o := range m.pools {
		if o.topic == p.topic && o.coll == p.coll {
			return false, fmt.Errorf("collection %q is replicated in topic %q already", p.coll.Name(), p.topic)
		}
		if o.topic == p.topic && o.bridge != nil && p.bridge != nil {
			return false, fmt.Errorf("RxDB clients of topic %q replicate collection %q already: one topic serves one collection of theirs", p.topic, o.coll.Name())
		}
	}
	return m.topics[p.topic] == 0, nil
}

// remove takes p out again. Its sessions end by themselves.
func (m *Mesh) remove(p *Pool) {
	m.joins.Lock()
	defer m.joins.Unlock()
	last, ok := m.forget(p)
	if ok && p.bridge != nil {
		m.signaler.setBridge(p.topic, nil)
	}
	if !last {
		return
	}
	if err := m.network.Leave(p.topic); err != nil && !errors.Is(err, net.ErrClosed) {
		m.log.Error("leave topic", "error", err)
	}
}

// forget returns whether p was the last of its topic, and whether it was there.
func (m *Mesh) forget(p *Pool) (last, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.pools, p)
	if i < 0 {
		return false, false
	}
	m.pools = slices.Delete(m.pools, i, i+1)
	for l := range m.links {
		l.withdraw(p)
	}
	if !slices.ContainsFunc(m.pools, func(o *Pool) bool { return o.coll == p.coll }) {
		delete(m.turns, p.coll)
	}
	if m.topics[p.topic]--; m.topics[p.topic] > 0 {
		return false, true
	}
	delete(m.topics, p.topic)
	return true, true
}

// offered returns the pools that there are.
func (m *Mesh) offered() []*Pool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pools)
}
