package cluster

import (
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// update is what a node says to all: what has changed since its last update with changes, or only that it is there.
type update struct {
	Node    string   `json:"node"`
	Seq     uint64   `json:"seq"` // of this update, or of the last one where it has no changes
	Changes []change `json:"changes,omitempty"`
	Bye     bool     `json:"bye,omitempty"` // the node stops
}

// state is a part of all that a node has, for one that asked.
type state struct {
	Node    string   `json:"node"`
	Seq     uint64   `json:"seq"` // of the last update that is in it
	Part    int      `json:"part"`
	Parts   int      `json:"parts"`
	Changes []change `json:"changes"`
}

// change says what is true of a peer in a room.
type change struct {
	Room     string `json:"room"`
	Peer     string `json:"peer"`
	Left     bool   `json:"left,omitempty"`
	Since    int64  `json:"since,omitempty"`
	RxDB     bool   `json:"rxdb,omitempty"` // speaks RxDB's dialect
	Bridge   bool   `json:"bridge,omitempty"`
	AlwaysOn bool   `json:"alwaysOn,omitempty"`
	ServedBy string `json:"servedBy,omitempty"`
	Root     bool   `json:"root,omitempty"`
}

// changesMax is how many changes are in one message. Each has less than 1 KB, and NATS takes messages of 1 MB by default.
const changesMax = 500

func joined(room string, p hub.Presence) change {
	return change{
		Room: room, Peer: p.Peer, Since: p.Since, RxDB: p.Dialect == protocol.DialectRxDB,
		Bridge: p.Role.RxDB, AlwaysOn: p.Role.AlwaysOn, ServedBy: p.ServedBy, Root: p.Root,
	}
}

func (c *change) presence() hub.Presence {
	p := hub.Presence{
		Peer: c.Peer, Dialect: protocol.DialectShoal, Since: c.Since, Role: protocol.Role{RxDB: c.Bridge, AlwaysOn: c.AlwaysOn},
		ServedBy: c.ServedBy, Root: c.Root,
	}
	if c.RxDB {
		p.Dialect = protocol.DialectRxDB
	}
	return p
}

// valid reports whether a change is one that a hub can take.
func (c *change) valid() bool {
	return protocol.ValidRoom(c.Room) && len(c.Peer) == protocol.PeerIDLength
}
