package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// perMember is the delay over which changes are gathered, for each member of the room. Telling one takes the server some
// microseconds, so this keeps a room that changes all the time from taking more than a hundredth of its time.
const perMember = 500 * time.Microsecond

// listAtOnce is the number of members up to which an RxDB peer that joins is sent the list of all at once though others have just
// come. In bigger rooms it waits with the others, for a list for each who joins takes time that grows with the square.
const listAtOnce = 100

// room is the peers that see one another. What changes in it is told to Shoal peers as deltas and to RxDB's as the list of those
// they are to connect to, both gathered: the first change after a quiet time at once, those that follow together after a delay that grows with
// the room up to ListDelay. So a small room knows at once, and filling a big one does not cost a message for every pair of
// members. A Shoal peer that joins is told at once in any case.
//
// A lock of a room may be taken while hub.mu is held, and a connection's outbox while a room's lock is held; never the other
// way round.
type room struct {
	name string

	mu      sync.Mutex // guards the following fields
	members map[string]*member
	shoal   int      // members of this node that speak shoal.v1
	rxdb    topology // of the members of this node that speak RxDB's dialect
	log     []byte   // frames of the changes that not all Shoal members have been sent
	armed   bool     // a timer is going to tell
	root    string   // the root of rxdb that other nodes know
}

// member is one in a room.
type member struct {
	conn   *conn
	seen   int     // of a Shoal peer: how much of the room's log it has been sent
	place  *place  // of an RxDB peer of this node
	remote *Remote // a peer of another node; nil for those of this one
}

// join makes a peer a member. It returns the number of members before, and the code of a refusal.
func (h *Hub) join(c *conn, name string, g Grant, role protocol.Role, b *batch) (size int, code protocol.Code) {
	if !c.mayHaveMore() {
		return 0, protocol.CodeTooManyRooms
	}
	h.mu.Lock()
	if h.peers[c.id] != c { // another connection resumed the peer, here or at another node
		h.mu.Unlock()
		return 0, ""
	}
	r := h.lockRoom(name)
	h.mu.Unlock()
	defer r.mu.Unlock()
	before := r.members[c.id]
	if size = len(r.members); size >= h.opts.MaxRoomPeers && before == nil {
		return size, protocol.CodeRoomFull
	}
	if before != nil && before.remote != nil { // the peer comes from that node, whatever its clock says
		c.since.Store(max(c.since.Load(), before.remote.presence.Since+1))
	}
	c.enlist(r, g)
	h.stats.joins.Add(1)
	m := &member{conn: c}
	if c.shoal {
		r.recordPeer(m)
		r.rxdb.setRole(c.id, role)
		r.recordMoved()
		c.putFrames(r.joined(c, g), b)
		m.seen = len(r.log)
		if before == nil || before.remote != nil { // else it is back before the old connection was cleared away
			r.shoal++
		}
	} else {
		m.place = r.rxdb.add(c.id)
		r.rxdb.takeMoved() // itself at most
		r.recordPeer(m)
	}
	r.members[c.id] = m
	r.announce(m)
	if !c.shoal && r.armed && (size < listAtOnce || !r.rxdb.mesh) { // the others hear later
		r.tellList(m, r.list(m), b)
	}
	h.tell(r, b)
	return size, ""
}

// lockRoom returns the room of that name, made if need be, with its lock; h.mu is held.
func (h *Hub) lockRoom(name string) *room {
	r := h.rooms[name]
	if r == nil {
		r = &room{name: name, members: make(map[string]*member), rxdb: topology{mesh: h.opts.RxDBMesh}}
		h.rooms[name] = r
	}
	r.mu.Lock()
	return r
}

func (c *conn) mayHaveMore() bool {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	return len(c.rooms) < c.hub.opts.MaxRooms
}

// leave undoes join, and returns the number of members that are left. The caller takes r from c.rooms.
func (h *Hub) leave(c *conn, r *room, b *batch) int {
	h.mu.Lock()
	r.mu.Lock()
	m := r.members[c.id]
	if m == nil || m.conn != c { // the peer is back already, by another connection
		r.mu.Unlock()
		h.mu.Unlock()
		return 0
	}
	delete(r.members, c.id)
	if len(r.members) == 0 {
		delete(h.rooms, r.name)
	}
	h.mu.Unlock()
	defer r.mu.Unlock()
	r.uncount(m)
	r.record(&protocol.Message{Type: protocol.TypePeerLeft, Room: r.name, PeerID: c.id})
	r.recordMoved()
	h.tell(r, b)
	return len(r.members)
}

// uncount undoes what a member that has been taken out counts for; r.mu is held.
func (r *room) uncount(m *member) {
	c := m.conn
	if c.shoal {
		r.rxdb.setRole(c.id, protocol.Role{})
	}
	switch {
	case m.remote != nil:
		return
	case c.shoal:
		r.shoal--
	default:
		r.rxdb.remove(m.place)
	}
	if cluster := c.hub.opts.Cluster; cluster != nil {
		cluster.Left(r.name, c.id)
	}
}

