//go:build js

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// compileRegexp is the browser's engine for $regex.
func compileRegexp(source, flags string) (func(text []byte) bool, error) {
	expression, err := jsbridge.Try(func() js.Value { return js.Global().Get("RegExp").New(source, flags) })
	if err != nil {
		return nil, err
	}
	return func(text []byte) bool { return expression.Call("test", string(text)).Bool() }, nil
}

// asked returns the collection that is the first argument and the query that is the i-th.
func (c *core) asked(a arguments, i int) (*coll, *query.Query, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, nil, err
	}
	text, err := at[string](a, i)
	if err != nil {
		return nil, nil, err
	}
	q, err := o.finder.Parse([]byte(text))
	if err != nil {
		return nil, nil, jsbridge.TypeError(err.Error())
	}
	return o, q, nil
}

// askedFor returns what asked does for (collection, number, query), and that number, of which the answer is told.
func (c *core) askedFor(a arguments) (o *coll, of int, q *query.Query, err error) {
	o, q, err = c.asked(a, 2)
	if err != nil {
		return nil, 0, nil, err
	}
	number, err := at[float64](a, 1)
	return o, int(number), q, err
}

// partBytes is how much of a long result is told at a time.
const partBytes = 256 << 10

// tellRows tells of documents in parts, between which the page gets its turn, but for the last, which it returns as a reading.
func (o *coll) tellRows(ctx context.Context, of int, docs []*document.Entry) (last string, err error) {
	size, from := 0, 0
	for i, d := range docs {
		if size += len(d.Body) + 64; size >= partBytes && i+1 < len(docs) {
			o.db.core.tell(eventRows, of, o.text(&reading{entries: docs[from : i+1]}))
			from, size = i+1, 0
			if err := jsbridge.Yield(ctx); err != nil {
				return "", err
			}
		}
	}
	return o.text(&reading{entries: docs[from:]}), nil
}

// find (collection, number, query) returns the last part of a query's result as a reading. What comes before it is told of as eventRows of number.
func (c *core) find(ctx context.Context, a arguments) (any, error) {
	o, of, q, err := c.askedFor(a)
	if err != nil {
		return nil, err
	}
	docs, err := o.finder.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	return o.tellRows(ctx, of, docs)
}

// count (collection, query) returns the number of documents that meet a query's selector.
func (c *core) count(ctx context.Context, a arguments) (any, error) {
	o, q, err := c.asked(a, 1)
	if err != nil {
		return nil, err
	}
	return o.finder.Count(ctx, q)
}

// explain (collection, query) returns how a query is answered, as JSON.
func (c *core) explain(ctx context.Context, a arguments) (any, error) {
	o, q, err := c.asked(a, 1)
	if err != nil {
		return nil, err
	}
	e, err := o.finder.Explain(ctx, q)
	if err != nil {
		return nil, err
	}
	return marshal(e)
}

// observe (collection, number, query) tells of a query's result from now on: first all of it, as eventRows, and once the promise is
// fulfilled, of what changes about it, as eventEdits. number is of JavaScript's choice, below 0.
func (c *core) observe(ctx context.Context, a arguments) (any, error) {
	o, of, q, err := c.askedFor(a)
	if err != nil {
		return nil, err
	}
	l := &observed{coll: o, number: of, early: true}
	var docs []*document.Entry
	live, err := o.finder.Live(ctx, q, func(all []*document.Entry) { docs = all }, l.tell)
	if err != nil {
		return nil, err
	}
	rows, err := o.tellRows(ctx, l.number, docs)
	if err != nil {
		live.Stop()
		return nil, err
	}
	c.tell(eventRows, l.number, rows)
	l.begin()
	o.watchUntil(l.number, live.Stop)
	return nil, nil
}

// observed is a live query at the border.
type observed struct {
	coll   *coll
	number int

	mu    sync.Mutex // guards the following fields, and the order of what is told
	early bool       // the first result has not been told yet
	edits []string   // of that time
}

func (l *observed) tell(edits []query.Edit) {
	text := l.coll.edits(edits)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.early {
		l.edits = append(l.edits, text)
		return
	}
	l.coll.db.core.tell(eventEdits, l.number, text)
}

func (l *observed) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.edits {
		l.coll.db.core.tell(eventEdits, l.number, text)
	}
	l.early, l.edits = false, nil
}

// edits writes edits as JSON: `e` has the kind and the place of each, the rest lists the documents of those that have one; see appendListed.
func (o *coll) edits(edits []query.Edit) string {
	docs := make([]*document.Entry, 0, len(edits))
	for _, e := range edits {
		if e.Doc != nil {
			docs = append(docs, e.Doc)
		}
	}
	b := append(make([]byte, 0, sizeOf(docs)+8*len(edits)), `{"e":[`...)
	for i, e := range edits {
		b = strconv.AppendInt(separate(b, i), int64(e.Kind), 10)
		b = strconv.AppendInt(append(b, ','), int64(e.At), 10)
	}
	return string(append(o.appendListed(append(b, `],`...), docs), '}'))
}

// observeCount (collection, number, query) tells of the number of documents that meet a query's selector, now and whenever it is another, as
// eventCount of number.
func (c *core) observeCount(ctx context.Context, a arguments) (any, error) {
	o, of, q, err := c.askedFor(a)
	if err != nil {
		return nil, err
	}
	l, err := o.finder.LiveCount(ctx, q, func(n int) { c.tell(eventCount, of, strconv.Itoa(n)) })
	if err != nil {
		return nil, err
	}
	o.watchUntil(of, l.Stop)
	return nil, nil
}

// watchUntil notes what unobserve does.
func (o *coll) watchUntil(number int, stop func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lives[number] = stop
}

// unobserve (collection, number) ends a live query or count.
func (c *core) unobserve(_ context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, nil // it ended with the collection
	}
	of, err := at[float64](a, 1)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	stop := o.lives[int(of)]
	delete(o.lives, int(of))
	o.mu.Unlock()
	if stop == nil {
		return nil, fmt.Errorf("live query %d: %w", int(of), jsbridge.TypeError("there is none"))
	}
	stop()
	return nil, nil
}
