package pool

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/rxdb"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// RxDBOptions makes a pool replicate with the RxDB clients of its topic, too. The zero value of a field is its default. RxDB's messages do not say of
// which collection they are, so one pool of a topic can have this.
type RxDBOptions struct {
	// Log keeps what has to be remembered of RxDB clients: a log of its own in the database of the collection. The pool closes it. Default: it is
	// kept in memory, and clients start from scratch when the program does.
	Log store.Log
	// Token is the storage token that RxDB clients see; by it master and fork are chosen. Default: made once and kept in Log.
	Token string
	// AlwaysOn tells the signaling server that this replica is meant to stay, so that it has RxDB clients connect to this one rather than to others.
	AlwaysOn bool
	// RequestTimeout is how long the answer of a client is awaited. Default: 20 seconds, as in RxDB.
	RequestTimeout time.Duration
}

// connector makes connections of simple-peer's shape, and passes their signals on.
type connector interface {
	// sendAttempt sends a signal to a peer.
	sendAttempt(ctx context.Context, room, peer, connectionID string, data []byte) error
	// newSimplePeer makes one end of a connection.
	newSimplePeer(opts *rtc.SimplePeerOptions) (*rtc.SimplePeer, error)
}

// Limits of a bridge, per pool.
const (
	maxBridged = 128 // connections and attempts
	maxEarly   = 64  // signals of a peer that came before the news that it is to be served here
	maxMembers = 10_000
)

// The times between attempts: SIMPLE_PEER_RECONNECT_DELAY_MIN and _MAX of RxDB's connection-handler-simple-peer.ts.
const (
	bridgeBackoffMin = protocol.ReconnectMin
	bridgeBackoffMax = protocol.ReconnectMax
)

// bridge replicates the collection of a pool with RxDB clients. It connects to those that the signaling server assigns to this peer, by RxDB's rules.
type bridge struct {
	pool   *Pool
	opts   RxDBOptions
	meta   *rxdb.Meta
	conn   connector
	rng    *rand.Rand // of the loop
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	ready  chan struct{} // one token: there are events

	// The following fields belong to the loop.
	self    string
	members map[string]*member
	open    int // attempts

	mu       sync.Mutex // guards the following fields
	queue    []any
	sessions []*attempt // with a session
}

// member is an RxDB peer of the room.
type member struct {
	id       string
	listed   bool
	mine     bool // to be served here
	refused  bool // the application does not want it
	early    []signaling.Signal
	attempt  *attempt
	failures int
	retryAt  time.Time
}

// What the loop is told besides events of the signaling client.
type (
	attemptOpened struct{ *attempt }
	attemptEnded  struct {
		*attempt
		err error
	}
	hurry struct{}
)

// newBridge opens what is known of RxDB clients. The bridge does nothing until start.
func newBridge(ctx context.Context, p *Pool, conn connector) (*bridge, error) {
	b := &bridge{pool: p, opts: *p.opts.RxDB, conn: conn, ready: make(chan struct{}, 1), members: make(map[string]*member)}
	log := b.opts.Log
	if log == nil {
		var err error
		if log, err = memlog.New(nil).Open(nil).Log(ctx, "rxdb"); err != nil {
			return nil, err
		}
	}
	meta, err := rxdb.OpenMeta(ctx, log, p.coll, &rxdb.MetaOptions{Token: b.opts.Token})
	if err != nil {
		return nil, err
	}
	b.meta = meta
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	return b, nil
}

func (b *bridge) start() {
	b.rng = b.pool.newRand()
	b.wg.Go(b.run)
}

// close ends all connections and waits until nothing runs any more.
func (b *bridge) close() error {
	b.cancel(net.ErrClosed)
	b.wg.Wait()
	return b.meta.Close()
}

// maxQueue bounds the signals that wait for the loop, which is quick.
const maxQueue = 10_000

// push queues an event. It does not block.
func (b *bridge) push(e any) {
	b.mu.Lock()
	if _, ok := e.(signaling.Signal); !ok || len(b.queue) < maxQueue {
		b.queue = append(b.queue, e)
	}
	b.mu.Unlock()
	signal(b.ready)
}

