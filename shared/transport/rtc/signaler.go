package rtc

import (
	"context"
)

// Signaler is what a Network needs of a client of a signaling server: who is in which room, and a way to pass small messages
// to them. Topics of the network are rooms of the server. All methods may be called concurrently, except that Next has one
// caller at a time.
type Signaler interface {
	// Next blocks for the next event. Its error ends the network's use of the signaler, and matches net.ErrClosed when the
	// signaler was closed; being cut off from the server is no error but an event.
	Next(ctx context.Context) (SignalerEvent, error)
	// Join and Leave say in which rooms this client wants to be, now and after each reconnect. They do not block.
	Join(room string) error
	Leave(room string) error
	// Send passes data, which is JSON, to a peer in a room that both are in. It may block until ctx ends, and may fail or
	// lose the message when there is no connection to the server or the peer has left.
	Send(ctx context.Context, room, peer string, data []byte) error
	// Wake tells that the network may be there again: reconnect now.
	Wake()
	// Close closes the client, and Next returns. It waits until nothing of it runs any more.
	Close() error
}

// Relayer is a Signaler that can also pass on the frames of relayed connections, for peers that find no direct path.
type Relayer interface {
	// Relay passes a frame of at most 40 KB to a peer in a room that both are in. It blocks as Send does. The frame may be lost.
	Relay(ctx context.Context, room, peer string, frame []byte) error
}

// SignalerEvent is one of Connected, Disconnected, PeerJoined, PeerLeft, Signal, Relayed and RelayRefused.
type SignalerEvent interface{ signalerEvent() }

// Connected tells that the client is connected to the server. PeerJoined events for all who are in its rooms follow.
type Connected struct {
	Self       string      // the id under which others see this client; another one after each reconnect, or the same
	ICEServers []ICEServer // in addition to those of Options; they replace those of the last Connected
}

// Disconnected tells that the way to the server is gone. The signaler reconnects by itself.
type Disconnected struct{ Err error }

// PeerJoined tells of another client in a room that speaks the protocol of this package: it was there already, or it came.
type PeerJoined struct{ Room, Peer string }

// PeerLeft tells that a client left a room, or that the server lost it.
type PeerLeft struct{ Room, Peer string }

// Signal is what another client sent.
type Signal struct {
	Room, Peer string
	Data       []byte // JSON
}

// Relayed is a frame of a relayed connection.
type Relayed struct {
	Room, Peer string
	Piece      []byte // the network owns it
}

// RelayRefused tells that the server dropped a frame for a peer: because it was too much, or, if Final, because it does not relay to
// that peer at all.
type RelayRefused struct {
	Room, Peer string
	Err        error
	Final      bool
}

func (Connected) signalerEvent()    {}
func (Disconnected) signalerEvent() {}
func (PeerJoined) signalerEvent()   {}
func (PeerLeft) signalerEvent()     {}
func (Signal) signalerEvent()       {}
func (Relayed) signalerEvent()      {}
func (RelayRefused) signalerEvent() {}
