package finder

import (
	"context"
	"fmt"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
)

// Live is the result of a query that is kept up to date.
type Live struct {
	finder *Finder
	live   *query.Live
	edits  []query.Edit
	told   func(edits []query.Edit)
}

// Live answers q and keeps the result up to date. It calls first once, with the result, before it returns, and then next with the edits that lead
// from one result to the next when they are made one after the other. A commit is told of as a whole; several may be told
// of together. Neither may block or call the Finder. The edits are valid during the call. The caller stops the Live; a
// Finder that is closed tells it nothing more.
func (f *Finder) Live(ctx context.Context, q *query.Query, first func(docs []*document.Entry), next func(edits []query.Edit)) (*Live, error) {
	if err := f.enter(ctx); err != nil {
		return nil, fmt.Errorf("live query: %w", err)
	}
	defer f.leave()
	f.setWatches(true) // from before the first result on, no change may be given up
	defer func() { f.setWatches(len(f.watched) > 0) }()
	if err := f.prepare(); err != nil {
		return nil, fmt.Errorf("live query: %w", err)
	}
	work := f.work()
	s := f.indexes.StartLive(q)
	for s.Step(stepSize) {
		if err := work.rest(ctx); err != nil {
			return nil, fmt.Errorf("live query: %w", err)
		}
	}
	l := &Live{finder: f, live: s.Live(), told: next}
	first(l.live.Docs())
	f.watched = append(f.watched, l)
	return l, nil
}

// Stop ends it. When it returns nothing is told any more. It must not be called from where results are told.
func (l *Live) Stop() { l.finder.unwatch(l) }

func (l *Live) apply(changes []query.Change) { l.edits = append(l.edits, l.live.Apply(changes)...) }

func (l *Live) tell() {
	if len(l.edits) > 0 {
		l.told(l.edits)
		clear(l.edits)
		l.edits = l.edits[:0]
	}
}

// LiveCount is a number of documents that is kept up to date.
type LiveCount struct{ stop func() }

// LiveCount counts the documents that meet q's selector. It calls told with the number before it returns, and then with each that is another one.
// told may neither block nor call the Finder. The caller stops the LiveCount.
func (f *Finder) LiveCount(ctx context.Context, q *query.Query, told func(n int)) (*LiveCount, error) {
	if err := f.enter(ctx); err != nil {
		return nil, fmt.Errorf("live count: %w", err)
	}
	defer f.leave()
	if q.MatchesAll() {
		all := &countAll{coll: f.coll, last: -1, told: told}
		unsubscribe := f.coll.Subscribe(func([]collection.Change) { all.tell() })
		all.tell()
		return &LiveCount{func() { unsubscribe(); all.close() }}, nil
	}
	f.setWatches(true) // as in Live
	defer func() { f.setWatches(len(f.watched) > 0) }()
	if err := f.prepare(); err != nil {
		return nil, fmt.Errorf("live count: %w", err)
	}
	c := &counting{f.indexes.LiveCount(q), -1, told}
	c.tell()
	f.watched = append(f.watched, c)
	return &LiveCount{func() { f.unwatch(c) }}, nil
}

// Stop ends it. When it returns nothing is told any more. It must not be called from where numbers are told.
func (l *LiveCount) Stop() { l.stop() }

// counting counts what meets a selector.
type counting struct {
	count *query.LiveCount
	last  int
	told  func(n int)
}

func (c *counting) apply(changes []query.Change) { c.count.Apply(changes) }

func (c *counting) tell() {
	if n := c.count.Count(); n != c.last {
		c.last = n
		c.told(n)
	}
}

// countAll counts all documents, for which it needs no index.
type countAll struct {
	coll *collection.Collection
	told func(n int)

	mu     sync.Mutex // guards the following fields, and told
	last   int
	closed bool
}

func (c *countAll) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.coll.Count(); n != c.last && !c.closed {
		c.last = n
		c.told(n)
	}
}

func (c *countAll) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
