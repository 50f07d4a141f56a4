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
	written map[string]written
	order   []string // keys of written in the order of their writes; those written again stand in it more than once
	known   *document.Knowledge
	self    document.ReplicaID
	now     time.Time // of the whole commit: asking the clock takes as long as the rest of a write in a browser
	counter uint64    // of self's last write
	state   state
	tell    bool // known covers more than the entries of the log and of this commit tell
}

type written struct {
	*document.Entry
	at int // in order
}

func newTx(c *Collection) *tx {
	return &tx{
		c:       c,
		mem:     &c.mem,
		written: make(map[string]written),
		known:   c.mem.known.Clone(),
		self:    c.mem.self,
		now:     c.opts.Now(),
		counter: c.mem.known.Last(c.mem.self),
	}
}

// get returns the current version of a document, nil if there never was one.
func (t *tx) get(id string) *document.Entry {
	if w, ok := t.written[id]; ok {
		return w.Entry
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
	e.Time = last.Next(t.now)
	if w, ok := t.written[e.ID]; ok && w.Dot.Replica == t.self {
		e.Dot = w.Dot // nobody can ever see the version that had it before
	} else {
		e.Dot = t.nextDot()
	}
	t.put(&e)
	return &e
}

func (t *tx) nextDot() document.Dot {
	t.counter++
	return document.Dot{Replica: t.self, Counter: t.counter}
}

// put makes e the current version of its document.
func (t *tx) put(e *document.Entry) {
	if w, ok := t.written[e.ID]; ok && w.Dot != e.Dot {
		t.tell = true // no record will have the dot of the version before
	}
	t.written[e.ID] = written{e, len(t.order)}
	t.order = append(t.order, e.ID)
	t.known.Add(e.Dot)
}

// baseOf returns the dot by which others may know old, which a user's write is about to replace: its own if it may have been
// told to anybody, else its base.
func (t *tx) baseOf(old *document.Entry) document.Dot {
	if old.Dot.Replica != t.self {
		return old.Dot
	}
	if t.written[old.ID].Entry == old || !t.mem.isShared(t.mem.docs[old.ID]) {
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

// reach notes that the log of replica r was read up to pos.
func (t *tx) reach(r document.ReplicaID, pos store.Position) {
	if pos <= max(t.mem.cursors[r], t.state.cursors[r]) {
		return
	}
	if t.state.cursors == nil {
		t.state.cursors = make(map[document.ReplicaID]store.Position)
	}
	t.state.cursors[r] = pos
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
	for i, id := range t.order {
		w := t.written[id]
		if w.at != i {
			continue
		}
		entries = append(entries, block.Placed{Entry: *w.Entry, Offset: uint32(len(entries))})
		if size += block.Size(w.Entry); size >= block.Target {
			flush()
		}
	}
	flush()
	if t.tell {
		t.state.known = t.known
	}
	if !t.state.isZero() {
		if n := t.c.acked.Load(); t.self == t.mem.self && n > t.mem.acked {
			t.state.acked = n
		}
		out = append(out, store.Append{Span: 1, Data: encodeState(t.state)})
	}
	return out
}
