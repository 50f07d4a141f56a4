package replication

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
)

// The pace of a session.
const (
	// TellAfter is how long new knowledge waits for more before it is told.
	TellAfter = 30 * time.Millisecond
	// TellAfterBulk is the same while a first sync changes it all the time.
	TellAfterBulk = 150 * time.Millisecond
	// ForwardAfter is how long the write of a third replica, or the outcome of a conflict, is held back at least, and ForwardSpread how
	// much longer at most: time for the receiver to get it from elsewhere, or to come to the same, and to tell.
	ForwardAfter  = 200 * time.Millisecond
	ForwardSpread = 200 * time.Millisecond
)

// Lane tells frames that wait for nothing from frames of a walk, as package transport does.
type Lane uint8

// The lanes.
const (
	Live Lane = iota
	Bulk
	lanes
)

// Modifier changes a document on its way, or, with keep false, stops it. It may block. What it does must depend on the
// document alone.
type Modifier func(ctx context.Context, doc collection.Document) (modified collection.Document, keep bool, err error)

// Direction adjusts what a session takes or sends. The zero value of a field is its default.
type Direction struct {
	// BatchSize is how many documents one frame of a walk has at most. Default: as many as fit into block.Target bytes.
	BatchSize int
	// Modifier changes or stops documents. What was stopped is offered again in the next session. With a modifier there are no
	// claims in this direction, so that conflicts between more than two replicas may be found where there are none.
	Modifier Modifier
}

// Config is what a session is made of.
type Config struct {
	Collection *collection.Collection
	Channel    protocol.Channel // this side's number, which it puts into what it sends
	Own        *protocol.Open   // what this side opened with
	Remote     *protocol.Open   // what the other side opened with
	Pull       *Direction       // nil: nothing is taken
	Push       *Direction       // nil: nothing is sent
	Turns      *Turns           // shared by all sessions of the collection
	Rand       *rand.Rand       // spreads what is forwarded; used under the lock of the session
	// Wake is called when Next may have a frame that it had not before, or Progress has changed. It must not block.
	Wake func()
	// OnClash is told of conflicts after they were resolved. It must not block. May be nil.
	OnClash func([]collection.Clash)
}

// Session is one collection between this replica and another. Receive has one caller at a time, Next one for each lane; the
// other methods may be called at any time. After an error of Receive or Next the session is over, and is to be closed.
type Session struct {
	cfg     Config
	coll    *collection.Collection
	remote  document.ReplicaID
	stop    func() // ends the subscription to coll
	unshare func()

	mu   sync.Mutex // guards the following fields
	send sender
	recv receiver
}

// New makes a session and stores what it takes to begin. If what the two know does not go together the error matches
// collection.ErrIdentity, see Collection.Recognise: both have to open anew then.
func New(ctx context.Context, cfg Config) (*Session, error) {
	s := &Session{
		cfg:    cfg,
		coll:   cfg.Collection,
		remote: cfg.Remote.Replica,
	}
	if s.remote == cfg.Own.Replica {
		return nil, s.coll.Disown(ctx, s.remote)
	}
	if err := s.coll.Recognise(ctx, cfg.Remote.Known); err != nil {
		return nil, err
	}
	var err error
	if s.unshare, err = s.coll.Share(ctx); err != nil {
		return nil, err
	}
	s.send = newSender(s)
	s.recv = newReceiver(s)
	s.stop = s.coll.Subscribe(func([]collection.Change) { cfg.Wake() })
	cfg.Wake()
	return s, nil
}

// Close ends the session. It blocks until what there is to store is stored.
func (s *Session) Close() {
	s.stop()
	s.cfg.Turns.leave(s)
	s.mu.Lock()
	told := s.send.told
	s.mu.Unlock()
	s.coll.Part(s.remote, told)
	s.unshare()
}

// Next returns the next frame for lane, or nil if there is none at present; then at, unless zero, says when to ask again. It
// blocks only for a modifier. If this replica has taken a new id meanwhile, or knows of another fork, the error matches collection.ErrIdentity.
func (s *Session) Next(ctx context.Context, lane Lane, now time.Time) (f protocol.Frame, at time.Time, err error) {
	s.mu.Lock()
	s.coll.View(func(v collection.View) {
		switch {
		case v.Replica() != s.cfg.Own.Replica || v.Known().Forks() != s.cfg.Own.Known.Forks():
			err = collection.ErrIdentity
		case lane == Live:
			f, at = s.nextLive(v, now)
		default:
			f = s.nextBulk(v)
		}
	})
	s.mu.Unlock()
	if c, ok := f.(*protocol.Changes); ok && s.cfg.Push != nil && s.cfg.Push.Modifier != nil {
		if err := modifyPlaced(ctx, s.cfg.Push.Modifier, c); err != nil {
			return nil, at, fmt.Errorf("push modifier: %w", err)
		}
	}
	return f, at, err
}

// Progress is how far a session is.
type Progress struct {
	Pulling   bool   // a walk of the peer's log is under way, or waits for its turn
	Received  uint64 // documents that came with it so far
	Remaining uint64 // documents still to come, about
	Backlog   uint64 // writes known here that the peer has not told to know
	InSync    bool   // both walks have reached the end, and each side knows what the other has told to know
}

// Progress returns how far the session is.
func (s *Session) Progress() Progress {
	var known *document.Knowledge
	s.coll.View(func(v collection.View) { known = v.Known() })
	s.mu.Lock()
	defer s.mu.Unlock()
	pulls := s.cfg.Pull != nil && s.cfg.Remote.Pushes
	p := Progress{
		Pulling:   pulls && !s.recv.complete,
		Received:  s.recv.received,
		Remaining: s.recv.remaining,
		Backlog:   s.send.told.Missing(known),
	}
	p.InSync = (!pulls || s.recv.complete && known.CoversAll(s.send.told)) && (!s.send.on || s.send.walked && p.Backlog == 0)
	return p
}

// Knows reports whether the peer has told that it knows a write.
func (s *Session) Knows(d document.Dot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send.told.Covers(d)
}

// Remote returns the id of the other replica.
func (s *Session) Remote() document.ReplicaID { return s.remote }
