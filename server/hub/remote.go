package hub

import (
	"github.com/shoaldb/shoal/shared/protocol"
)

// Cluster is how a hub tells other nodes of its members, and passes signals to theirs. No method may block: locks are held.
type Cluster interface {
	// Joined says that a peer of this node is in the room, or got another connection.
	Joined(room string, p Presence)
	// Left says that a peer of this node is no longer in the room, or is there by another node.
	Left(room string, peer string)
	// Signal passes a signaling message to a node, which is to call Deliver. It returns false where that cannot be done now.
	Signal(node string, text []byte) bool
}

// Presence is a peer that a node has a connection of.
type Presence struct {
	Peer    string
	Dialect protocol.Dialect
	// Since is when the peer got its connection, as Unix time in ns. Where two nodes have the same peer it is with the later one.
	Since int64
}

// Remote is a peer of another node. It is a member of rooms like any other; what it is sent goes by the Cluster, and what
// changes in its rooms it learns from its own node.
type Remote struct{ conn }

// NewRemote returns a peer of another node for RemoteJoined and RemoteLeft.
func (h *Hub) NewRemote(node string, p Presence) *Remote {
	r := &Remote{conn{hub: h, remote: node, id: p.Peer, since: p.Since, shoal: p.Dialect == protocol.DialectShoal}}
	r.known.Store(true)
	r.out.closed = true // takes nothing
	return r
}

// announce tells other nodes that the peer is in the room; r.mu is held.
func (c *conn) announce(r *room) {
	if cluster := c.hub.opts.Cluster; cluster != nil {
		cluster.Joined(r.name, Presence{c.id, c.dialect(), c.since})
	}
}

// uncount undoes what a member counts for, and tells other nodes that it has left if it was one of this node; r.mu is held.
func (r *room) uncount(c *conn) {
	if c.remote != "" {
		r.remote--
		return
	}
	if !c.shoal {
		r.rxdb--
	}
	if cluster := c.hub.opts.Cluster; cluster != nil {
		cluster.Left(r.name, c.id)
	}
}

// RemoteJoined makes a peer of another node a member of a room. Where this node has the same peer by an older connection, that is
// ended: the peer has gone to the other node.
func (h *Hub) RemoteJoined(name string, p *Remote) {
	var b batch
	h.mu.Lock()
	here := h.peers[p.id]
	r := h.lockRoom(name)
	h.mu.Unlock()
	switch m := r.members[p.id]; {
	case m == nil:
		r.record(&protocol.Message{
			Type: protocol.TypePeerJoined, Room: name, Peer: &protocol.PeerInfo{ID: p.id, Dialect: p.dialect()},
		})
		r.members[p.id] = &member{conn: &p.conn}
		r.remote++
	case p.since > m.conn.since:
		m.conn.quit(r)
		r.uncount(m.conn)
		m.conn = &p.conn
		r.remote++
	}
	h.tell(r, &b)
	r.mu.Unlock()
	b.flush()
	if here != nil && here.since < p.since {
		here.end(protocol.CodeReplaced, "this peer has connected to another node")
	}
}

// RemoteLeft undoes RemoteJoined, unless the peer is in the room by another connection.
func (h *Hub) RemoteLeft(name string, p *Remote) {
	h.mu.Lock()
	r := h.rooms[name]
	h.mu.Unlock()
	if r == nil {
		return
	}
	var b batch
	h.leave(&p.conn, r, &b)
	b.flush()
}

// Deliver passes on a signal that came from another node. Where its receiver is not here it is dropped.
func (h *Hub) Deliver(env *protocol.Envelope) {
	name, _ := env.Text(protocol.FieldRoom)
	receiver, _ := env.Text(protocol.FieldReceiver)
	h.mu.Lock()
	r := h.rooms[string(name)]
	h.mu.Unlock()
	if env.Type() != protocol.TypeSignal || r == nil {
		h.stats.undelivered.Add(1)
		return
	}
	var b batch
	if r.deliverHere(env, receiver, &b) {
		h.stats.signals.Add(1)
	} else {
		h.stats.undelivered.Add(1)
	}
	b.flush()
}

// deliverHere is relay for members of this node.
func (r *room) deliverHere(env *protocol.Envelope, receiver []byte, b *batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[string(receiver)]
	if m == nil || m.conn.remote != "" { // it has gone meanwhile; a signal is passed on once
		return false
	}
	r.catchUp(m, b)
	return m.conn.putSignal(env, b)
}
