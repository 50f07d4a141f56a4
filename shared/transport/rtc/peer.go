package rtc

import (
	"fmt"
	"maps"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// maxListed bounds how many peers a signaling server can make the network remember.
const maxListed = 10_000

// peer is what the network knows of one id that the signaling server lists. It belongs to the network's loop.
type peer struct {
	id    string
	rooms map[string]bool // in which the server lists it now
	last  map[string]bool // in which it was listed when it was listed last; valid while rooms is empty

	open    *link // the connection
	attempt *link // what may become one
	relay   *link // the connection through the signaling server, or what may become one

	failures int       // attempts that failed since the last connection that lasted
	old      string    // id of a connection that only the peer still has
	actAt    time.Time // when to begin an attempt, or to ask for one; zero: no need
	relayAt  time.Time // when to begin a relayed connection, if there is none by then; zero: no need
	noRelay  bool      // the peer, or the server, does not want one
	tried    bool      // an attempt was told of since the last connection
}

// initiates says whether this side begins: RxDB's rule.
func (n *Network) initiates(p *peer) bool { return p.id > n.self }

// hurry makes what is planned happen now.
func (p *peer) hurry(now time.Time) {
	if !p.actAt.IsZero() {
		p.actAt = now
		p.failures = 0
	}
	if !p.relayAt.IsZero() && p.attempt == nil {
		p.relayAt = now
	}
}

// wanted says whether there should be a connection to p.
func (n *Network) wanted(p *peer) bool {
	return len(p.rooms) > 0 && n.self != "" && !n.closing && !n.avoids(p)
}

func (n *Network) avoids(p *peer) bool { return time.Now().Before(n.avoided[p.id]) }

// postpone plans what is not to be done to a peer before the network stops avoiding it. It reports whether the network does.
func (n *Network) postpone(p *peer) bool {
	if n.avoids(p) {
		p.actAt = n.avoided[p.id]
		return true
	}
	return false
}

// forgetIdle removes p when nothing about it matters any more.
func (n *Network) forgetIdle(p *peer) {
	if len(p.rooms) > 0 || p.open != nil || p.attempt != nil || p.relay != nil {
		return
	}
	if delete(n.peers, p.id); p.tried {
		p.tried = false
		n.opts.Events(transport.Event{Peer: p.id, State: transport.Closed})
	}
}

// handle takes one event of the signaler.
func (n *Network) handle(event SignalerEvent) {
	switch e := event.(type) {
	case Connected:
		n.connected(e)
	case Disconnected:
		n.disconnected(e)
	case PeerJoined:
		n.peerJoined(e)
	case PeerLeft:
		n.peerLeft(e)
	case Signal:
		n.signalFrom(e)
	case Relayed:
		n.relayedFrom(e)
	case RelayRefused:
		n.relayRefused(e)
	}
}

func (n *Network) connected(e Connected) {
	if n.self != "" {
		n.unlistAll()
	}
	if n.named != "" && n.named != e.Self {
		n.dropRelays()
	}
	n.self, n.named = e.Self, e.Self
	n.servers = append(append([]ICEServer(nil), n.opts.ICEServers...), e.ICEServers...)
	for _, l := range n.links {
		l.setServers(n.servers)
	}
	n.opts.Events(transport.Event{State: transport.Open})
}

func (n *Network) disconnected(e Disconnected) {
	n.self = ""
	n.outbox.drop()
	n.unlistAll()
	n.opts.Events(transport.Event{State: transport.Closed, Err: e.Err})
}

// unlistAll forgets who is listed: the server will say it again.
func (n *Network) unlistAll() {
	for _, p := range n.peers {
		if len(p.rooms) > 0 {
			p.last, p.rooms = p.rooms, make(map[string]bool)
		}
		n.unlisted(p)
	}
}

// unlisted deals with a peer that can get no signals now. Its connection stays.
func (n *Network) unlisted(p *peer) {
	p.actAt, p.relayAt = time.Time{}, time.Time{}
	if p.attempt != nil {
		p.attempt.fail(fmt.Errorf("%w: signaling lost it", ErrPeerGone))
	}
	if p.open != nil && p.open.Peer() != p.id {
		p.open = nil // it goes on under the peer's new id
	}
	n.forgetIdle(p)
}

func (n *Network) peerJoined(e PeerJoined) {
	if e.Peer == n.self || !n.topics[e.Room] {
		return
	}
	p := n.peers[e.Peer]
	if p == nil {
		if len(n.peers) >= maxListed {
			n.logger.Warn("too many peers listed", "peer", e.Peer, "room", e.Room)
			return
		}
		p = &peer{id: e.Peer, rooms: make(map[string]bool)}
		n.peers[e.Peer] = p
	}
	appeared := len(p.rooms) == 0 || p.rooms[e.Room] // the second: it came again, and the server did not notice that it left
	p.rooms[e.Room] = true
	p.last = nil
	if appeared {
		p.failures = 0
		p.noRelay = false
		n.greet(p, time.Now())
	}
}

func (n *Network) peerLeft(e PeerLeft) {
	p := n.peers[e.Peer]
	if p == nil || !p.rooms[e.Room] {
		return
	}
	if len(p.rooms) == 1 {
		p.last = maps.Clone(p.rooms)
	}
	delete(p.rooms, e.Room)
	if len(p.rooms) > 0 {
		return
	}
	if p.open != nil {
		signalOne(p.open.left)
	}
	p.endRelay(fmt.Errorf("%w: it left", ErrPeerGone))
	n.unlisted(p)
}

// greet begins what makes a connection to a peer that appeared. Where there may be one already, under this id or another,
// it asks first.
func (n *Network) greet(p *peer, now time.Time) {
	for _, l := range []*link{p.open, p.relay} {
		if l != nil {
			signalOne(l.woken) // it may have waited for a way to signal
		}
	}
	switch {
	case n.postpone(p) || !n.wanted(p) || p.attempt != nil:
	case !n.initiates(p):
		if p.open == nil {
			p.actAt = now.Add(n.timing.connect)
		}
	case p.open != nil || n.hasOrphans():
		n.tellPeer(p, signal{Kind: kindHello, From: n.instance})
		if p.open == nil {
			p.actAt = now.Add(n.timing.connect)
		}
	default:
		n.attempt(p)
	}
}

// hasOrphans says whether there is a connection to a peer that is not listed: it may be listed under a new id.
func (n *Network) hasOrphans() bool {
	for _, p := range n.peers {
		if p.open != nil && len(p.rooms) == 0 {
			return true
		}
	}
	return false
}

// due is when tick has something to do next.
func (n *Network) due() time.Time {
	due := time.Now().Add(time.Hour)
	for _, p := range n.peers {
		for _, t := range []time.Time{p.actAt, p.relayAt} {
			if !t.IsZero() && t.Before(due) {
				due = t
			}
		}
	}
	return due
}

func (n *Network) tick(now time.Time) {
	for _, p := range n.peers {
		if !p.actAt.IsZero() && !now.Before(p.actAt) {
			p.actAt = time.Time{}
			n.act(p, now)
		}
		if !p.relayAt.IsZero() && !now.Before(p.relayAt) {
			n.startRelay(p)
		}
	}
}

// act begins an attempt at p, or asks p for one when that is p's part.
func (n *Network) act(p *peer, now time.Time) {
	switch {
	case n.postpone(p) || !n.wanted(p) || p.attempt != nil || p.open != nil:
	case n.initiates(p):
		n.attempt(p)
	default:
		n.tellPeer(p, signal{Kind: kindWant, From: n.instance})
		p.failures++
		p.actAt = now.Add(n.timing.connect + n.timing.backoff(p.failures, n.opts.Rand))
	}
}

// tellPeer sends a signal and says whether there is a way to p.
func (n *Network) tellPeer(p *peer, s signal) bool {
	data, err := encodeSignal(s)
	if err != nil || n.self == "" {
		return false
	}
	room, ok := n.roomOf(p)
	if ok && !n.outbox.put(outgoing{room: room, peer: p.id, data: data}) {
		n.logger.Warn("too many signals wait", "peer", p.id, "room", room)
	}
	return ok
}

// roomOf returns a room that is shared with p.
func (n *Network) roomOf(p *peer) (room string, ok bool) {
	for room := range p.rooms {
		if n.topics[room] {
			return room, true
		}
	}
	return "", false
}

// forgetTopic takes topic from all peers and ends the links to those with which none is shared any more. It returns these.
func (n *Network) forgetTopic(topic string) []*link {
	var closing []*link
	for _, p := range n.peers {
		delete(p.rooms, topic)
		delete(p.last, topic)
		if len(p.rooms) > 0 || len(p.last) > 0 && p.open != nil {
			continue
		}
		p.actAt, p.relayAt = time.Time{}, time.Time{}
		for _, l := range []*link{p.open, p.attempt, p.relay} {
			if l != nil && !n.sharedOtherwise(l, p) {
				l.fail(fmt.Errorf("no topic is shared any more: %w", errLeft))
				closing = append(closing, l)
			}
		}
		n.forgetIdle(p)
	}
	return closing
}

// sharedOtherwise says whether l serves a peer under another id than p's too.
func (n *Network) sharedOtherwise(l *link, p *peer) bool {
	for _, other := range n.peers {
		if other != p && other.open == l && (len(other.rooms) > 0 || len(other.last) > 0) {
			return true
		}
	}
	return false
}
