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

// listAtOnce is the number of members up to which an RxDB peer that joins is sent the list at once though others have just
// come. In bigger rooms it waits with the others, for a list for each who joins takes time that grows with the square.
const listAtOnce = 100

// room is the peers that see one another. What changes in it is told to Shoal peers as deltas and to RxDB's as the whole
// list, both gathered: the first change after a quiet time at once, those that follow together after a delay that grows with
// the room up to ListDelay. So a small room knows at once, and filling a big one does not cost a message for every pair of
// members. A Shoal peer that joins is told at once in any case.
//
// A lock of a room may be taken while hub.mu is held, and a connection's outbox while a room's lock is held; never the other
// way round.
type room struct {
	name string

	mu      sync.Mutex // guards the following fields
	members map[string]*member
	rxdb    int    // members that speak RxDB's dialect
	log     []byte // frames of the changes that not all Shoal members have been sent
	changes int    // so far
	dirty   bool   // not all RxDB members have been sent the list as it is
	armed   bool   // a timer is going to tell
}

// member is one in a room. What it has been sent is, of a Shoal peer, that much of the room's log, and of an RxDB peer, the
// list after that many changes.
type member struct {
	conn *conn
	seen int
}

// join makes a peer a member. It returns the number of members before, and the code of a refusal.
func (h *Hub) join(c *conn, name string, g Grant, b *batch) (size int, code protocol.Code) {
	if !c.mayHaveMore() {
		return 0, protocol.CodeTooManyRooms
	}
	h.mu.Lock()
	if h.peers[c.id] != c { // another connection resumed the peer
		h.mu.Unlock()
		return 0, ""
	}
	r := h.rooms[name]
	if r == nil {
		r = &room{name: name, members: make(map[string]*member)}
		h.rooms[name] = r
	}
	r.mu.Lock()
	h.mu.Unlock()
	defer r.mu.Unlock()
	if size = len(r.members); size >= h.opts.MaxRoomPeers {
		return size, protocol.CodeRoomFull
	}
	c.enlist(r, g)
	h.stats.joins.Add(1)
	r.record(&protocol.Message{
		Type: protocol.TypePeerJoined, Room: name, Peer: &protocol.PeerInfo{ID: c.id, Dialect: c.dialect()},
	})
	if c.shoal {
		c.putFrames(r.joined(c, g), b)
	} else {
		r.rxdb++
	}
	m := &member{conn: c}
	r.members[c.id] = m
	if c.shoal {
		m.seen = len(r.log)
	} else if r.armed && size < listAtOnce { // the others hear later
		r.tellList(m, r.list(), b)
	}
	h.tell(r, b)
	return size, ""
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
	if m := r.members[c.id]; m == nil || m.conn != c { // the peer is back already, by another connection
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
	if !c.shoal {
		r.rxdb--
	}
	r.record(&protocol.Message{Type: protocol.TypePeerLeft, Room: r.name, PeerID: c.id})
	h.tell(r, b)
	return len(r.members)
}

// record notes a change for all members; r.mu is held.
func (r *room) record(m *protocol.Message) {
	r.dirty = true
	r.changes++
	if len(r.members) > r.rxdb {
		r.log = append(r.log, frame(m)...)
	}
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
			list = append(list, protocol.PeerInfo{ID: other, Dialect: m.conn.dialect()})
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
	r.dirty = r.dirty && r.rxdb > 0
	if len(r.log) == 0 && !r.dirty {
		return false
	}
	var list []byte
	if r.dirty {
		list = r.list()
	}
	r.dirty = false
	for _, m := range r.members {
		switch {
		case m.conn.shoal:
			r.catchUp(m, b)
			m.seen = 0
		case list != nil:
			r.tellList(m, list, b)
		}
	}
	r.log = nil
	return true
}

// tellList queues the list for an RxDB member that does not know it; r.mu is held. Where an older list still waits to be read,
// the member gets the newer one after that.
func (r *room) tellList(m *member, list []byte, b *batch) {
	switch {
	case m.seen == r.changes:
	case m.conn.putList(r, list, b):
		m.seen = r.changes
	default:
		r.dirty = true
	}
}

// catchUp queues the changes that a Shoal member has not been sent; r.mu is held.
func (r *room) catchUp(m *member, b *batch) {
	if m.conn.shoal && m.seen < len(r.log) {
		m.conn.putFrames(r.log[m.seen:], b)
		m.seen = len(r.log)
	}
}

// list returns the frame of the list of all members for RxDB's dialect; r.mu is held.
func (r *room) list() []byte {
	ids := make([]string, 0, len(r.members))
	for id := range r.members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return frame(&protocol.Message{Type: protocol.TypeJoined, OtherPeerIDs: ids})
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

// tellMembers queues the list of the others for a Shoal member that asks again.
func (r *room) tellMembers(c *conn, g Grant, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[c.id]; m != nil && m.conn == c {
		m.seen = len(r.log)
		c.putFrames(r.joined(c, g), b)
	}
}
