package signaling

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// room is what the client knows of a room that it wants to be in.
type room struct {
	name   string
	asked  bool // a join is on its way
	joined bool
	failed bool          // there was no token; askAt is to be set
	askAt  time.Time     // to ask with a fresh token then; zero for never
	delay  backoff       // of asking again when there was no token
	again  time.Duration // after which it was asked again last when the server refused
	role   protocol.Role
	peers  map[string]bool // whether it is an RxDB peer that this one is to replicate with
}

func newRoom(name string) *room { return &room{name: name, peers: make(map[string]bool)} }

// handle does what a message says, and emits the events.
func (c *Client) handle(s *session, text []byte) error {
	m, err := protocol.ParseMessage(text)
	if err != nil {
		return fmt.Errorf("read signaling message: %w", err)
	}
	switch m.Type {
	case protocol.TypeJoined:
		c.handleJoined(m)
	case protocol.TypePeerJoined:
		if m.Peer != nil {
			c.peerJoined(m.Room, *m.Peer)
		}
	case protocol.TypePeerLeft:
		c.peerLeft(m.Room, m.PeerID)
	case protocol.TypeSignal:
		c.handleSignal(m)
	case protocol.TypeRelay:
		c.handleRelay(m)
	case protocol.TypeICE:
		c.emit(ICEServers{Servers: m.ICEServers, TTL: time.Duration(m.TTL) * time.Second})
	case protocol.TypePong:
		c.handlePong(s)
	case protocol.TypeError:
		return c.handleError(m)
	}
	return nil // kinds that a later server may have are passed over
}

// handleJoined compares the list with what was known.
func (c *Client) handleJoined(m *protocol.Message) {
	c.mu.Lock()
	r := c.rooms[m.Room]
	if c.opts.Dialect == protocol.DialectRxDB {
		for _, r = range c.rooms { // the only one
		}
	}
	if r == nil {
		c.mu.Unlock()
		return
	}
	events := r.replace(c.members(m), c.self)
	if !r.joined {
		events = slices.Insert(events, 0, Event(Joined{Room: r.name}))
	}
	r.asked, r.joined = false, true
	r.delay.reset()
	r.again = 0
	if ttl := time.Duration(m.TTL) * time.Second; ttl > 0 {
		r.askAt = time.Now().Add(c.renewAfter(ttl))
	}
	c.mu.Unlock()
	for _, e := range events {
		c.emit(e)
	}
}

// members returns who else is in the room; c.mu is held.
func (c *Client) members(m *protocol.Message) []protocol.PeerInfo {
	list := m.Peers
	for _, id := range m.OtherPeerIDs {
		list = append(list, protocol.PeerInfo{ID: id, Dialect: protocol.DialectRxDB})
	}
	return slices.DeleteFunc(list, func(p protocol.PeerInfo) bool { return p.ID == c.self })
}

// replace takes over a list and returns what changed, those who left first.
func (r *room) replace(list []protocol.PeerInfo, self string) []Event {
	peers := make(map[string]bool, len(list))
	var events []Event
	for _, p := range list {
		if _, twice := peers[p.ID]; !twice {
			peers[p.ID] = r.mine(p, self)
			events = append(events, r.news(p, peers[p.ID])...)
		}
	}
	for id := range r.peers {
		if _, still := peers[id]; !still {
			events = slices.Insert(events, 0, Event(PeerLeft{Room: r.name, Peer: id}))
		}
	}
	r.peers = peers
	return events
}

// mine reports whether this peer is the one that replicates with an RxDB peer.
func (r *room) mine(p protocol.PeerInfo, self string) bool {
	return p.Dialect == protocol.DialectRxDB && r.role.RxDB && (p.ServedBy == self || p.ServedBy == protocol.ServedByAll)
}

// news returns what is to be told of a peer, if anything.
func (r *room) news(p protocol.PeerInfo, mine bool) []Event {
	was, known := r.peers[p.ID]
	switch {
	case !known:
		return []Event{PeerJoined{Room: r.name, Peer: p.ID, Dialect: p.Dialect, Mine: mine}}
	case was != mine:
		return []Event{PeerServed{Room: r.name, Peer: p.ID, Mine: mine}}
	}
	return nil
}

// peerJoined takes a peer that has come, or of which something changed.
func (c *Client) peerJoined(name string, p protocol.PeerInfo) {
	c.mu.Lock()
	r := c.rooms[name]
	if r == nil || !r.joined || p.ID == c.self {
		c.mu.Unlock()
		return
	}
	mine := r.mine(p, c.self)
	events := r.news(p, mine)
	r.peers[p.ID] = mine
	c.mu.Unlock()
	for _, e := range events {
		c.emit(e)
	}
}

func (c *Client) peerLeft(name, id string) {
	c.mu.Lock()
	r := c.rooms[name]
	if r == nil || !r.joined {
		c.mu.Unlock()
		return
	}
	_, known := r.peers[id]
	delete(r.peers, id)
	c.mu.Unlock()
	if known {
		c.emit(PeerLeft{Room: name, Peer: id})
	}
}

func (c *Client) handleSignal(m *protocol.Message) {
	c.mu.Lock()
	mine := c.rooms[m.Room] != nil && m.ReceiverPeerID == c.self
	c.mu.Unlock()
	if mine {
		c.emit(Signal{Room: m.Room, Peer: m.SenderPeerID, Data: m.Data, ConnectionID: m.ConnectionID})
	}
}

// handleRelay passes on a piece. What is none is no reason to end a session: another client made it.
func (c *Client) handleRelay(m *protocol.Message) {
	c.mu.Lock()
	mine := c.rooms[m.Room] != nil && m.ReceiverPeerID == c.self
	c.mu.Unlock()
	var piece []byte
	if mine && json.Unmarshal(m.Data, &piece) == nil && len(piece) > 0 {
		c.emit(Relayed{Room: m.Room, Peer: m.SenderPeerID, Piece: piece})
	}
}

// handlePong forgets the rooms whose leave the server got before the ping that it answers.
func (c *Client) handlePong(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pongs++
	for room, pings := range c.left {
		if pings < s.pongs {
			delete(c.left, room)
		}
	}
}

// handleError tells what was refused. An error that is final ends the session.
func (c *Client) handleError(m *protocol.Message) error {
	err := remoteError(m)
	c.mu.Lock()
	if m.Code == protocol.CodeReplaced {
		c.resume = "" // else the two would replace each other for ever
	}
	if r := c.rooms[m.Room]; r != nil && m.ReceiverPeerID == "" {
		r.asked, r.joined = r.asked && m.Code == protocol.CodeExpired, false
		switch m.Code {
		case protocol.CodeExpired:
			r.askAt = time.Now() // at once
		case protocol.CodeRoomFull, protocol.CodeInternal:
			r.askAt = time.Now().Add(c.refusedFor(r))
		}
	}
	c.mu.Unlock()
	if m.Code.Final() {
		return err
	}
	c.emit(Refused{Room: m.Room, Peer: m.ReceiverPeerID, Err: err})
	return nil
}
