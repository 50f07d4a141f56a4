// Package pool replicates collections with all peers of a topic: it joins the topic, runs a session with each peer, and tells
// how they are doing.
//
// A [Mesh] holds the connections of this replica; [Replicate] makes a [Pool] on it: one collection in one topic.
package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/transport"
)

// Limits of a topic's name, in characters, as RxDB's signaling server has them.
const (
	minTopic = 6
	maxTopic = 99
)

// Options adjusts a Pool. The zero value of a field is its default.
type Options struct {
	// Pull takes documents from peers, Push sends them. A direction that is nil is off, and stays off whatever peers ask for.
	Pull, Push *replication.Direction
	// Valid decides whether a peer may take part, before anything of the collection is told to it but its name. It may block. Default: all may.
	Valid func(ctx context.Context, peer Peer) (bool, error)
	// RetryTime is how long to wait after a session failed before it is tried again. Default: 5 seconds.
	RetryTime time.Duration
	// RxDB makes the pool replicate with the RxDB clients of the topic as well, in RxDB's own protocol. The mesh must be one of Connect. Default: it does
	// not.
	RxDB *RxDBOptions
	// OnEvent is told what happens. It must not block, and must not call the pool. Default: nobody is told.
	OnEvent func(Event)
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	out.RetryTime = cmp.Or(out.RetryTime, 5*time.Second)
	if out.OnEvent == nil {
		out.OnEvent = func(Event) {}
	}
	return out
}

// Event is what a pool tells: PeersChanged, Failed or Clashed.
type Event interface{ event() }

// PeersChanged tells that Peers returns something else than before. It comes at most ten times a second.
type PeersChanged struct{}

// Failed tells of something that went wrong with a peer, or, if Peer is "", with the way to all of them. The pool goes on, and tries again
// by itself.
type Failed struct {
	Peer string
	Err  error
}

// Clashed tells of a conflict that was resolved.
type Clashed struct {
	Peer string
	collection.Clash
}

func (PeersChanged) event() {}
func (Failed) event()       {}
func (Clashed) event()      {}

// Peer is another replica of the topic.
type Peer struct {
	ID       string               // under which the network knows it
	Replica  document.ReplicaID   // of its copy of the collection; zero for RxDB clients
	RxDB     bool                 // an RxDB client
	Progress replication.Progress // zero in what Options.Valid is given
	Path     transport.Stats      // some seconds old at most; Pool.Stats has it fresh
}

// Pool is the replication of one collection in one topic. It goes on until Cancel. All methods may be called concurrently.
type Pool struct {
	mesh   *Mesh
	coll   *collection.Collection
	topic  string
	opts   Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	turns  *replication.Turns
	bridge *bridge // nil without Options.RxDB

	mu       sync.Mutex     // guards the following fields
	channels []*channel     // with a session
	change   chan struct{}  // closed, and replaced, when Progress of a peer may have changed
	announce *time.Timer    // set while PeersChanged is to come
	wg       sync.WaitGroup // sessions; added to under mu, and not any more once ctx has ended
}

// errRefused tells that the application does not want the peer. As long as the connection lasts it is not asked again.
var errRefused = errors.New("the application refused the peer")

// Replicate begins to replicate coll with all others that replicate a collection of that name in topic. It returns at once; peers come when
// they come. Cancelling ctx afterwards has no effect. The collection must stay open until the pool is cancelled.
func Replicate(ctx context.Context, mesh *Mesh, coll *collection.Collection, topic string, opts *Options) (*Pool, error) {
	p, err := replicate(ctx, mesh, coll, topic, opts)
	if err != nil && opts != nil && opts.RxDB != nil && opts.RxDB.Log != nil {
		err = errors.Join(err, opts.RxDB.Log.Close()) // again, it does nothing
	}
	return p, err
}

