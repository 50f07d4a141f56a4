// Package rxdb replicates a collection with RxDB clients, in RxDB's own protocol: that of its WebRTC replication plugin, as of RxDB 17.
//
// A [Session] is one collection with one RxDB client, over a [Conn] that carries JSON texts. Which of the two is master and which is
// fork follows from a hash of both sides' storage tokens, as RxDB has it. As master a session answers masterChangesSince and
// masterWrite and streams what changes; as fork it asks the client for these. What has to be remembered of a client between two
// sessions is in a [Meta]: who lost it starts from scratch, without harm.
//
// # Documents
//
// A document state of RxDB is the body of a document and the field _deleted. The fields _rev and _meta are RxDB's own and never leave it;
// those of a document that came nevertheless are dropped. Attachments are not replicated, and a document that has some is refused. What a client writes becomes a write of this replica,
// and is replicated with the others of its kind from there. Content that is equal to what is held already is not written again,
// so that two replicas that serve one client do not send its writes round and round.
//
// # Conflicts
//
// As master, a session refuses a write whose assumed master state is not what is held: RxDB's conflict handler, in the client, decides. As fork, it is
// this collection's conflict handler that decides, given the client's state as the real master state; without one, the client's state wins, as
// with RxDB's default handler.
package rxdb

import (
	"context"
	"errors"

	"github.com/shoaldb/shoal/shared/collection"
)

// Conn carries texts to a peer and back, in order. Send may be called concurrently, Receive has one caller at a time. After either side closed it
// both return errors that match net.ErrClosed.
type Conn interface {
	// Send queues one text. It blocks while much is unsent. The caller may reuse text afterwards.
	Send(ctx context.Context, text []byte) error
	// Receive blocks for the next text. The caller owns it.
	Receive(ctx context.Context) ([]byte, error)
	// Close closes the connection and waits until nothing of it runs any more.
	Close() error
}

// Direction adjusts what a session takes or sends. The zero value of a field is its default.
type Direction struct {
	// BatchSize is how many documents one request has at most. Default: 100.
	BatchSize int
	// Modifier changes a document on its way, or, with keep false, stops it. What it does must depend on the document alone.
	Modifier func(ctx context.Context, doc collection.Document) (modified collection.Document, keep bool, err error)
}

// The errors that callers branch on.
var (
	// ErrMessage tells that the peer sent what is no message of the protocol. It ends the session.
	ErrMessage = errors.New("rxdb: bad message")
	// ErrLimit tells that the peer sent more than is allowed. It ends the session.
	ErrLimit = errors.New("rxdb: over the limit")
	// ErrTimeout tells that the peer did not answer a request in time.
	ErrTimeout = errors.New("rxdb: request timed out")
	// ErrRemote tells that the peer answered a request with an error.
	ErrRemote = errors.New("rxdb: peer answered with an error")
	// ErrRefused tells that the application does not want the peer.
	ErrRefused = errors.New("rxdb: the application refused the peer")
	// ErrSelf tells that the peer has the storage token of this replica.
	ErrSelf = errors.New("rxdb: peer has the storage token of this replica")
	// ErrReplaced is why a session ends whose client has begun another one.
	ErrReplaced = errors.New("rxdb: client has a newer connection")
	// ErrDocument tells of a document that cannot be replicated. The others go on.
	ErrDocument = errors.New("rxdb: document cannot be replicated")
)

// Limits of what a peer can make a session hold.
const (
	// MaxText is the longest text of a Conn that is taken. RxDB sends 16 Ki UTF-16 units, at most six bytes each in a chunk, and little more.
	MaxText = 256 << 10
	// MaxMessage is the longest message, in bytes, that is joined of chunks.
	MaxMessage = 20 << 20
	// maxPartial is how many messages may be incomplete at one time. RxDB sends the chunks of a message without anything between them, but several
	// messages may be on their way to its channel.
	maxPartial = 8
	// maxPartialBytes bounds the chunks of all incomplete messages.
	maxPartialBytes = 2 * MaxMessage
	// maxDiscarded is how many messages are remembered whose chunks are thrown away.
	maxDiscarded = 64
	// maxRequests is how many requests of the peer may wait. More make the connection wait, and with it, before long, the peer.
	maxRequests = 64
	// maxEventBytes bounds the change events that wait. Beyond it they are dropped, and what they told is asked for.
	maxEventBytes = 8 << 20
	// maxBatch bounds the batch size that a peer asks for.
	maxBatch = 10_000
	// maxAnswer is about how many bytes of documents go into one answer. A peer that asked for more documents is told to ask again.
	maxAnswer = 4 << 20
	// maxEventDocs is how many documents go into one change event; where there are more, the peer is told to ask for them.
	maxEventDocs = 200
	// maxEventSize is about how many bytes of documents go into one change event.
	maxEventSize = 256 << 10
	// maxPushSize is about how many bytes of documents go into one masterWrite.
	maxPushSize = 1 << 20
	// maxBodies bounds the bodies of assumed master states that a session keeps, so as not to have to ask for them.
	maxBodies = 4 << 20
	// maxIDText bounds ids of messages and tokens.
	maxIDText = 512
)
