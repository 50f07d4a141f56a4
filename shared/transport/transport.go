// Package transport defines how two replicas exchange messages: connections, and the networks that make them.
//
// The drivers are transport/rtc (WebRTC data channels, in the browser and natively) and transport/memnet (a simulated
// network). transport/transporttest is the suite that both pass.
package transport

import (
	"context"
	"time"
)

// Lane orders the messages of a connection. Messages of one lane arrive in the order in which they were sent; between lanes
// there is no order, so that what a person waits for can overtake a bulk transfer.
type Lane uint8

const (
	Live Lane = iota // control and live changes
	Bulk             // first syncs
	// Lanes is the number of lanes.
	Lanes = 2
)

// MaxMessage is the largest message, in bytes, that Send takes and Receive returns. A driver whose medium carries less splits
// and joins.
const MaxMessage = 20 << 20

// Conn is a reliable connection to one peer that keeps message boundaries. All methods may be called concurrently, except
// that Receive has one caller at a time. After either side closed it, or the medium failed, Send and Receive return errors
// that match net.ErrClosed; messages that arrived before can still be received.
type Conn interface {
	// Send queues one message. It blocks while the lane holds more unsent bytes than the driver's high-water mark, and
	// returns the cause of ctx when that ends first; the message is then not sent. The caller may reuse msg afterwards.
	Send(ctx context.Context, lane Lane, msg []byte) error
	// Receive blocks for the next message of either lane. The caller owns the returned slice.
	Receive(ctx context.Context) (Lane, []byte, error)
	// Close closes the connection and waits until nothing of it runs any more. Messages not yet sent may be lost.
	Close() error
	// Peer is the id under which the network knows the other end.
	Peer() string
	// Binding identifies this very connection: equal on both ends, different from that of any other connection, and not to
	// be forged by whoever passed the signals (RFC 5705 calls this channel binding). For WebRTC it is made of both DTLS
	// fingerprints.
	Binding() []byte
	// Stats describes the path at this moment. It may block for a short while; what the driver cannot tell is left zero.
	Stats(ctx context.Context) Stats
}

// Stats describes the path of a connection.
type Stats struct {
	LocalCandidate  string        // "host", "srflx", "prflx", "relay" (TURN), "server" (the signaling server); "" when unknown
	RemoteCandidate string        // the same, of the other end
	Relayed         bool          // by TURN or by the signaling server
	RTT             time.Duration // 0 when unknown
	BytesSent       uint64
	BytesReceived   uint64
}

// Network finds the peers of topics and makes connections to them: one for each peer, whatever number of topics the two
// share. All methods may be called concurrently, except that Accept has one caller at a time.
type Network interface {
	// Join makes this replica visible to the others in topic, until Leave. It returns as soon as that is on its way: it does
	// not wait for the way to be up. Joining twice is an error.
	Join(topic string) error
	// Leave undoes Join. Connections to peers with which no topic is shared any more are closed.
	Leave(topic string) error
	// Accept blocks for the next connection that is ready for use, whichever side began it. The caller owns it.
	Accept(ctx context.Context) (Conn, error)
	// Close leaves all topics, closes all connections and waits until nothing of it runs any more.
	Close() error
}

// State is how far a connection to a peer is.
type State string

// The states of an Event.
const (
	Connecting State = "connecting"
	Open       State = "open"
	Closed     State = "closed"
	Failed     State = "failed" // this attempt failed; the network tries again by itself
)

// Event tells what a network does on its own: the progress of connections, and of the way to the others.
type Event struct {
	Peer  string // "" when it is about the way to the signaling server
	State State
	Err   error // why, for Failed and, where there was a fault, Closed
}
