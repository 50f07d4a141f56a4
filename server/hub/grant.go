package hub

import (
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Grant is what a client may do in a room.
type Grant struct {
	Expires time.Time // when the client must leave, unless it has got a later grant; zero for never
	Relay   bool      // send to others of the room through the server
	TURN    bool      // have credentials of the TURN server
}

// everything is the grant of a hub without Options.Authorize.
func everything() Grant { return Grant{Relay: true, TURN: true} }

// membership is a room of a connection, and what the client may do there.
type membership struct {
	room  *room
	grant Grant
}

// ttl returns for how many seconds the grant is good still, 0 for ever.
func (g Grant) ttl() int {
	if g.Expires.IsZero() {
		return 0
	}
	return max(1, int(time.Until(g.Expires)/time.Second))
}

// find returns the index of the room of that name, -1 where the client is not in it; c.roomsMu is held.
func (c *conn) find(name []byte) int {
	return slices.IndexFunc(c.rooms, func(m membership) bool { return m.room.name == string(name) })
}

// room returns the room of that name if the client is in it. A client is in few rooms.
func (c *conn) room(name []byte) (*room, Grant) {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	if i := c.find(name); i >= 0 {
		return c.rooms[i].room, c.rooms[i].grant
	}
	return nil, Grant{}
}

// enlist notes a room that the client has come into.
func (c *conn) enlist(r *room, g Grant) {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	c.rooms = append(c.rooms, membership{r, g})
	c.noteExpiry()
}

// renew notes a new grant for a room, and returns the room; nil where the client is not in it.
func (c *conn) renew(name string, g Grant) *room {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	i := c.find([]byte(name))
	if i < 0 {
		return nil
	}
	c.rooms[i].grant = g
	c.noteExpiry()
	return c.rooms[i].room
}

// quit takes a room from those of the client.
func (c *conn) quit(r *room) {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	c.rooms = slices.DeleteFunc(c.rooms, func(m membership) bool { return m.room == r })
	c.noteExpiry()
}

// takeRooms returns the rooms that the client is in and leaves it none.
func (c *conn) takeRooms() []membership {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	rooms := c.rooms
	c.rooms = nil
	c.noteExpiry()
	return rooms
}

// noteExpiry computes c.expires; c.roomsMu is held.
func (c *conn) noteExpiry() {
	var first int64
	for _, m := range c.rooms {
		if e := m.grant.Expires; !e.IsZero() && (first == 0 || e.Unix() < first) {
			first = e.Unix()
		}
	}
	c.expires.Store(first)
}

// mayTURN reports whether the client is in a room in which it may use TURN.
func (c *conn) mayTURN() bool {
	c.roomsMu.Lock()
	defer c.roomsMu.Unlock()
	return slices.ContainsFunc(c.rooms, func(m membership) bool { return m.grant.TURN })
}

// expire has the client leave the rooms for which it has no grant any more, and tells it.
func (c *conn) expire(now time.Time, b *batch) {
	var over []*room
	c.roomsMu.Lock()
	c.rooms = slices.DeleteFunc(c.rooms, func(m membership) bool {
		gone := !m.grant.Expires.IsZero() && !now.Before(m.grant.Expires)
		if gone {
			over = append(over, m.room)
		}
		return gone
	})
	c.noteExpiry()
	c.roomsMu.Unlock()
	for _, r := range over {
		c.hub.leave(c, r, b)
		if !c.shoal {
			c.end(protocol.CodeExpired, "token expired") // in RxDB's dialect it could not be told otherwise
			return
		}
		c.put(ws.OpText, encode(&protocol.Message{
			Type: protocol.TypeError, Code: protocol.CodeExpired, Room: r.name, Text: "token expired, join again with a new one",
		}), b)
	}
}

// What a client was told of ICE servers.
const (
	icedNot = iota
	icedSTUN
	icedTURN
)

// tellICE gives a Shoal client its ICE servers: before its first room, when it comes into the first where it may use TURN, and
// when the credentials are about to end.
func (c *conn) tellICE(turn bool, b *batch) {
	if !c.shoal || c.hub.opts.ICEServers == nil {
		return
	}
	told, due := uint32(icedSTUN), uint32(0)
	if turn {
		told = icedTURN
	}
	servers, ttl := c.hub.opts.ICEServers(c.id, turn)
	if ttl > 0 {
		due = c.hub.tick.Load() + max(1, uint32(ttl/time.Second)*3/4)
	}
	c.iced.Store(told)
	c.iceDue.Store(due)
	if len(servers) > 0 {
		c.put(ws.OpText, encode(&protocol.Message{Type: protocol.TypeICE, ICEServers: servers, TTL: int(ttl / time.Second)}), b)
	}
}
