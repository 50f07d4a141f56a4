//go:build js

package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// reading is what a query found. As JSON, `t` is the position of the log after which it was read, `v` has the replica's number and
// the counter of each document's version, `d` has the documents.
type reading struct {
	tail    store.Position
	entries []*document.Entry
}

// readAll reads all documents.
func (c *core) readAll(o *coll) string {
	var r reading
	o.View(func(v collection.View) {
		r.tail = v.Tail()
		r.entries = make([]*document.Entry, 0, v.Len())
		for e := range v.Since(1) {
			if !e.Beaten && !e.Deleted {
				r.entries = append(r.entries, e.Entry)
			}
		}
	})
	byID := func(a, b *document.Entry) int { return strings.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(r.entries, byID) { // they come in the order of the log, which often is it
		slices.SortFunc(r.entries, byID)
	}
	return c.text(&r)
}

func (c *core) text(r *reading) string {
	size := 64
	for _, e := range r.entries {
		size += len(e.Body) + 12
	}
	b := append(make([]byte, 0, size), `{"t":`...)
	b = append(strconv.AppendUint(b, uint64(r.tail), 10), `,"v":[`...)
	for i, e := range r.entries {
		b = c.appendDot(b, i, e.Dot)
	}
	b = append(b, `],"d":[`...)
	for i, e := range r.entries {
		b = append(separate(b, i), e.Body...)
	}
	return string(append(b, `]}`...))
}

// appendDot appends two numbers that stand for d, the i-th of a list; 0 and 0 for none.
func (c *core) appendDot(b []byte, i int, d document.Dot) []byte {
	b = separate(b, i)
	if d.IsZero() {
		return append(b, "0,0"...)
	}
	b = strconv.AppendInt(b, int64(c.number(d.Replica)), 10)
	return strconv.AppendUint(append(b, ','), d.Counter, 10)
}

// tombstone appends a document that has a primary key and nothing else.
func (o *coll) tombstone(b []byte, id string) []byte {
	b = appendString(append(b, '{'), o.key)
	return append(appendString(append(b, ':'), id), '}')
}

// What watch takes: how much a collection tells of its changes.
const (
	watchOff    = iota
	watchAfter  // the new versions
	watchBefore // also those before
)

// watch (collection, level) sets how much of each commit is told from now on.
func (c *core) watch(_ context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, err
	}
	level, err := at[float64](a, 1)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.level = int(level)
	switch {
	case o.level == watchOff && o.stop != nil:
		o.stop()
		o.stop = nil
	case o.level > watchOff && o.stop == nil:
		o.stop = o.Subscribe(o.changed)
	}
	return nil, nil
}

func (o *coll) stopWatch() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil {
		o.stop()
		o.stop = nil
	}
}

// The operations of a feed.
const (
	opInsert = iota
	opUpdate
	opDelete
)

// changed tells of a commit: `t` is the position of the log after it, `n` the number of documents, `o` the operations, `v` as in a reading,
// `d` the new versions, `b` those before, null where there was none or they were not asked for.
func (o *coll) changed(changes []collection.Change) {
	o.mu.Lock()
	before := o.level >= watchBefore
	o.mu.Unlock()
	f := feed{coll: o}
	for i := range changes {
		f.add(&changes[i], before)
	}
	if f.count > 0 {
		o.db.core.tell(eventChanges, o.number, f.text())
	}
}

// feed is the text of a commit in the making.
type feed struct {
	coll              *coll
	count             int
	ops, dots, bodies []byte
	befores           []byte
}

func (f *feed) add(c *collection.Change, before bool) {
	was := c.Before != nil && !c.Before.Deleted
	op := opUpdate
	switch {
	case !was && c.After.Deleted:
		return // nobody has seen it here
	case !was:
		op = opInsert
	case c.After.Deleted:
		op = opDelete
	}
	f.ops = strconv.AppendInt(separate(f.ops, f.count), int64(op), 10)
	f.dots = f.coll.db.core.appendDot(f.dots, f.count, c.After.Dot)
	f.bodies = separate(f.bodies, f.count)
	if len(c.After.Body) > 0 {
		f.bodies = append(f.bodies, c.After.Body...)
	} else {
		f.bodies = f.coll.tombstone(f.bodies, c.After.ID)
	}
	f.befores = separate(f.befores, f.count)
	if before && was {
		f.befores = append(f.befores, c.Before.Body...)
	} else {
		f.befores = append(f.befores, "null"...)
	}
	f.count++
}

func (f *feed) text() string {
	var tail store.Position
	f.coll.View(func(v collection.View) { tail = v.Tail() })
	b := append(make([]byte, 0, len(f.bodies)+len(f.befores)+len(f.dots)+len(f.ops)+96), `{"t":`...)
	b = strconv.AppendUint(b, uint64(tail), 10)
	b = strconv.AppendInt(append(b, `,"n":`...), int64(f.coll.Count()), 10)
	for _, part := range []struct {
		name string
		text []byte
	}{{"o", f.ops}, {"v", f.dots}, {"d", f.bodies}, {"b", f.befores}} {
		b = append(append(append(b, `,"`...), part.name...), `":[`...)
		b = append(append(b, part.text...), ']')
	}
	return string(append(b, '}'))
}
