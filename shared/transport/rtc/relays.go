package rtc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// errNoWay is why a frame could not be relayed now.
var errNoWay = errors.New("rtc: no way to the signaling server, or the peer is not listed")

// hasRelay says whether there is a relayed connection to p.
func (p *peer) hasRelay() bool { return p.relay != nil && !p.relay.openedAt.IsZero() }

// relayedFrom takes a frame that the server passed on.
func (n *Network) relayedFrom(e Relayed) {
	f, err := parseRelayFrame(e.Piece)
	p := n.peers[e.Peer]
	if err != nil || p == nil || len(p.rooms) == 0 {
		n.logger.Debug("drop relay frame", "peer", e.Peer, "room", e.Room, "error", err)
		return
	}
	if l := p.relay; l != nil && l.relay.id == f.id {
		select {
		case l.relay.frames <- f:
		default: // the peer sends it again
		}
		return
	}
	switch f.kind {
	case relayOpen:
		n.relayOffered(p, f)
	case relayData, relayAck:
		n.tellRelay(p, plainRelayFrame(relayGone, f.id))
	}
}

// relayOffered deals with a peer that found no direct path.
func (n *Network) relayOffered(p *peer, f relayFrame) {
	switch {
	case n.relayer == nil || len(n.relays) >= n.opts.MaxPeers:
		n.tellRelay(p, plainRelayFrame(relayRefuse, f.id))
		return
	case !n.wanted(p) || n.initiates(p):
		return
	case p.open != nil:
		signalOne(p.open.left) // the peer says that it has none, but it may be another who says so
		return
	case p.relay != nil:
		p.relay.fail(ErrReplaced)
		p.relay = nil
	}
	n.beginRelay(p, f.id, &f)
}

// startRelay begins a relayed connection to p, if there is to be one and this side is the one to begin.
func (n *Network) startRelay(p *peer) {
	p.relayAt = time.Time{}
	if n.relayer == nil || p.noRelay || p.open != nil || p.relay != nil || !n.wanted(p) || !n.initiates(p) || len(n.relays) >= n.opts.MaxPeers {
		return
	}
	var id relayID
	rand.Read(id[:]) // never fails, see crypto/rand
	n.beginRelay(p, id, nil)
}

func (n *Network) beginRelay(p *peer, id relayID, open *relayFrame) {
	l := newLink(n.life, hex.EncodeToString(id[:]), p.id, n.instance, linkOwner{
		opened: func(l *link) { n.do(func() { n.relayOpened(l) }) },
		ended:  func(l *link, cause error) { n.do(func() { n.relayEnded(l, cause) }) },
	})
	l.initiator = open == nil
	l.timing = n.timing
	l.logger = n.logger
	l.highWater = relayHighWater
	l.relay = newRelaying(id)
	l.relay.send = n.relaySend
	p.relay = l
	n.relays[l] = struct{}{}
	n.running.Go(func() { l.runRelayed(open) })
}

// relaySend passes a frame of l to the server. It blocks while earlier ones wait to be sent.
func (n *Network) relaySend(ctx context.Context, l *link, frame []byte) error {
	room, ok := "", false
	n.do(func() {
		if p := n.peers[l.Peer()]; p != nil && n.self != "" {
			room, ok = n.roomOf(p)
		}
	})
	if !ok {
		return errNoWay
	}
	return n.relayer.Relay(ctx, room, l.Peer(), frame)
}

// tellRelay sends a frame that belongs to no link.
func (n *Network) tellRelay(p *peer, frame []byte) {
	if room, ok := n.roomOf(p); ok && n.canRelay {
		n.outbox.put(outgoing{room: room, peer: p.id, data: frame, relay: true}) // a loss does no harm
	}
}

// relayRefused deals with the server's word that a frame was not passed on.
func (n *Network) relayRefused(e RelayRefused) {
	p := n.peers[e.Peer]
	switch {
	case p == nil || p.relay == nil:
	case e.Final:
		p.noRelay = true
		p.relay.fail(fmt.Errorf("%w: %w", ErrRelay, e.Err))
	default:
		signalOne(p.relay.relay.refused)
	}
}

func (n *Network) relayOpened(l *link) {
	p := n.peers[l.Peer()]
	if p == nil || p.relay != l || p.open != nil || n.closing || l.done.Err() != nil {
		l.fail(errDropped)
		return
	}
	p.tried = false
	l.openedAt = time.Now()
	n.logger.Info("connected through the signaling server", "peer", p.id)
	n.opts.Events(transport.Event{Peer: p.id, State: transport.Open})
	n.ready.put(l)
}

func (n *Network) relayEnded(l *link, cause error) {
	delete(n.relays, l)
	n.ready.remove(l)
	n.logger.Info("relayed connection ended", "peer", l.Peer(), "error", cause)
	p := n.peers[l.Peer()]
	if p == nil || p.relay != l {
		return // another one has taken its place
	}
	p.relay = nil
	if errors.Is(cause, ErrRelay) {
		p.noRelay = true
	}
	if p.open == nil {
		n.tellEnd(p, l, cause)
	}
	if p.open == nil && n.wanted(p) {
		p.relayAt = time.Now().Add(n.timing.backoff(p.failures, n.opts.Rand))
		if p.attempt == nil {
			n.retry(p)
		}
	}
	n.forgetIdle(p)
}

// tellEnd tells that there is no connection to p any more, or that the attempt at one failed.
func (n *Network) tellEnd(p *peer, l *link, cause error) {
	event := transport.Event{Peer: p.id, State: transport.Closed}
	if l.openedAt.IsZero() {
		event.State = transport.Failed
		p.tried = true
	}
	if !isClean(cause) {
		event.Err = cause
	}
	if event.Err != nil || event.State == transport.Closed {
		n.opts.Events(event)
	}
}

// dropRelays ends all relayed connections: the peers know this side by an id that it no longer has.
func (n *Network) dropRelays() {
	for l := range n.relays {
		l.fail(fmt.Errorf("%w: the signaling server has forgotten this side", ErrPeerGone))
	}
}

// endRelay ends what is relayed to p.
func (p *peer) endRelay(cause error) {
	p.relayAt = time.Time{}
	if p.relay != nil {
		p.relay.fail(cause)
	}
}
