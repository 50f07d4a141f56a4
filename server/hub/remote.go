package hub

import (
	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Cluster is how a hub tells other nodes of its members, and passes signals to theirs. No method may block: locks are held.
type Cluster interface {
	// Node is the name of this node, another one than any other has.
	Node() string
	// Joined says that a peer of this node is in the room, or that something else is true of it now.
	Joined(room string, p Presence)
	// Left says that a peer of this node is no longer in the room, or is there by another node.
	Left(room string, peer string)
	// Signal passes a signaling message to a node, which is to call Deliver. It returns false where that cannot be done now.
	Signal(node string, text []byte) bool
}

// Presence is what nodes tell one another of a peer in a room.
type Presence struct {
	Peer    string
	Dialect protocol.Dialect
	// Since is when the peer got its connection, as Unix time in ns; later, where it came from a node whose clock is ahead. Where two
	// nodes have the same peer it is with the later one.
	Since int64
	Role  protocol.Role // of a Shoal peer
	// ServedBy is of an RxDB peer, as in protocol.PeerInfo.
	ServedBy string
	// Root says that an RxDB peer is the root of its node's tree, and to be connected with those of other nodes.
	Root bool
}

// Remote is a peer of another node in a room. It is a member like any other; what it is sent goes by the Cluster, and what
// changes in the room it learns from its own node.
type Remote struct {
	conn
	presence Presence
}

// NewRemote returns a peer of another node, for one room.
func (h *Hub) NewRemote(node string, p Presence) *Remote {
	r := &Remote{presence: p}
	r.hub, r.remote, r.id, r.shoal = h, node, p.Peer, p.Dialect == protocol.DialectShoal
	r.since.Store(p.Since)
	r.known.Store(true)
	r.out.closed = true // takes nothing
	return r
}

// Presence is what is true of the peer.
func (p *Remote) Presence() Presence { return p.presence }

// announce tells other nodes what is true of a member of this one; r.mu is held.
func (r *room) announce(m *member) {
	cluster := m.conn.hub.opts.Cluster
	if cluster == nil || m.remote != nil {
		return
	}
	p := Presence{Peer: m.conn.id, Dialect: m.conn.dialect(), Since: m.conn.since.Load(), ServedBy: r.info(m).ServedBy}
	if m.conn.shoal {
		p.Role = r.rxdb.role(p.Peer)
	} else {
		p.Root = r.rxdb.root == m.place
	}
	cluster.Joined(r.name, p)
}

// link connects this node's tree of RxDB clients with those of other nodes, and tells them which is its root; r.mu is held. The
// roots are a star around that of the first node in the order of names: without bridges all trees are one then, and with
// bridges there are no roots.
func (r *room) link(node string) {
	root := ""
	if r.rxdb.root != nil {
		root = r.rxdb.root.id
	}
	if root != r.root {
		for _, id := range []string{r.root, root} {
			if m := r.members[id]; m != nil {
				r.announce(m)
			}
		}
		r.root = root
	}
	var links []string
	var centre, first string
	for id, m := range r.members {
		switch {
		case m.remote == nil || m.conn.shoal:
		case r.rxdb.mesh:
			links = append(links, id)
		case m.remote.presence.Root:
			links = append(links, id)
			if first == "" || m.conn.remote < first {
				centre, first = id, m.conn.remote
			}
		}
	}
	if !r.rxdb.mesh && first != "" && first < node {
		links = []string{centre}
	}
	r.rxdb.setLinks(links)
}

// RemoteJoined makes a peer of another node a member of a room, or takes what is true of it now, in a Remote that replaces the one
// before. Where this node has the same peer by an older connection, that is ended: the peer has gone to the other node.
func (h *Hub) RemoteJoined(name string, p *Remote) {
	var b batch
	h.mu.Lock()
	here := h.peers[p.id]
	gone := here != nil && here.since.Load() < p.presence.Since
	if gone {
		delete(h.peers, p.id) // so that it does not enter the room after this, with a join that is being decided
	}
	r := h.lockRoom(name)
	h.mu.Unlock()
	r.place(p)
	h.tell(r, &b)
	r.mu.Unlock()
	b.flush()
	if gone {
		here.end(protocol.CodeReplaced, "this peer has connected to another node")
	}
}

// place makes a peer of another node a member unless it is one already by a later connection; r.mu is held.
func (r *room) place(p *Remote) {
	m := r.members[p.id]
	switch {
	case m == nil:
		m = &member{}
		r.members[p.id] = m
	case m.conn.remote == p.remote && m.conn.since.Load() <= p.presence.Since:
	case m.conn.since.Load() < p.presence.Since:
		if m.remote == nil {
			m.conn.quit(r)
		}
		r.uncount(m)
	default:
		return
	}
	*m = member{conn: &p.conn, remote: p}
	if p.shoal {
		r.rxdb.setRole(p.id, p.presence.Role)
	}
	r.recordPeer(m)
	r.recordMoved()
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

// Deliver handles a message of another node: a signal, or a piece of a relayed connection, for a member of this one, or the
// error that such a message of a member of this one met with there.
func (h *Hub) Deliver(env *protocol.Envelope) {
	name, _ := env.Text(protocol.FieldRoom)
	h.mu.Lock()
	r := h.rooms[string(name)]
	h.mu.Unlock()
	typ := env.Type()
	if r == nil || typ != protocol.TypeSignal && typ != protocol.TypeRelay && typ != protocol.TypeError {
		h.stats.undelivered.Add(1)
		return
	}
	var b batch
	r.mu.Lock()
	if typ == protocol.TypeError {
		r.refused(env, &b)
	} else {
		code := r.relayHere(env, &b)
		h.stats.count(typ, env.SignalSize(), code)
		if code != "" {
			r.tellSender(env, code)
		}
	}
	r.mu.Unlock()
	b.flush()
}

// count counts a message of another node.
func (c *counters) count(typ protocol.Type, size int, code protocol.Code) {
	switch {
	case code != "":
		c.undelivered.Add(1)
		c.note(reason(code))
	case typ == protocol.TypeSignal:
		c.signals.Add(1)
	default:
		c.relayed.Add(1)
		c.relayBytes.Add(uint64(size))
	}
}

// relayHere is relay for members of this node; r.mu is held.
func (r *room) relayHere(env *protocol.Envelope, b *batch) protocol.Code {
	receiver, _ := env.Text(protocol.FieldReceiver)
	m := r.members[string(receiver)]
	relay := env.Type() == protocol.TypeRelay
	switch {
	case m == nil || m.remote != nil: // it has gone meanwhile; a signal goes from node to node once
		return protocol.CodeUnknownPeer
	case relay && (m.conn.hub.opts.NoRelay || !m.conn.shoal):
		return protocol.CodeRelayDenied
	}
	r.catchUp(m, b)
	switch ok := m.conn.putSignal(env, b); {
	case !ok && relay:
		return protocol.CodeRelayBusy
	case !ok:
		return protocol.CodePeerBusy
	}
	return ""
}

// tellSender sends the code of what hindered a message to the node that has its sender; r.mu is held.
func (r *room) tellSender(env *protocol.Envelope, code protocol.Code) {
	sender, _ := env.Text(protocol.FieldSender)
	receiver, _ := env.Text(protocol.FieldReceiver)
	if m := r.members[string(sender)]; m != nil && m.remote != nil {
		m.conn.hub.opts.Cluster.Signal(m.conn.remote, encode(&protocol.Message{
			Type: protocol.TypeError, Code: code, Room: r.name, SenderPeerID: m.conn.id, ReceiverPeerID: string(receiver),
		}))
	}
}

// refused tells a member of this node what tellSender of another one says; r.mu is held.
func (r *room) refused(env *protocol.Envelope, b *batch) {
	sender, _ := env.Text(protocol.FieldSender)
	receiver, _ := env.Text(protocol.FieldReceiver)
	code, _ := env.Text(protocol.FieldCode)
	m := r.members[string(sender)]
	if m == nil || m.remote != nil || !m.conn.shoal {
		return
	}
	m.conn.put(ws.OpText, encode(&protocol.Message{
		Type: protocol.TypeError, Code: protocol.Code(code), Text: "not delivered by the other server", Room: r.name, ReceiverPeerID: string(receiver),
	}), b)
}
