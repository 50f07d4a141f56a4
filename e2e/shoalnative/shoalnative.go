// Package shoalnative has a Go program take part in tests: a collection in a file, and a pool, within the test's process.
package shoalnative

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// Topic is where it replicates todos.
const Topic = "my-users-pool"

// Patience bounds waits. What takes so long does not come.
const Patience = 3 * time.Minute

// Options of Open. The zero value is good.
type Options struct {
	// Handler of conflicts. Default: the collection's.
	Handler collection.Handler
	// RxDB makes it replicate with RxDB clients as well. Its Log is made. Default: it leaves them alone.
	RxDB *pool.RxDBOptions
	// RetryTime as in pool.Options.
	RetryTime time.Duration
}

// Replica is a program that takes part.
type Replica struct {
	*collection.Collection
	Pool *pool.Pool
	t    testing.TB
	stop func()
}

// Open opens a data directory and replicates it in Topic until Stop, or the end of the test; opts may be nil.
func Open(t testing.TB, s *shoalserver.Server, dir string, opts *Options) *Replica {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := boltlog.Open(dir, nil)
	must(err)
	log, err := db.Log(t.Context(), "todos")
	must(err)
	c, err := collection.Open(t.Context(), "todos", log, &collection.Options{Handler: opts.Handler})
	must(err)
	poolOpts := &pool.Options{
		Pull: &replication.Direction{}, Push: &replication.Direction{}, RetryTime: opts.RetryTime,
		OnEvent: func(e pool.Event) {
			if f, ok := e.(pool.Failed); ok {
				t.Logf("native: %s: %v", f.Peer, f.Err)
			}
		},
	}
	if opts.RxDB != nil {
		with := *opts.RxDB
		with.Log, err = db.Log(t.Context(), "todos/rxdb")
		must(err)
		poolOpts.RxDB = &with
	}
	mesh, err := pool.Connect(s.Signal(), nil)
	must(err)
	p, err := pool.Replicate(t.Context(), mesh, c, Topic, poolOpts)
	must(err)
	r := &Replica{Collection: c, Pool: p, t: t}
	r.stop = sync.OnceFunc(func() {
		for _, err := range []error{mesh.Close(), c.Close(), db.Close()} {
			if err != nil {
				t.Errorf("close native replica: %v", err)
			}
		}
	})
	t.Cleanup(r.stop)
	return r
}

// Stop ends it. Its data directory can be opened again.
func (r *Replica) Stop() { r.stop() }

// Until waits until what it holds meets cond, which is asked after each commit.
func (r *Replica) Until(what string, cond func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), Patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	defer r.Subscribe(func([]collection.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for !cond() {
		select {
		case <-changed:
		case <-ctx.Done():
			r.t.Fatalf("native: %s does not come; it has %d documents", what, r.Count())
		}
	}
}

// Title waits until a document has a title.
func (r *Replica) Title(id, want string) {
	r.t.Helper()
	r.Until(fmt.Sprintf("%s titled %q", id, want), func() bool {
		d, ok := r.Get(id)
		var got struct{ Title string }
		return ok && json.Unmarshal(d.Body, &got) == nil && got.Title == want
	})
}