func (b *bridge) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Stop()
		if at := b.act(time.Now()); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case <-b.ready:
			b.mu.Lock()
			events := b.queue
			b.queue = nil
			b.mu.Unlock()
			for _, e := range events {
				b.handle(e)
			}
		case <-timer.C:
		case <-b.ctx.Done():
			return
		}
	}
}

// act begins the attempts that are due and returns when the next one is.
func (b *bridge) act(now time.Time) (next time.Time) {
	for _, m := range b.members {
		if !m.mine || !m.listed || m.refused || m.attempt != nil || b.self == "" || m.id <= b.self {
			continue
		}
		if now.Before(m.retryAt) {
			if next.IsZero() || m.retryAt.Before(next) {
				next = m.retryAt
			}
			continue
		}
		b.begin(m, rxdb.RandomToken(b.rng), true)
	}
	return next
}

func (b *bridge) handle(e any) {
	switch e := e.(type) {
	case signaling.Connected:
		b.connected(e.Self)
	case signaling.PeerJoined:
		b.served(e.Peer, e.Mine)
	case signaling.PeerServed:
		b.served(e.Peer, e.Mine)
	case signaling.PeerLeft:
		b.left(e.Peer)
	case signaling.Signal:
		b.signaled(e)
	case attemptOpened:
		e.opened = true
	case attemptEnded:
		b.ended(e.attempt, e.err)
	case hurry:
		for _, m := range b.members {
			m.retryAt, m.failures = time.Time{}, 0
		}
	}
}

// connected notes under which id the peers see this one. Attempts under another are in vain.
func (b *bridge) connected(self string) {
	if self == b.self {
		return
	}
	b.self = self
	for _, m := range b.members {
		if m.attempt != nil && !m.attempt.opened {
			m.attempt.stop(errGone)
		}
	}
}

// errGone is why an attempt ends that nobody waits for any more.
var errGone = fmt.Errorf("peer left the room, or is another one's to replicate with: %w", net.ErrClosed)

// member returns a member, made if need be; nil if there are too many.
func (b *bridge) member(id string) *member {
	m := b.members[id]
	if m == nil && len(b.members) < maxMembers {
		m = &member{id: id}
		b.members[id] = m
	}
	return m
}

func (b *bridge) served(id string, mine bool) {
	m := b.member(id)
	if m == nil {
		return
	}
	m.listed = true
	if m.mine && !mine && m.attempt != nil {
		m.attempt.stop(errGone) // two that replicate with one client would make a cycle
	}
	m.mine = mine
	if mine {
		early := m.early
		m.early = nil
		for _, s := range early {
			b.signaled(s)
		}
	}
}

func (b *bridge) left(id string) {
	m := b.members[id]
	if m == nil {
		return
	}
	m.listed, m.early = false, nil
	if m.attempt != nil && !m.attempt.opened {
		m.attempt.stop(errGone)
	}
	if m.attempt == nil {
		delete(b.members, id)
	}
}

// peers returns the clients with which a session runs and whose token is known.
func (b *bridge) peers() []Peer {
	b.mu.Lock()
	sessions := slices.Clone(b.sessions)
	b.mu.Unlock()
	var peers []Peer
	for _, a := range sessions {
		pr := a.session.Progress()
		if pr.Token == "" {
			continue
		}
		peers = append(peers, Peer{ID: a.member.id, RxDB: true, Progress: replication.Progress{
			Pulling: pr.Pulling, Received: pr.Received, Backlog: uint64(pr.Backlog), InSync: pr.InSync,
		}})
	}
	return peers
}

// peer returns the connection to a client, nil if there is none.
func (b *bridge) peer(id string) *rtc.SimplePeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.sessions, func(a *attempt) bool { return a.member.id == id })
	if i < 0 {
		return nil
	}
	return b.sessions[i].peer
}

func comparePeers(a, b Peer) int { return cmp.Compare(a.ID, b.ID) }
