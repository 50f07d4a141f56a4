//go:build !js

package shoal

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
)

// Query is a question to a collection. It can be asked any number of times, by many goroutines at once.
type Query struct {
	c *Collection
	q *query.Query
}

// Query reads a Mango query, JSON: {"selector": …, "sort": […], "limit": …, "skip": …, "index": …}, all of it optional. docs/queries.md says what it
// means. The error says what is wrong with it, and where.
func (c *Collection) Query(text string) (*Query, error) {
	q, err := c.finder.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return &Query{c, q}, nil
}

// Find returns the documents in the order of the query, as they are at one moment.
func (q *Query) Find(ctx context.Context) ([]Document, error) {
	entries, err := q.c.finder.Find(ctx, q.q)
	if err != nil {
		return nil, err
	}
	return documents(entries), nil
}

// Count returns how many documents meet the selector, whatever the limit.
func (q *Query) Count(ctx context.Context) (int, error) { return q.c.finder.Count(ctx, q.q) }

// Explain answers the query and tells how.
func (q *Query) Explain(ctx context.Context) (query.Explanation, error) {
	return q.c.finder.Explain(ctx, q.q)
}

// Live returns the result now and each later one that is another, until ctx ends. Who is slow skips some. The slices are the caller's. An error ends it: that of ctx, or
// net.ErrClosed.
func (q *Query) Live(ctx context.Context) iter.Seq2[[]Document, error] {
	return func(yield func([]Document, error) bool) {
		r := &result{ready: make(chan struct{}, 1)}
		live, err := q.c.finder.Live(ctx, q.q, r.first, r.next)
		if err != nil {
			yield(nil, err)
			return
		}
		defer live.Stop()
		for {
			select {
			case <-r.ready:
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			case <-q.c.finder.Done():
				yield(nil, errClosed)
				return
			}
			if !yield(r.get(), nil) {
				return
			}
		}
	}
}

// result is a live result, with what its reader was not told yet.
type result struct {
	ready chan struct{}

	mu      sync.Mutex // guards the following field
	entries []*document.Entry
}

func (r *result) first(entries []*document.Entry) {
	r.entries = entries // nobody else has r yet
	r.ready <- struct{}{}
}

func (r *result) next(edits []query.Edit) {
	r.mu.Lock()
	for _, e := range edits {
		switch e.Kind {
		case query.Insert:
			r.entries = slices.Insert(r.entries, e.At, e.Doc)
		case query.Remove:
			r.entries = slices.Delete(r.entries, e.At, e.At+1)
		case query.Replace:
			r.entries[e.At] = e.Doc
		}
	}
	r.mu.Unlock()
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

func (r *result) get() []Document {
	r.mu.Lock()
	defer r.mu.Unlock()
	return documents(r.entries)
}

func documents(entries []*document.Entry) []Document {
	docs := make([]Document, len(entries))
	for i, e := range entries {
		docs[i] = Document{ID: e.ID, Version: e.Dot, Body: e.Body}
	}
	return docs
}
