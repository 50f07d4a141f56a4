package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// Network is a transport.Network over WebRTC. Make one with New.
//
// A connection whose owner closes it is attempted anew, after a growing while, as long as both ends share a topic: to stay apart
// from a peer, leave the topic.
type Network struct {
	signaler Signaler
	opts     *Options
	logger   *slog.Logger
	timing   timing
	native   nativeConfig
	instance string
	counts   counts
	canRelay bool    // the signaler does
	relayer  Relayer // nil where there are to be no relayed connections

	calls   chan func()     // for the loop
	done    chan struct{}   // closed when the loop ended
	life    context.Context // ends with the network; what its goroutines and links wait with
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	outbox  *outbox
	ready   acceptQueue

	// The following fields belong to the loop.
	self    string // "" while there is no connection to the signaling server
	named   string // the last self
	servers []ICEServer
	topics  map[string]bool
	peers   map[string]*peer
	links   map[string]*link // by id
	relays  map[*link]struct{}
	avoided map[string]time.Time // peers with which there is to be no connection before that time
	closing bool
}

// New makes a network that finds peers through signaler, which it closes at Close.
func New(signaler Signaler, opts *Options) (*Network, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	native, err := newNativeConfig(opts)
	if err != nil {
		return nil, err
	}
	return start(signaler, opts, native, defaultTiming(opts.ConnectTimeout)), nil
}

func start(signaler Signaler, opts *Options, native nativeConfig, times timing) *Network {
	n := &Network{
		signaler: signaler, opts: opts, logger: opts.Logger, timing: times, native: native,
		instance: newID(opts),
		calls:    make(chan func()),
		done:     make(chan struct{}),
		outbox:   newOutbox(),
		ready:    acceptQueue{ready: make(chan struct{}, 1)},
		servers:  opts.ICEServers,
		topics:   make(map[string]bool),
		peers:    make(map[string]*peer),
		links:    make(map[string]*link),
		relays:   make(map[*link]struct{}),
		avoided:  make(map[string]time.Time),
	}
	if relayer, ok := signaler.(Relayer); ok {
		n.canRelay = true
		if !opts.NoRelay {
			n.relayer = relayer
		}
	}
	n.life, n.cancel = context.WithCancelCause(context.Background())
	n.running.Go(n.loop)
	n.running.Go(n.readSignaler)
	n.running.Go(func() { n.outbox.run(n.life, signaler, n.logger) })
	return n
}

func newID(opts *Options) string { return strconv.FormatUint(opts.Rand.Uint64(), 36) }

// loop is the only goroutine that touches the state of the network.
func (n *Network) loop() {
	defer close(n.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !n.closing || len(n.links)+len(n.relays) > 0 {
		timer.Reset(time.Until(n.due()))
		select {
		case call := <-n.calls:
			call()
		case <-timer.C:
			n.tick(time.Now())
		}
	}
}

// do has the loop call f and waits for it. It returns false when the loop has ended.
func (n *Network) do(f func()) bool {
	called := make(chan struct{})
	select {
	case n.calls <- func() { f(); close(called) }:
		<-called
		return true
	case <-n.done:
		return false
	}
}

func (n *Network) readSignaler() {
	for {
		event, err := n.signaler.Next(n.life)
		if err != nil {
			if n.life.Err() == nil {
				n.logger.Error("signaler ended", "error", err)
				n.do(func() { n.handle(Disconnected{Err: err}) })
			}
			return
		}
		n.do(func() { n.handle(event) })
	}
}

// Join is Join of transport.Network.
func (n *Network) Join(topic string) error {
	err := net.ErrClosed
	n.do(func() {
		switch {
		case n.closing:
		case n.topics[topic]:
			err = fmt.Errorf("join %q: joined already", topic)
		default:
			if err = n.signaler.Join(topic); err == nil {
				n.topics[topic] = true
			}
		}
	})
	return err
}

// Leave is Leave of transport.Network.
func (n *Network) Leave(topic string) error {
	err := net.ErrClosed
	var closing []*link
	n.do(func() {
		switch {
		case n.closing:
		case !n.topics[topic]:
			err = fmt.Errorf("leave %q: not joined", topic)
		default:
			delete(n.topics, topic)
			closing = n.forgetTopic(topic)
			err = n.signaler.Leave(topic)
		}
	})
	for _, l := range closing {
		<-l.ended
	}
	return err
}

// Accept is Accept of transport.Network.
func (n *Network) Accept(ctx context.Context) (transport.Conn, error) {
	for {
		l, err := n.ready.take()
		if err != nil {
			return nil, err
		}
		if l != nil {
			return l, nil
		}
		select {
		case <-n.ready.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Wake tells that the network may have changed or be there again, as after sleep or on the browser's event `online`: paths are
// checked, and attempts are made at once that would have been made later.
func (n *Network) Wake() {
	n.signaler.Wake()
	n.do(func() {
		for _, l := range n.links {
			signalOne(l.woken)
		}
		for l := range n.relays {
			signalOne(l.woken)
		}
		for _, p := range n.peers {
			p.hurry(time.Now())
		}
	})
}

// Avoid makes no connection to a peer for some time: its owner has closed one because the peer is not to be dealt with, for a cause that
// the next event of the peer tells, which is transport.Failed, or transport.Closed where it has left. It must not be called from Options.Events.
func (n *Network) Avoid(peer string, cause error, d time.Duration) {
	n.do(func() {
		until := time.Now().Add(d)
		maps.DeleteFunc(n.avoided, func(_ string, t time.Time) bool { return time.Now().After(t) })
		if len(n.avoided) < maxListed {
			n.avoided[peer] = until
		}
		p := n.peers[peer]
		if p == nil {
			n.opts.Events(transport.Event{Peer: peer, State: transport.Closed, Err: cause})
			return
		}
		p.tried = true
		n.opts.Events(transport.Event{Peer: peer, State: transport.Failed, Err: cause}) // here, so that it comes after Connecting of what is dropped
		if p.attempt != nil {
			n.drop(p, p.attempt)
		}
		p.endRelay(errDropped)
		if p.open == nil {
			n.postpone(p)
		}
	})
}

// Close is Close of transport.Network. It closes the signaler too.
func (n *Network) Close() error {
	n.do(func() {
		n.closing = true
		for _, l := range n.links {
			l.fail(net.ErrClosed)
		}
		for l := range n.relays {
			l.fail(net.ErrClosed)
		}
	})
	n.ready.end(net.ErrClosed)
	<-n.done
	n.cancel(net.ErrClosed)
	err := n.signaler.Close()
	n.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close signaler: %w", err)
	}
	return nil
}

// acceptQueue holds the open connections that Accept did not return yet: at most Options.MaxPeers.
type acceptQueue struct {
	ready chan struct{} // holds one token when there may be something to take

	mu    sync.Mutex // guards the following fields
	links []*link
	err   error
}

func (q *acceptQueue) put(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.links = append(q.links, l)
	signalOne(q.ready)
}

func (q *acceptQueue) remove(l *link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.links = slices.DeleteFunc(q.links, func(other *link) bool { return other == l })
}

func (q *acceptQueue) take() (*link, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		signalOne(q.ready) // for the next call
		return nil, q.err
	}
	if len(q.links) == 0 {
		return nil, nil
	}
	l := q.links[0]
	q.links = slices.Delete(q.links, 0, 1)
	return l, nil
}

func (q *acceptQueue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
		signalOne(q.ready)
	}
}
