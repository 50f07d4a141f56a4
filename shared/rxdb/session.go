package rxdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"
)

// The times of a session. Those of RxDB are from webrtc-helper.ts and plugins/replication.
const (
	// DefaultRequestTimeout is how long an answer is awaited: WEBRTC_DEFAULT_REQUEST_TIMEOUT.
	DefaultRequestTimeout = 20 * time.Second
	// DefaultRetryTime is how long to wait after a request failed: retryTime of replicateRxCollection.
	DefaultRetryTime = 5 * time.Second
	// sendTimeout is how long a text may wait for its turn before the peer counts as gone.
	sendTimeout = time.Minute
	// resyncAfter is how long a client that was told to ask for changes may take before it is told again: RxDB drops RESYNC when an event
	// came just before it. The time doubles up to resyncMost, for a client that does not pull at all never asks.
	resyncAfter = 3 * time.Second
	resyncMost  = time.Minute
)

// Config is what a session is made of.
type Config struct {
	Collection *collection.Collection
	Meta       *Meta
	Topic      string
	Conn       Conn
	PrimaryKey string     // of the collection; default "id"
	Pull       *Direction // nil: nothing is taken
	Push       *Direction // nil: nothing is sent
	// Valid decides whether the peer may take part. It may block. Default: all may.
	Valid func(ctx context.Context) (bool, error)
	// RequestTimeout is how long an answer is awaited. Default: DefaultRequestTimeout.
	RequestTimeout time.Duration
	// RetryTime is how long to wait after something failed. Default: DefaultRetryTime.
	RetryTime time.Duration
	// OnToken is told the peer's storage token, before anything of the collection is asked for. It must not block. May be nil.
	OnToken func(token string)
	// OnChange is called when Progress may have changed. It must not block. May be nil.
	OnChange func()
	// OnError is told of what went wrong and is tried again. It must not block. May be nil.
	OnError func(error)
	// OnClash is told of conflicts that were resolved here. It must not block. May be nil.
	OnClash func([]collection.Clash)
	// Rand makes ids. It is used under a lock of the session. Default: seeded at random.
	Rand *rand.Rand
}

func (c Config) withDefaults() Config {
	c.PrimaryKey = cmp.Or(c.PrimaryKey, "id")
	c.RequestTimeout = cmp.Or(c.RequestTimeout, DefaultRequestTimeout)
	c.RetryTime = cmp.Or(c.RetryTime, DefaultRetryTime)
	if c.Valid == nil {
		c.Valid = func(context.Context) (bool, error) { return true, nil }
	}
	if c.OnToken == nil {
		c.OnToken = func(string) {}
	}
	if c.OnChange == nil {
		c.OnChange = func() {}
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnClash == nil {
		c.OnClash = func([]collection.Clash) {}
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return c
}

// Session is one collection with one RxDB client. Make one with New and run it with Run.
type Session struct {
	cfg  Config
	coll *collection.Collection
	meta *Meta

	tokens   chan message // requests for the token
	requests chan message // other requests
	valid    chan struct{}
	work     [2]chan struct{}        // one token each: there is something to do, for serve and for the fork
	own      map[string]document.Dot // versions that the peer wrote; used by serve alone

	mu       sync.Mutex // guards the following fields
	rng      *rand.Rand
	flag     string
	asked    int
	waiting  map[string]chan message // requests without an answer
	heard    uint64                  // messages received
	events   []event
	bytes    int  // of events
	dropped  bool // events were dropped
	role     role // known once the peer has told its token
	progress Progress
	master   masterState
}

type role uint8

const (
	roleUnknown role = iota
	roleMaster
	roleFork
)

// The indices of Session.work.
const (
	workServe = iota
	workFork
)

// event is a change event of the master.
type event struct {
	at     uint64 // the number of the message
	resync bool
	raw    gjson.Result
}

// Progress is how far a session is.
type Progress struct {
	Master   bool   // this side is master; known once Token is
	Token    string // of the peer, "" until it has told
	Pulling  bool   // documents are on their way here
	Received uint64 // documents that came
	Backlog  int    // entries of the log, about, that the peer has not got
	InSync   bool   // both have what the other has, as far as this side can tell
}

// New makes a session. It does nothing until Run.
func New(cfg Config) *Session {
	s := &Session{
		cfg:      cfg.withDefaults(),
		coll:     cfg.Collection,
		meta:     cfg.Meta,
		tokens:   make(chan message, 4),
		requests: make(chan message, maxRequests),
		valid:    make(chan struct{}),
		waiting:  make(map[string]chan message),
		own:      make(map[string]document.Dot),
	}
	for i := range s.work {
		s.work[i] = make(chan struct{}, 1)
	}
	s.rng = s.cfg.Rand
	s.flag = RandomToken(s.rng)
	return s
}

// Run runs the session until ctx ends, the connection does, or the peer breaks the protocol, and returns why. It closes the connection, and waits until
// nothing of the session runs any more. It is called once.
func (s *Session) Run(ctx context.Context) error {
	stop := s.coll.Subscribe(func([]collection.Change) { s.wake() })
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.read(ctx) })
	group.Go(func() error { return s.serve(ctx) })
	group.Go(func() error { return s.client(ctx) })
	err := group.Wait()
	return errors.Join(err, s.cfg.Conn.Close())
}