// record notes a change for the Shoal members of this node; r.mu is held.
func (r *room) record(m *protocol.Message) {
	if r.shoal > 0 {
		r.log = append(r.log, frame(m)...)
	}
}

// recordPeer notes what is true of a member; r.mu is held.
func (r *room) recordPeer(m *member) {
	info := r.info(m)
	r.record(&protocol.Message{Type: protocol.TypePeerJoined, Room: r.name, Peer: &info})
}

// recordMoved notes the RxDB members with which another Shoal member replicates from now on; r.mu is held.
func (r *room) recordMoved() {
	for _, p := range r.rxdb.takeMoved() {
		if m := r.members[p.id]; m != nil {
			r.recordPeer(m)
			r.announce(m)
		}
	}
}

// info is what Shoal members are told of a member; r.mu is held.
func (r *room) info(m *member) protocol.PeerInfo {
	if m.place != nil {
		return r.rxdb.info(m.place)
	}
	i := protocol.PeerInfo{ID: m.conn.id, Dialect: m.conn.dialect()}
	if m.remote != nil {
		i.ServedBy = m.remote.presence.ServedBy
	}
	return i
}

// joined is the frame that tells a Shoal peer who else is in the room; r.mu is held.
func (r *room) joined(c *conn, g Grant) []byte {
	return frame(&protocol.Message{Type: protocol.TypeJoined, Room: r.name, Peers: r.others(c.id), TTL: g.ttl()})
}

// others lists the members but one; r.mu is held.
func (r *room) others(id string) []protocol.PeerInfo {
	list := make([]protocol.PeerInfo, 0, len(r.members))
	for other, m := range r.members {
		if other != id {
			list = append(list, r.info(m))
		}
	}
	slices.SortFunc(list, func(a, b protocol.PeerInfo) int { return compare(a.ID, b.ID) })
	return list
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// tell sees to it that the members learn what changed: now, or when the delay since the last time is over; r.mu is held.
func (h *Hub) tell(r *room, b *batch) {
	if r.armed {
		return
	}
	if h.opts.Cluster != nil {
		r.link(h.opts.Cluster.Node())
	}
	if r.deliver(b) {
		r.armed = true
		h.wg.Add(1)
		time.AfterFunc(min(h.opts.ListDelay, time.Duration(len(r.members))*perMember), func() {
			defer h.wg.Done()
			var b batch
			r.mu.Lock()
			r.armed = false
			h.tell(r, &b)
			r.mu.Unlock()
			b.flush()
		})
	}
}

// deliver queues what changed for those who do not know it, and reports whether there was anything; r.mu is held.
func (r *room) deliver(b *batch) bool {
	r.rxdb.stale = r.rxdb.stale && len(r.rxdb.clients) > 0
	if len(r.log) == 0 && !r.rxdb.stale {
		return false
	}
	r.rxdb.stale = false
	var list []byte
	for _, m := range r.members {
		switch {
		case m.remote != nil:
		case m.conn.shoal:
			r.catchUp(m, b)
			m.seen = 0
		case m.place.stale:
			if list == nil || !r.rxdb.mesh {
				list = r.list(m)
			}
			r.tellList(m, list, b)
		}
	}
	r.log = nil
	return true
}

// tellList queues the list for an RxDB member that does not know it; r.mu is held. Where an older list still waits to be read,
// the member gets the newer one after that.
func (r *room) tellList(m *member, list []byte, b *batch) {
	if m.conn.putList(r, list, b) {
		m.place.stale = false
	} else {
		r.rxdb.stale = true
	}
}

// catchUp queues the changes that a Shoal member has not been sent; r.mu is held.
func (r *room) catchUp(m *member, b *batch) {
	if m.conn.shoal && m.remote == nil && m.seen < len(r.log) {
		m.conn.putFrames(r.log[m.seen:], b)
		m.seen = len(r.log)
	}
}

// list returns the frame that tells an RxDB member whom to connect to; r.mu is held.
func (r *room) list(m *member) []byte {
	return frame(&protocol.Message{Type: protocol.TypeJoined, OtherPeerIDs: r.rxdb.list(m.place)})
}

// relay queues a signal for a member, after the changes that it must know first. It returns the code of what hindered it.
func (r *room) relay(env *protocol.Envelope, receiver []byte, b *batch) protocol.Code {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[string(receiver)]
	if m == nil {
		return protocol.CodeUnknownPeer
	}
	if env.Type() == protocol.TypeRelay && !m.conn.shoal {
		return protocol.CodeRelayDenied
	}
	r.catchUp(m, b)
	if !m.conn.putSignal(env, b) {
		return protocol.CodePeerBusy
	}
	return ""
}

// rejoin takes the role of a Shoal member that asks again, and queues the list of the others for it.
func (h *Hub) rejoin(c *conn, r *room, g Grant, role protocol.Role, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[c.id]; m != nil && m.conn == c {
		r.rxdb.setRole(c.id, role)
		r.recordMoved()
		r.announce(m)
		m.seen = len(r.log)
		c.putFrames(r.joined(c, g), b)
		h.tell(r, b)
	}
}
