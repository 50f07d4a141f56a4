package signaling

import (
	"encoding/json"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Event is what Client.Next returns: one of the structs of this file.
type Event interface{ event() }

// Connected says that the server took the connection. Where Self is the id of the last Connected, the peer was resumed and
// others need not have noticed anything; a new id is a new peer to them.
type Connected struct{ Self string }

// Disconnected says that the connection ended, or that an attempt to make one failed; the client goes on trying. Err says why.
// What is known of the rooms stays as it is until the server tells again.
type Disconnected struct{ Err error }

// ICEServers are the STUN and TURN servers that the server wants to be used from now on, good for TTL where that is not 0.
type ICEServers struct {
	Servers []protocol.ICEServer
	TTL     time.Duration
}

// Joined says that this peer is in the room, for the first time or again after a reconnect. What is different in the room
// since the client last knew it follows as PeerJoined and PeerLeft.
type Joined struct{ Room string }

// PeerJoined says that another peer is in the room.
type PeerJoined struct {
	Room, Peer string
	Dialect    protocol.Dialect
	Mine       bool // of an RxDB peer: this peer is to replicate with it; see PeerServed
}

// PeerServed says that it changed whether this peer is to replicate with an RxDB peer. An RxDB peer keeps a connection for as
// long as the other end does, so who is told that it is not Mine any more closes it: another peer replicates with it now, and
// both would make a cycle.
type PeerServed struct {
	Room, Peer string
	Mine       bool
}

// PeerLeft says that another peer is no longer in the room. An open connection to it may still work.
type PeerLeft struct{ Room, Peer string }

// Signal is a signal from another peer of the room. The consumer owns Data.
type Signal struct {
	Room, Peer   string
	Data         json.RawMessage
	ConnectionID string // of an RxDB peer's attempt; "" where there is none
}

// Relayed is a piece of a connection that goes through the server, from another peer of the room. Pieces may be lost. The consumer
// owns Piece.
type Relayed struct {
	Room, Peer string
	Piece      []byte
}

// Refused says that the server did not do what was asked: let this peer into Room, or pass a signal to Peer, where that is not
// "". Err matches a sentinel of package protocol, or is the error of Options.Token. A refused Join is tried again after each
// reconnect, and when Join is called again; where the room was full also by itself, 15 s later at first and 5 minutes at last. A peer that was in the room no longer is: with protocol.ErrExpired its token ended,
// and the client has already asked for a new one.
type Refused struct {
	Room, Peer string
	Err        error
}

func (Connected) event()    {}
func (Disconnected) event() {}
func (ICEServers) event()   {}
func (Joined) event()       {}
func (PeerJoined) event()   {}
func (PeerServed) event()   {}
func (PeerLeft) event()     {}
func (Signal) event()       {}
func (Relayed) event()      {}
func (Refused) event()      {}