// wake tells both sides that there may be something to do.
func (s *Session) wake() {
	for i := range s.work {
		signal(s.work[i])
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Progress returns how far the session is.
func (s *Session) Progress() Progress {
	tail := s.tail()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progress
	switch {
	case s.role == roleMaster && s.cfg.Push != nil:
		p.Backlog = int(tail - min(tail, s.master.sent))
		p.InSync = s.master.live && p.Backlog == 0
	case s.role == roleMaster:
		p.InSync = true
	case s.role == roleFork && s.cfg.Push != nil:
		_, up := s.meta.marks(s.key(p.Token))
		p.Backlog = int(tail - min(tail, up))
		p.InSync = p.InSync && p.Backlog == 0 && len(s.events) == 0
	}
	return p
}

func (s *Session) tail() store.Position { return tailOf(s.coll) }

// key names a client in Meta.
func (s *Session) key(token string) string { return s.cfg.Topic + "|" + token }

// read takes texts to where they belong. It waits while too many requests wait.
func (s *Session) read(ctx context.Context) error {
	var j joiner
	for {
		text, err := s.cfg.Conn.Receive(ctx)
		if err != nil {
			return err
		}
		joined, tooLong, err := j.join(text)
		if err != nil {
			return err
		}
		if tooLong {
			s.tooLong()
		}
		if joined == nil {
			continue
		}
		m, err := parse(joined)
		if err != nil {
			return err
		}
		if err := s.route(ctx, m, len(joined)); err != nil {
			return err
		}
	}
}

func (s *Session) route(ctx context.Context, m message, size int) error {
	switch m.method {
	case "":
		s.answered(m, size)
		return nil
	case methodToken:
		select {
		case s.tokens <- m:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	case methodChangesSince, methodWrite:
		select {
		case s.requests <- m:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}
	return nil // RxDB, too, takes no notice of methods that it does not know
}

// answered takes an answer or an event. Answers that nobody waits for came too late.
func (s *Session) answered(m message, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard++
	if m.id != changeStream {
		if c := s.waiting[m.id]; c != nil {
			delete(s.waiting, m.id)
			m.at = s.heard
			c <- m // has room for it
		}
		return
	}
	if s.role == roleMaster {
		return
	}
	e := event{at: s.heard, raw: m.result, resync: m.result.Str == resync}
	if s.bytes += size; s.bytes > maxEventBytes {
		s.events, s.bytes, s.dropped = nil, 0, true
	} else {
		s.events = append(s.events, e)
	}
	signal(s.work[workFork])
}

// tooLong deals with a message that is longer than is taken: an event is made up for by asking for changes, an answer by asking for less.
func (s *Session) tooLong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard++
	s.dropped = true
	for id, c := range s.waiting {
		delete(s.waiting, id)
		c <- message{id: id, at: s.heard, tooLong: true}
	}
	signal(s.work[workFork])
}

// errTooLong is the error of a request whose answer was too long.
var errTooLong = fmt.Errorf("%w: answer of more than %d bytes", ErrLimit, MaxMessage)

// ask sends a request and waits for the answer.
func (s *Session) ask(ctx context.Context, method string, params ...[]byte) (message, error) {
	s.mu.Lock()
	id := s.meta.Token() + "|" + s.flag + "|" + strconv.Itoa(s.asked)
	s.asked++
	c := make(chan message, 1)
	s.waiting[id] = c
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	timer := time.NewTimer(s.cfg.RequestTimeout)
	defer timer.Stop()
	if err := s.send(ctx, request(id, method, params...)); err != nil {
		return message{}, err
	}
	select {
	case m := <-c:
		switch {
		case m.tooLong:
			return m, errTooLong
		case m.failed():
			return m, fmt.Errorf("%s: %w", method, m.remoteError())
		}
		return m, nil
	case <-timer.C:
		return message{}, fmt.Errorf("%s: %w after %v", method, ErrTimeout, s.cfg.RequestTimeout)
	case <-ctx.Done():
		return message{}, context.Cause(ctx)
	}
}

// send sends a message, in chunks if it is long.
func (s *Session) send(ctx context.Context, message []byte) error {
	s.mu.Lock()
	texts := split(message, s.rng)
	s.mu.Unlock()
	for _, text := range texts {
		if err := s.sendText(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) sendText(ctx context.Context, text []byte) error {
	within, cancel := context.WithTimeoutCause(ctx, sendTimeout, errStuck)
	defer cancel()
	return s.cfg.Conn.Send(within, text)
}

// errStuck is why a session ends whose peer takes nothing any more.
var errStuck = fmt.Errorf("rxdb: peer took nothing for %v: %w", sendTimeout, net.ErrClosed)

// client finds out who the peer is and what part this side has, and, if that is the fork's, plays it.
func (s *Session) client(ctx context.Context) error {
	ok, err := s.cfg.Valid(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("decide whether the peer is valid: %w", err)
	case !ok:
		return ErrRefused
	}
	close(s.valid)
	m, err := s.ask(ctx, methodToken)
	if err != nil {
		return err
	}
	token := m.result.Str
	switch {
	case m.result.Type != gjson.String || token == "" || len(token) > maxIDText:
		return fmt.Errorf("%w: token is no string of 1 to %d bytes", ErrMessage, maxIDText)
	case token == s.meta.Token():
		return ErrSelf
	}
	s.cfg.OnToken(token)
	if err := s.meta.meet(ctx, s.key(token)); err != nil {
		return err
	}
	r := roleFork
	if IsMaster(s.meta.Token(), token) {
		r = roleMaster
	}
	s.mu.Lock()
	s.role = r
	s.progress.Token, s.progress.Master = token, r == roleMaster
	s.mu.Unlock()
	s.cfg.OnChange()
	if r == roleMaster {
		signal(s.work[workServe])
		return nil
	}
	f := newFork(s, s.key(token))
	return f.run(ctx)
}
