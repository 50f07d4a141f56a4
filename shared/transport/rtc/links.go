package rtc

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// errLeft is the cause of links to peers with which no topic is shared any more.
var errLeft = fmt.Errorf("rtc: left: %w", net.ErrClosed)

// signalFrom takes a signal of the server's.
func (n *Network) signalFrom(e Signal) {
	p := n.peers[e.Peer]
	s, err := decodeSignal(e.Data)
	if err != nil {
		n.logger.Warn("refuse signal", "peer", e.Peer, "room", e.Room, "error", err)
		return
	}
	if p == nil || len(p.rooms) == 0 {
		// The server passes signals only within a room. This one is from a peer that left, or overtook the news that it came.
		n.logger.Debug("drop signal of a peer that is not listed", "peer", e.Peer, "room", e.Room, "kind", s.Kind)
		return
	}
	switch l := n.links[s.ID]; {
	case l != nil && (l == p.open || l == p.attempt):
		n.pass(l, p, s)
	case s.Kind == kindOffer && l == nil:
		n.offered(p, s)
	case s.Kind == kindHello:
		n.hello(p, s)
	case s.Kind == kindHave:
		n.have(p, s)
	case s.Kind == kindWant:
		n.want(p)
	}
}

// pass gives a signal to the link that it is for.
func (n *Network) pass(l *link, p *peer, s signal) {
	if s.Kind == kindHave {
		return // the peer has what this side has
	}
	select {
	case l.signals <- s:
	default:
		n.logger.Warn("too many signals", "peer", p.id)
		l.fail(fmt.Errorf("%w: more than %d wait", errSignal, signalQueue))
	}
}

// offered deals with the offer of a new connection.
func (n *Network) offered(p *peer, s signal) {
	known := n.openTo(s.From)
	switch {
	case !n.wanted(p):
		return
	case known != nil && s.Old != known.id:
		n.alias(p, known)
		n.tellPeer(p, signal{Kind: kindHave, ID: known.id, From: n.instance})
		return
	case known != nil && known != p.open:
		signalOne(known.left) // p says that it gave it up, but it may be another who says so
		return
	}
	if a := p.attempt; a != nil {
		if a.initiator && s.ID < a.id {
			return // both began: the greater id stands, here and there
		}
		n.drop(p, a)
	}
	if len(n.links) >= n.opts.MaxPeers {
		n.tellPeer(p, signal{Kind: kindFull, ID: s.ID})
		return
	}
	n.begin(p, s.ID, s, "")
}

// hello answers a peer that asks whether it is known under another id.
func (n *Network) hello(p *peer, s signal) {
	if l := n.openTo(s.From); l != nil {
		n.alias(p, l)
		n.tellPeer(p, signal{Kind: kindHave, ID: l.id, From: n.instance})
		return
	}
	n.tellPeer(p, signal{Kind: kindWant, From: n.instance})
}

// have deals with a peer that has connection s.ID to this network already.
func (n *Network) have(p *peer, s signal) {
	if l := n.links[s.ID]; l != nil && n.isOpen(l) && l.remote() == s.From {
		n.alias(p, l)
		return
	}
	if p.attempt != nil {
		n.drop(p, p.attempt)
	}
	p.old = s.ID
	if n.wanted(p) && n.initiates(p) {
		n.attempt(p)
	}
}

// want deals with a peer that waits for an offer of this side. It has no connection, whatever this side has.
func (n *Network) want(p *peer) {
	now := time.Now()
	if !n.wanted(p) || !n.initiates(p) || p.attempt != nil || p.actAt.After(now) && p.failures > 0 {
		return
	}
	p.actAt = time.Time{}
	n.attempt(p)
}

// attempt begins a connection to p.
func (n *Network) attempt(p *peer) {
	if len(n.links) >= n.opts.MaxPeers {
		n.failed(p, fmt.Errorf("%w: MaxPeers is %d", ErrFull, n.opts.MaxPeers))
		return
	}
	old := p.old
	p.old = ""
	n.begin(p, newID(n.opts), signal{}, old)
}

// begin starts a link: with the peer's offer, or with an own one.
func (n *Network) begin(p *peer, id string, offer signal, old string) {
	l := newLink(n.life, id, p.id, n.instance, linkOwner{
		tell: func(l *link, s signal) (sent bool) {
			n.do(func() { sent = n.tellPeer(n.peerOf(l), s) })
			return sent
		},
		opened: func(l *link) { n.do(func() { n.opened(l) }) },
		ended:  func(l *link, cause error) { n.do(func() { n.ended(l, cause) }) },
	})
	l.initiator = offer.Kind != kindOffer
	l.instance = offer.From
	l.timing = n.timing
	l.logger = n.logger
	l.highWater = n.opts.HighWater
	l.config = pcConfig{
		servers: n.servers, relayOnly: n.opts.RelayOnly, lowWater: n.opts.HighWater / 2, native: n.native, counts: &n.counts,
	}
	n.links[id] = l
	p.attempt = l
	p.actAt = time.Time{}
	p.relayAt = time.Now().Add(n.timing.relay)
	if !p.hasRelay() {
		p.tried = true
		n.opts.Events(transport.Event{Peer: p.id, State: transport.Connecting})
	}
	n.running.Go(func() { l.run(offer, old) })
}

