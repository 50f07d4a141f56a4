// Package finder answers the queries of a collection, and keeps results up to date.
//
// A [Finder] has the indexes that the collection's schema declares, in memory. They are made when the first query needs them, and follow
// the collection's changes. Where nobody watches a result, changes only wait until the next query, and so cost writers nothing.
package finder

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/store"
)

// Options adjusts a Finder. The zero value of a field is its default.
type Options struct {
	// Pause is called in the middle of long work every few milliseconds, where one goroutine at work keeps everything else from its
	// turn, as in a page. An error of it ends the work. Default: never called.
	Pause func(ctx context.Context) error
}

// Finder answers queries of one collection. All methods may be called concurrently. After Close they answer net.ErrClosed.
type Finder struct {
	coll   *collection.Collection
	schema *query.Schema
	pause  func(ctx context.Context) error

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	done   sync.WaitGroup
	stop   func()        // ends the subscription
	wake   chan struct{} // capacity 1: there are changes, and somebody watches

	turn    chan struct{} // capacity 1, held by whoever uses the following fields
	indexes *query.Indexes
	from    store.Position // changes before it were in the indexes from the start
	watched []watcher

	mu      sync.Mutex // guards the following fields
	noting  bool       // changes are noted, since the indexes were made
	pending []collection.Change
	watches bool // somebody watches
	size    int  // documents in the indexes
}

// watcher is a result that is kept up to date.
type watcher interface {
	// apply takes over changes that the indexes have taken over.
	apply(changes []query.Change)
	// tell tells what became of the result since it was told last.
	tell()
}

// New makes a Finder for coll. The caller closes it, before or after coll.
func New(coll *collection.Collection, schema *query.Schema, opts *Options) *Finder {
	f := &Finder{coll: coll, schema: schema, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	if opts != nil {
		f.pause = opts.Pause
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	f.stop = coll.Subscribe(f.changed)
	f.done.Go(f.follow)
	return f
}

// Close ends queries under way and waits until nobody is told anything any more. It must not be called from where results are told.
func (f *Finder) Close() {
	f.cancel(net.ErrClosed)
	f.stop()
	f.done.Wait()
	f.turn <- struct{}{}
	f.indexes, f.watched = nil, nil
	<-f.turn
}

// Done returns a channel that is closed by Close.
func (f *Finder) Done() <-chan struct{} { return f.ctx.Done() }

// Parse reads a query; see query.Parse.
func (f *Finder) Parse(text []byte) (*query.Query, error) { return query.Parse(text, f.schema) }

// Find returns the documents of q in its order, as they are at one moment. What they point to must not be changed.
func (f *Finder) Find(ctx context.Context, q *query.Query) ([]*document.Entry, error) {
	if docs, ok := f.unindexed(ctx, q); ok {
		return docs, nil
	}
	_, docs, err := f.find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("find: %w", err)
	}
	return docs, nil
}

// unindexed answers a query for all documents by primary key without indexes, where there are none yet and the log has them in that order, as
// after a bulk insert or a first sync.
func (f *Finder) unindexed(ctx context.Context, q *query.Query) (docs []*document.Entry, ok bool) {
	f.mu.Lock()
	noting := f.noting
	f.mu.Unlock()
	if noting || !q.MatchesAll() || !q.OrderedByKey() || f.ctx.Err() != nil || ctx.Err() != nil {
		return nil, false
	}
	docs, _ = f.held()
	if !slices.IsSortedFunc(docs, func(a, b *document.Entry) int { return q.Compare(a.ID, a.Body, b.ID, b.Body) }) {
		return nil, false
	}
	docs = docs[min(q.Skip(), len(docs)):]
	if n, limited := q.Limit(); limited {
		docs = docs[:min(n, len(docs))]
	}
	return docs, true
}

// Explain answers q and tells how.
func (f *Finder) Explain(ctx context.Context, q *query.Query) (query.Explanation, error) {
	p, _, err := f.find(ctx, q)
	if err != nil {
		return query.Explanation{}, fmt.Errorf("explain: %w", err)
	}
	return p.Explain(), nil
}

func (f *Finder) find(ctx context.Context, q *query.Query) (*query.Plan, []*document.Entry, error) {
	var p *query.Plan
	run, err := f.run(ctx, func() *query.Run {
		p = f.indexes.Plan(q)
		return p.Start()
	})
	if err != nil {
		return nil, nil, err
	}
	return p, run.Docs(), nil
}

// Count returns how many documents meet q's selector. Like RxDB it takes no notice of skip and limit.
func (f *Finder) Count(ctx context.Context, q *query.Query) (int, error) {
	if q.MatchesAll() && f.ctx.Err() == nil {
		return f.coll.Count(), nil
	}
	run, err := f.run(ctx, func() *query.Run { return f.indexes.Plan(q).StartCount() })
	if err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return run.Count(), nil
}

// stepSize is how many documents are looked at before the time is.
const stepSize = 128

// run answers a query from what is true when its turn comes.
func (f *Finder) run(ctx context.Context, start func() *query.Run) (*query.Run, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	err := f.prepare()
	var run *query.Run
	if err == nil {
		run = start()
	}
	f.leave()
	if err != nil {
		return nil, err
	}
	work := f.work()
	for run.Step(stepSize) {
		if err := work.rest(ctx); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// enter blocks until it is the caller's turn.
func (f *Finder) enter(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
	for _, c := range []context.Context{ctx, f.ctx} {
		if c.Err() != nil {
			f.leave()
			return context.Cause(c)
		}
	}
	return nil
}

func (f *Finder) leave() { <-f.turn }

// spell is how long work may go on without a pause.
const spell = 8 * time.Millisecond

// work is something that takes long.
type work struct {
	pause func(ctx context.Context) error
	since time.Time
}

func (f *Finder) work() *work { return &work{f.pause, time.Now()} }

// rest pauses if it is time to.
func (w *work) rest(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w.pause == nil || time.Since(w.since) < spell {
		return nil
	}
	err := w.pause(ctx)
	w.since = time.Now()
	return err
}
