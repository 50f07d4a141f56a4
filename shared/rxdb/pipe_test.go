package rxdb

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// end is one end of a connection in memory. What is sent waits without bound.
type end struct {
	shared *pipeState
	in     *box
	out    *box
}

type pipeState struct {
	once   sync.Once
	closed chan struct{}
}

type box struct {
	some chan struct{}
	mu   sync.Mutex
	list [][]byte
}

func pipe() (a, b *end) {
	s := &pipeState{closed: make(chan struct{})}
	x, y := &box{some: make(chan struct{}, 1)}, &box{some: make(chan struct{}, 1)}
	return &end{s, x, y}, &end{s, y, x}
}

func (e *end) Send(_ context.Context, text []byte) error {
	select {
	case <-e.shared.closed:
		return net.ErrClosed
	default:
	}
	e.out.mu.Lock()
	e.out.list = append(e.out.list, bytes.Clone(text))
	e.out.mu.Unlock()
	signal(e.out.some)
	return nil
}

func (e *end) Receive(ctx context.Context) ([]byte, error) {
	for {
		e.in.mu.Lock()
		if len(e.in.list) > 0 {
			text := e.in.list[0]
			e.in.list = e.in.list[1:]
			e.in.mu.Unlock()
			return text, nil
		}
		e.in.mu.Unlock()
		select {
		case <-e.in.some:
		case <-e.shared.closed:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (e *end) Close() error {
	e.shared.once.Do(func() { close(e.shared.closed) })
	return nil
}

// replica is a Shoal replica for tests: a collection, and what is known of clients.
type replica struct {
	t    testing.TB
	disk *memlog.Disk
	db   *memlog.Database
	coll *collection.Collection
	meta *Meta

	mu     sync.Mutex
	errs   []error
	clashs []collection.Clash
	stops  []func() error
}

func newReplica(t testing.TB, token string, opts *collection.Options) *replica {
	t.Helper()
	r := &replica{t: t, disk: memlog.New(nil)}
	r.open(token, opts)
	return r
}

func (r *replica) open(token string, opts *collection.Options) {
	r.t.Helper()
	ctx := context.Background()
	r.db = r.disk.Open(nil)
	log := must(r.db.Log(ctx, "todos"))(r.t)
	r.coll = must(collection.Open(ctx, "todos", log, opts))(r.t)
	r.meta = must(OpenMeta(ctx, must(r.db.Log(ctx, "todos/rxdb"))(r.t), r.coll, &MetaOptions{Token: token}))(r.t)
}

// reopen ends all sessions and opens everything anew.
func (r *replica) reopen(token string, opts *collection.Options) {
	r.t.Helper()
	r.close()
	r.open(token, opts)
}

func (r *replica) close() {
	r.t.Helper()
	r.hangUp()
	for _, err := range []error{r.meta.Close(), r.coll.Close(), r.db.Close()} {
		if err != nil {
			r.t.Error(err)
		}
	}
}

// session runs a session on conn until hangUp.
func (r *replica) session(conn Conn, change func(*Config)) *Session {
	cfg := Config{
		Collection: r.coll, Meta: r.meta, Topic: "room-1", Conn: conn, Pull: &Direction{}, Push: &Direction{},
		OnError: func(err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.errs = append(r.errs, err)
		},
		OnClash: func(cs []collection.Clash) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.clashs = append(r.clashs, cs...)
		},
	}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var result error
	r.stops = append(r.stops, sync.OnceValue(func() error {
		cancel(net.ErrClosed)
		result = <-done
		return result
	}))
	return s
}

// hangUp ends all sessions and returns why the last one ended.
func (r *replica) hangUp() (last error) {
	for _, stop := range r.stops {
		last = stop()
	}
	r.stops = nil
	return last
}

func (r *replica) errors() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

func (r *replica) clashes() []collection.Clash {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]collection.Clash(nil), r.clashs...)
}

func (r *replica) put(body string) document.Dot {
	r.t.Helper()
	return must(r.coll.Upsert(context.Background(), []byte(body)))(r.t).Version
}

func (r *replica) remove(id string) {
	r.t.Helper()
	must(r.coll.Remove(context.Background(), id))(r.t)
}

// get returns the body of a document, "" for none.
func (r *replica) get(id string) string {
	d, _ := r.coll.Get(id)
	return string(d.Body)
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Tokens with which a replica is master, or fork, towards a peer with the token "peer".
var masterToken, forkToken = tokens("peer")

func tokens(peer string) (master, fork string) {
	for i := 0; master == "" || fork == ""; i++ {
		token := "shoal" + string(rune('a'+i))
		if IsMaster(token, peer) {
			master = token
		} else {
			fork = token
		}
	}
	return master, fork
}
