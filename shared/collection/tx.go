package collection

import (
	"time"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// tx is one commit in the making. What it reads is the collection as the log holds it, and on top of it what the ops before
// have written.
type tx struct {
	c       *Collection
	mem     *memory
	written map[string]*document.Entry
	order   []*document.Entry        // what was written, in that order, also what was replaced again
	keep    map[*document.Entry]bool // of order: replaced again, but to be stored all the same
	known   *document.Knowledge
	self    document.ReplicaID
	now     time.Time          // of the whole commit: asking the clock takes as long as the rest of a write in a browser
	counter uint64             // of self's last write
	fresh   document.ReplicaID // to take before the first write; see Options.FreshID
	state   state
	tell    bool // known covers more than the entries of the log and of this commit tell
}

func newTx(c *Collection) *tx {
	return &tx{
		c:       c,
		mem:     &c.mem,
		written: make(map[string]*document.Entry),
		known:   c.mem.known.Clone(),
		self:    c.mem.self,
		now:     c.opts.Now(),
		counter: c.mem.known.Last(c.mem.self),
		fresh:   c.freshID,
	}
}

// get returns the current version of a document, nil if there never was one.
func (t *tx) get(id string) *document.Entry {
	if e := t.written[id]; e != nil {
		return e
	}
	if v := t.mem.docs[id]; v != nil {
		return &v.Entry
	}
	return nil
}

// write makes e, of which the dot, the base and the time are still missing, the version that follows old, which may be nil.
func (t *tx) write(e document.Entry, old *document.Entry) *document.Entry {
	var last document.Time
	if old != nil {
		last = old.Time
		e.Base = t.baseOf(old)
	}
	e.Time = last.Next(t.now, t.c.salt)
	if w := t.written[e.ID]; w != nil && w.Dot.Replica == t.self && !t.keep[w] {
		e.Dot = w.Dot // nobody can ever see the version that had it before
	} else {
		e.Dot = t.nextDot()
	}
	t.put(&e)
	return &e
}

// nextDot names a new write of this replica.
func (t *tx) nextDot() document.Dot {
	if !t.fresh.IsZero() {
		t.adopt(t.fresh) // what was written under the id before stays as it is
	}
	t.counter++
	return document.Dot{Replica: t.self, Counter: t.counter}
}

// put makes e the current version of its document.
func (t *tx) put(e *document.Entry) {
	if w := t.written[e.ID]; w != nil && w.Dot != e.Dot && !t.keep[w] {
		t.tell = true // no record will have the dot of the version before
	}
	t.written[e.ID] = e
	t.order = append(t.order, e)
	t.known.Add(e.Dot, e.Time)
}

// putKept is put for a version that is to be stored even if it is replaced in this commit.
func (t *tx) putKept(e *document.Entry) {
	t.put(e)
	if t.keep == nil {
		t.keep = make(map[*document.Entry]bool)
	}
	t.keep[e] = true
}

// baseOf returns the dot by which others may know old, which a user's write is about to replace: its own if it may have been
// told to anybody, else its base.
func (t *tx) baseOf(old *document.Entry) document.Dot {
	if old.Dot.Replica != t.self {
		return old.Dot
	}
	if t.written[old.ID] == old || !t.c.mayBeKnown(t.mem.docs[old.ID]) {
		return old.Base
	}
	return old.Dot
}

// know makes the knowledge cover k.
func (t *tx) know(k *document.Knowledge) {
	if k != nil && !t.known.CoversAll(k) {
		t.known.Merge(k)
		t.tell = true
	}
}

// appends returns the records of the commit.
func (t *tx) appends() []store.Append {
	var out []store.Append
	var entries []block.Placed
	size := 0
	flush := func() {
		if len(entries) > 0 {
			out = append(out, store.Append{Span: block.Span(entries), Data: block.Encode(entries)})
			entries, size = entries[:0], 0
		}
	}
	for _, e := range t.order {
		if t.written[e.ID] != e && !t.keep[e] {
			continue
		}
		entries = append(entries, block.Placed{Entry: *e, Offset: uint32(len(entries))})
		if size += block.Size(e); size >= block.Target {
			flush()
		}
	}
	flush()
	if t.tell {
		t.state.known = t.known
	}
	if !t.state.isZero() {
		out = append(out, store.Append{Span: 1, Data: encodeState(t.state)})
	}
	return out
}
