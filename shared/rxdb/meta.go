package rxdb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store"
)

const (
	// maxClients is how many clients are remembered. Who was met longest ago is forgotten first. An RxDB database in memory is a new client
	// each time.
	maxClients = 64
	// maxAssumed is how many assumed master states are remembered, of all clients together.
	maxAssumed = 500_000
	// maxEpochs is how many epochs are remembered.
	maxEpochs = 64
	// maxBases is how many bytes of bodies are kept for conflict handlers.
	maxBases = 32 << 20
	// maxBuried is how many bytes of bodies of deleted documents are remembered while the program runs.
	maxBuried = 8 << 20
)

// MetaOptions adjusts a Meta. The zero value of a field is its default.
type MetaOptions struct {
	// Token is the storage token that RxDB clients see, another one than that of any other replica. Default: made once and stored.
	Token string
	// Rand gives random bytes. Default: crypto/rand.
	Rand io.Reader
}

// Meta is what is remembered of the RxDB clients of one collection: how far each has come, and which state of each document it is
// assumed to have. It is in a log of its own. Where the collection has a conflict handler, which is to be given the assumed master state, the bodies of
// such states are kept from when the document is changed. All methods may be called concurrently.
type Meta struct {
	log    store.Log
	token  string
	rand   io.Reader
	epoch  epoch
	turn   chan struct{} // holds one token; who took it may commit
	asks   bool          // there is a conflict handler
	unread func()        // ends the subscription to the collection
	keep   chan struct{} // one token: there are bases to be stored
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // guards the following fields; what is written to next and volume holds turn as well
	state metaState
	next  store.Position
	size  int    // bytes of the records since the last compaction
	kept  int    // bytes after it
	fresh []base // to be stored

	buried      map[string][]byte // by id: the bodies of documents whose tombstones have none
	buriedBytes int

	damaged bool // a record could not be read: all is to be forgotten, for what is left may be half the truth
}

// metaState is what the log tells.
type metaState struct {
	token   string
	epochs  []epoch
	clients map[string]*client
	order   []string          // keys of clients, the one met last at the end
	bases   map[string][]base // by id
	bytes   int               // of the bodies in bases
}

// epoch is a stretch of the collection's log that one process saw come. A checkpoint names the epoch that it was made in: where the log was
// put back to an older state, or copied, its positions lead to other entries, and the epoch is another one.
type epoch struct {
	id    string
	start store.Position
}

// client is what is remembered of one RxDB client.
type client struct {
	down    json.RawMessage // checkpoint of the client, nil for none
	up      store.Position  // entries of the own log before it are with the client
	assumed map[string]digest
}

func newClient() *client { return &client{assumed: make(map[string]digest)} }

// update is what changes about a client.
type update struct {
	down    json.RawMessage // nil: as before
	up      store.Position  // 0: as before
	assumed []assumption
}

type assumption struct {
	id    string
	state digest
}

// OpenMeta reads what log holds about the clients of coll. The Meta owns log from then on, whether or not OpenMeta succeeds. It is to be closed before coll.
func OpenMeta(ctx context.Context, log store.Log, coll *collection.Collection, opts *MetaOptions) (*Meta, error) {
	if opts == nil {
		opts = &MetaOptions{}
	}
	m := &Meta{log: log, rand: opts.Rand, turn: make(chan struct{}, 1), keep: make(chan struct{}, 1), next: 1}
	m.turn <- struct{}{}
	if m.rand == nil {
		m.rand = rand.Reader
	}
	m.state.init()
	err := m.load(ctx)
	if err == nil {
		err = m.begin(ctx, tailOf(coll), opts.Token)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open what is known of RxDB clients: %w", err), log.Close())
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.asks = coll.Handler() != nil
	m.unread = coll.Subscribe(m.changed)
	m.wg.Go(func() { m.keepBases(coll.Logger()) })
	return m, nil
}

func tailOf(coll *collection.Collection) (tail store.Position) {
	coll.View(func(v collection.View) { tail = v.Tail() })
	return tail
}

func (s *metaState) init() {
	*s = metaState{clients: make(map[string]*client), bases: make(map[string][]base)}
}

// loadBytes bounds what load reads at once.
const loadBytes = 4 << 20

func (m *Meta) load(ctx context.Context) error {
	for {
		records, err := m.log.Read(ctx, m.next, loadBytes)
		if err != nil || len(records) == 0 {
			return err
		}
		m.apply(records)
	}
}

// apply takes in records.
func (m *Meta) apply(records []store.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		if r.First < m.next {
			continue
		}
		m.next = r.Next()
		m.size += len(r.Data)
		if len(r.Data) > 0 && m.state.apply(r.Data) != nil {
			m.damaged = true
		}
	}
}

