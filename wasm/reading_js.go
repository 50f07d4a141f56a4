//go:build js

package main

import (
	"context"
	"strconv"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// reading is documents that were read. As JSON, `t` is the position of the log after which that was, 0 where nobody asks, and the rest is as in
// listed.
type reading struct {
	tail    store.Position
	entries []*document.Entry
}

func (o *coll) text(r *reading) string {
	b := append(make([]byte, 0, sizeOf(r.entries)+32), `{"t":`...)
	b = append(strconv.AppendUint(b, uint64(r.tail), 10), ',')
	return string(append(o.appendListed(b, r.entries), '}'))
}

func sizeOf(entries []*document.Entry) int {
	size := 32
	for _, e := range entries {
		size += len(e.Body) + 12
	}
	return size
}

// appendListed appends documents: `v` has the replica's number and the counter of each one's version, `d` has the documents. `o` has the places of
// those that are not the newest version any more, so that nobody takes them for it.
func (o *coll) appendListed(b []byte, entries []*document.Entry) []byte {
	var old []int
	o.View(func(v collection.View) {
		for i, e := range entries {
			if newest, _ := v.Get(e.ID); newest != e {
				old = append(old, i)
			}
		}
	})
	b = append(b, `"o":[`...)
	for i, place := range old {
		b = strconv.AppendInt(separate(b, i), int64(place), 10)
	}
	b = append(b, `],"v":[`...)
	for i, e := range entries {
		b = o.db.core.appendDot(b, i, e.Dot)
	}
	b = append(b, `],"d":[`...)
	for i, e := range entries {
		b = append(separate(b, i), e.Body...)
	}
	return append(b, ']')
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