func replicate(ctx context.Context, mesh *Mesh, coll *collection.Collection, topic string, opts *Options) (*Pool, error) {
	if n := len([]rune(topic)); n < minTopic || n > maxTopic {
		return nil, fmt.Errorf("topic %q has %d characters, must have %d to %d", topic, n, minTopic, maxTopic)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	p := &Pool{mesh: mesh, coll: coll, topic: topic, opts: opts.withDefaults(), change: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	if err := p.bridgeTo(ctx, mesh); err != nil {
		return nil, fmt.Errorf("replicate with RxDB clients: %w", err)
	}
	if err := mesh.add(p); err != nil {
		if p.bridge != nil {
			err = errors.Join(err, p.bridge.close())
		}
		return nil, fmt.Errorf("replicate: %w", err)
	}
	return p, nil
}

// bridgeTo prepares for RxDB clients if there are to be some.
func (p *Pool) bridgeTo(ctx context.Context, mesh *Mesh) (err error) {
	switch {
	case p.opts.RxDB == nil:
		return nil
	case len(mesh.secret) > 0:
		return errors.New("the mesh has a secret, which RxDB clients cannot prove; use one without, or a room of their own")
	case mesh.signaler == nil:
		return errors.New("the mesh has connections of another kind than WebRTC; use Connect")
	}
	p.bridge, err = newBridge(ctx, p, mesh.signaler)
	return err
}

// Topic returns the topic.
func (p *Pool) Topic() string { return p.topic }

// Collection returns the collection.
func (p *Pool) Collection() *collection.Collection { return p.coll }

// Cancel ends the replication and waits until nothing of it runs any more. What was not sent by then is sent when the collection is replicated again. Cancelling again does nothing.
func (p *Pool) Cancel() {
	p.cancel(net.ErrClosed)
	p.mesh.remove(p)
	p.mu.Lock()
	if p.announce != nil {
		p.announce.Stop()
	}
	p.mu.Unlock()
	p.wg.Wait()
	if p.bridge != nil {
		if err := p.bridge.close(); err != nil {
			p.mesh.log.Error("close what is known of RxDB clients", "error", err)
		}
	}
}

// Peers returns the peers with which a session runs, sorted by ID.
func (p *Pool) Peers() []Peer {
	p.mu.Lock()
	channels := slices.Clone(p.channels)
	p.mu.Unlock()
	var peers []Peer
	for _, c := range channels {
		if s := c.current(); s != nil {
			peers = append(peers, Peer{ID: c.link.conn.Peer(), Replica: s.Remote(), Progress: s.Progress(), Path: c.link.lastPath()})
		}
	}
	if p.bridge != nil {
		peers = append(peers, p.bridge.peers()...)
	}
	slices.SortFunc(peers, comparePeers)
	return peers
}

// Stats returns how the connection to a peer is made up. It may block for a short while.
func (p *Pool) Stats(ctx context.Context, peer string) (transport.Stats, bool) {
	p.mu.Lock()
	i := slices.IndexFunc(p.channels, func(c *channel) bool { return c.link.conn.Peer() == peer })
	var conn transport.Conn
	if i >= 0 {
		conn = p.channels[i].link.conn
	}
	p.mu.Unlock()
	if conn == nil && p.bridge != nil {
		if c := p.bridge.peer(peer); c != nil {
			return c.Stats(ctx), true
		}
	}
	if conn == nil {
		return transport.Stats{}, false
	}
	return conn.Stats(ctx), true
}

// AwaitFirstPeer blocks until there is a session with a peer.
func (p *Pool) AwaitFirstPeer(ctx context.Context) error {
	return p.await(ctx, func(peers []Peer) bool { return len(peers) > 0 })
}

// AwaitInSync blocks until there is a peer, and all that there are have what this replica has, and it what they have.
func (p *Pool) AwaitInSync(ctx context.Context) error {
	return p.await(ctx, func(peers []Peer) bool {
		return len(peers) > 0 && !slices.ContainsFunc(peers, func(q Peer) bool { return !q.Progress.InSync })
	})
}

// AwaitReplicated blocks until at least so many connected peers hold the version of a document, or a later one.
func (p *Pool) AwaitReplicated(ctx context.Context, version document.Dot, peers int) error {
	return p.await(ctx, func([]Peer) bool { return p.Replicas(version) >= peers })
}

// Replicas returns how many connected peers hold a version of a document, or a later one.
func (p *Pool) Replicas(version document.Dot) int {
	p.mu.Lock()
	channels := slices.Clone(p.channels)
	p.mu.Unlock()
	holders := make(map[document.ReplicaID]bool)
	for _, c := range channels {
		if s := c.current(); s != nil && s.Knows(version) {
			holders[s.Remote()] = true // which may be connected twice, for a moment, after a reload
		}
	}
	return len(holders)
}

func (p *Pool) await(ctx context.Context, cond func([]Peer) bool) error {
	for {
		p.mu.Lock()
		change := p.change
		p.mu.Unlock()
		if cond(p.Peers()) {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
}

// announceAfter is how long PeersChanged waits for more changes.
const announceAfter = 100 * time.Millisecond

// changed wakes who waits for something.
func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.change)
	p.change = make(chan struct{})
	if p.announce == nil && p.ctx.Err() == nil {
		p.announce = time.AfterFunc(announceAfter, func() {
			p.mu.Lock()
			p.announce = nil
			p.mu.Unlock()
			p.opts.OnEvent(PeersChanged{})
		})
	}
}

// admit decides whether a session with a peer may begin.
func (p *Pool) admit(ctx context.Context, c *channel, theirs *protocol.Open) error {
	if !sameSchema(c.own, theirs) {
		return protocol.Faultf(protocol.FaultSchema, "collection %q has schema version %d (%x) on one side and %d (%x) on the other",
			p.coll.Name(), c.own.SchemaVersion, c.own.SchemaHash[:4], theirs.SchemaVersion, theirs.SchemaHash[:4])
	}
	if p.opts.Valid == nil {
		return nil
	}
	ok, err := p.opts.Valid(ctx, Peer{ID: c.link.conn.Peer(), Replica: theirs.Replica})
	if err != nil {
		return fmt.Errorf("decide whether the peer is valid: %w", err)
	}
	if !ok {
		return errRefused
	}
	return nil
}

// sameSchema reports whether two sides may exchange documents. A side without a hash takes documents of any schema of that version.
func sameSchema(a, b *protocol.Open) bool {
	none := [32]byte{}
	return a.SchemaVersion == b.SchemaVersion && (a.SchemaHash == b.SchemaHash || a.SchemaHash == none || b.SchemaHash == none)
}

// begin notes a goroutine of the pool. It returns false if the pool was cancelled.
func (p *Pool) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.wg.Add(1)
	return true
}

// joined notes a channel that has a session.
func (p *Pool) joined(c *channel) {
	p.mu.Lock()
	p.channels = append(p.channels, c)
	p.mu.Unlock()
	p.changed()
}

func (p *Pool) left(c *channel) {
	p.mu.Lock()
	p.channels = slices.DeleteFunc(p.channels, func(o *channel) bool { return o == c })
	p.mu.Unlock()
	p.changed()
}

func (p *Pool) report(peer string, err error) { p.opts.OnEvent(Failed{peer, err}) }

func (p *Pool) clashed(peer string, clashes []collection.Clash) {
	for _, c := range clashes {
		p.opts.OnEvent(Clashed{peer, c})
	}
}

func (p *Pool) newRand() *rand.Rand {
	p.mesh.mu.Lock()
	defer p.mesh.mu.Unlock()
	return rand.New(rand.NewPCG(p.mesh.rng.Uint64(), p.mesh.rng.Uint64()))
}