// begin begins a new epoch, and makes the token if there is none.
func (m *Meta) begin(ctx context.Context, tail store.Position, token string) error {
	id, err := m.newID()
	if err != nil {
		return err
	}
	m.epoch = epoch{id, tail}
	made, err := m.newID()
	if err != nil {
		return err
	}
	err = m.commit(ctx, func(s *metaState) []byte {
		b := newRecord()
		if n := len(s.epochs); m.damaged || n > 0 && s.epochs[n-1].start > tail {
			b = appendFull(b) // without what is known, or with the log of another collection, clients start from scratch
			s = &metaState{}
			m.damaged = false
		}
		if m.token = cmp.Or(token, s.token, made); m.token != s.token {
			b = appendToken(b, m.token)
		}
		return appendEpoch(b, m.epoch)
	})
	if err != nil {
		return err
	}
	return m.compact(ctx)
}

// newID is ten random letters, like RxDB's tokens.
func (m *Meta) newID() (string, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(m.rand, b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b), nil
}

// Token returns the storage token of this replica.
func (m *Meta) Token() string { return m.token }

// Close closes the log and waits until nothing runs any more.
func (m *Meta) Close() error {
	m.unread()
	m.cancel()
	m.wg.Wait()
	<-m.turn
	defer func() { m.turn <- struct{}{} }()
	return m.log.Close()
}

// commit appends the record that build makes of what the log tells, and takes it in.
func (m *Meta) commit(ctx context.Context, build func(s *metaState) []byte) error {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { m.turn <- struct{}{} }()
	records, err := m.log.Commit(ctx, m.next, func(tail []store.Record) ([]store.Append, error) {
		m.apply(tail)
		m.mu.Lock()
		defer m.mu.Unlock()
		return []store.Append{{Span: 1, Data: seal(build(&m.state))}}, nil
	})
	if err != nil {
		return err
	}
	m.apply(records)
	return nil
}

// compactAt is how many bytes of records more than needed there may be.
const compactAt = 1 << 20

// compact puts one record in the place of all, if that saves much.
func (m *Meta) compact(ctx context.Context) error {
	m.mu.Lock()
	due := m.size > 4*m.kept+compactAt
	m.mu.Unlock()
	if !due {
		return nil
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { m.turn <- struct{}{} }()
	var all []store.Record
	for next := store.Position(1); ; {
		records, err := m.log.Read(ctx, next, loadBytes)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		all = append(all, records...)
		next = records[len(records)-1].Next()
	}
	m.apply(all)
	m.mu.Lock()
	data := seal(m.state.snapshot())
	m.mu.Unlock()
	if err := m.log.Replace(ctx, all, data); err != nil && !errors.Is(err, store.ErrReplaced) {
		return err
	}
	m.mu.Lock()
	m.size, m.kept = len(data), len(data)
	m.mu.Unlock()
	return nil
}

// meet makes the client with a key the one met last, and forgets others if there are too many.
func (m *Meta) meet(ctx context.Context, key string) error {
	return m.commit(ctx, func(s *metaState) []byte {
		b := newRecord()
		total := 0
		for _, c := range s.clients {
			total += len(c.assumed)
		}
		others := slices.DeleteFunc(slices.Clone(s.order), func(o string) bool { return o == key })
		for len(others) > 0 && (len(others) >= maxClients || total > maxAssumed) {
			total -= len(s.clients[others[0]].assumed)
			b = appendForget(b, others[0])
			others = others[1:]
		}
		return appendUpdate(b, key, &update{})
	})
}

// note stores an update of a client.
func (m *Meta) note(ctx context.Context, key string, u *update) error {
	if down, up := m.marks(key); bytes.Equal(u.down, down) || u.up == up {
		n := *u
		if u = &n; bytes.Equal(u.down, down) {
			u.down = nil
		}
		if u.up == up {
			u.up = 0
		}
	}
	if u.down == nil && u.up == 0 && len(u.assumed) == 0 {
		return nil
	}
	if err := m.commit(ctx, func(*metaState) []byte { return appendUpdate(newRecord(), key, u) }); err != nil {
		return err
	}
	return m.compact(ctx)
}

// marks returns how far a client has come.
func (m *Meta) marks(key string) (down json.RawMessage, up store.Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.state.clients[key]
	if c == nil {
		return nil, 0
	}
	return c.down, c.up
}

// assumed returns the state of a document that a client is assumed to have.
func (m *Meta) assumed(key, id string) (digest, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.state.clients[key]
	if c == nil {
		return digest{}, false
	}
	d, ok := c.assumed[id]
	return d, ok
}

// valid returns how far a position of an epoch can be trusted: 1 if nothing is known of it.
func (m *Meta) valid(id string, pos store.Position) store.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	epochs := m.state.epochs
	i := slices.IndexFunc(epochs, func(e epoch) bool { return e.id == id })
	switch {
	case i < 0:
		return 1
	case i+1 < len(epochs):
		return min(pos, epochs[i+1].start)
	}
	return pos
}

// keys returns the keys of the clients that are remembered, sorted.
func (m *Meta) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.state.clients))
}