// peerOf returns the peer of l; when it was forgotten, one that cannot be reached.
func (n *Network) peerOf(l *link) *peer {
	if p := n.peers[l.Peer()]; p != nil {
		return p
	}
	return &peer{}
}

// openTo returns the open connection to the network instance, or nil.
func (n *Network) openTo(instance string) *link {
	for _, l := range n.links {
		if n.isOpen(l) && l.remote() == instance {
			return l
		}
	}
	return nil
}

// isOpen says whether l is the connection to a peer.
func (n *Network) isOpen(l *link) bool {
	p := n.peers[l.Peer()]
	return p != nil && p.open == l && l.done.Err() == nil
}

// alias makes l the connection to p too: the peer that l leads to is now listed as p.
func (n *Network) alias(p *peer, l *link) {
	if p.open == l {
		return
	}
	if p.attempt != nil {
		n.drop(p, p.attempt)
	}
	if p.open != nil {
		p.open.fail(ErrReplaced)
	}
	p.open = l
	p.actAt = time.Time{}
	p.endRelay(ErrReplaced)
	n.logger.Info("peer has another id", "peer", p.id, "before", l.Peer())
	n.opts.Events(transport.Event{Peer: l.Peer(), State: transport.Closed})
	n.opts.Events(transport.Event{Peer: p.id, State: transport.Open})
	before := n.peers[l.Peer()]
	l.setPeer(p.id)
	if before != nil && len(before.rooms) == 0 {
		before.open = nil
		n.forgetIdle(before)
	}
}

// drop ends an attempt that is not needed any more.
func (n *Network) drop(p *peer, attempt *link) {
	p.attempt = nil
	attempt.fail(errDropped)
}

// errDropped is the cause of an attempt that gave way to another one, or to a connection that was there.
var errDropped = fmt.Errorf("rtc: not needed: %w", net.ErrClosed)

// opened deals with an attempt that became a connection. It takes the place of others to the same peer.
func (n *Network) opened(l *link) {
	p := n.peers[l.Peer()]
	if p == nil || p.attempt != l || n.closing || l.done.Err() != nil {
		l.fail(errDropped)
		return
	}
	for _, other := range n.links {
		if other != l && n.isOpen(other) && (other == p.open || other.remote() == l.remote()) {
			other.fail(ErrReplaced)
		}
	}
	p.attempt, p.open, p.tried = nil, l, false
	p.actAt = time.Time{}
	p.endRelay(ErrReplaced)
	l.openedAt = time.Now()
	n.logger.Info("connected", "peer", p.id)
	n.opts.Events(transport.Event{Peer: p.id, State: transport.Open})
	n.ready.put(l)
}

// ended deals with the end of a link.
func (n *Network) ended(l *link, cause error) {
	delete(n.links, l.id)
	n.ready.remove(l)
	if !l.openedAt.IsZero() {
		event := transport.Event{Peer: l.Peer(), State: transport.Closed}
		if !isClean(cause) {
			event.Err = cause
		}
		n.logger.Info("connection ended", "peer", l.Peer(), "error", cause)
		n.opts.Events(event)
	}
	for _, p := range n.peers {
		switch l {
		case p.attempt:
			p.attempt = nil
			n.failed(p, cause)
		case p.open:
			p.open = nil
			if time.Since(l.openedAt) >= n.timing.steady {
				p.failures = 0
			}
			n.retry(p)
		}
		n.forgetIdle(p)
	}
}

// isClean says whether cause is an end that somebody wanted.
func isClean(cause error) bool {
	return errors.Is(cause, net.ErrClosed) || errors.Is(cause, ErrReplaced)
}

// failed deals with an attempt that came to nothing.
func (n *Network) failed(p *peer, cause error) {
	n.logger.Info("attempt failed", "peer", p.id, "error", cause)
	if !p.hasRelay() {
		p.tried = true
		n.opts.Events(transport.Event{Peer: p.id, State: transport.Failed, Err: cause})
	}
	n.retry(p)
	if !errors.Is(cause, ErrFull) {
		n.startRelay(p)
	}
}

// retry plans the next attempt at p, if there is to be one.
func (n *Network) retry(p *peer) {
	if n.postpone(p) || !n.wanted(p) || p.open != nil || p.attempt != nil {
		return
	}
	p.failures++
	wait := n.timing.backoff(p.failures, n.opts.Rand)
	if p.hasRelay() {
		wait += n.timing.upgrade << min(p.failures-1, 3)
	}
	if !n.initiates(p) {
		wait += n.timing.connect // the peer begins by itself, unless it does not know
	}
	p.actAt = time.Now().Add(wait)
}
