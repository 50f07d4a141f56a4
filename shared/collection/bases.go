package collection

import (
	"context"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/document"
)

// A conflict handler can tell what each side changed only if it has the version that both were made from. A replica that is
// away may come back with a change of a version that it had when it left. So, of the versions that were replaced, those are
// kept that a known replica has and whose successor it does not have, as far as it has told.

// acquaintances is what other replicas said to know, for those met last.
type acquaintances struct {
	mu   sync.Mutex     // guards the following fields
	list []acquaintance // the one that was met last at the end
	news bool           // list has changed since hasNews was asked
}

type acquaintance struct {
	replica document.ReplicaID
	told    *document.Knowledge
}

// maxMet is how many replicas are remembered. Who was met longest ago is forgotten first.
const maxMet = 64

// note takes in what r said to know.
func (q *acquaintances) note(r document.ReplicaID, told *document.Knowledge) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.list, func(a acquaintance) bool { return a.replica == r }); i >= 0 {
		if old := q.list[i].told; old.CoversAll(told) {
			told = old // by a record of the log, which is older than what the session heard
		}
		q.list = slices.Delete(q.list, i, i+1)
	}
	q.list = append(q.list, acquaintance{r, told})
	if len(q.list) > maxMet {
		q.list = slices.Delete(q.list, 0, 1)
	}
	q.news = true
}

func (q *acquaintances) hasNews() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	news := q.news
	q.news = false
	return news
}

// confirmed returns up to which write of self another replica has told to know all.
func (q *acquaintances) confirmed(self document.ReplicaID) (n uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.list {
		n = max(n, a.told.UpTo(self))
	}
	return n
}

// misses reports whether any of them knows the write had and not the write lacks.
func (q *acquaintances) misses(had, lacks document.Dot) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.list, func(a acquaintance) bool {
		return a.told.Covers(had) && !a.told.Covers(lacks)
	})
}

// stillNeeded returns the chain of replaced versions that begins with v, without those that no known replica may come back with a
// change of. successor is what took the place of v.
func (m *memory) stillNeeded(v *version, successor document.Dot) *version {
	if m.loading {
		return v
	}
	var first *version
	end := &first
	for v != nil {
		next := v.past
		if m.met.misses(v.Dot, successor) {
			*end, end = v, &v.past
		}
		v, successor = next, v.Dot
	}
	*end = nil
	return first
}

// sweepBases drops the replaced versions that are not needed any more.
func (m *memory) sweepBases() {
	for id := range m.replaced {
		v := m.docs[id]
		if v.past = m.stillNeeded(v.past, v.Dot); v.past == nil {
			delete(m.replaced, id)
		}
	}
}

// base returns the version that both of two conflicting ones were made from, or nil if it is not held any more. It is one that
// both sides know, named as the base of either; if both bases are such, the earlier.
func (m *memory) base(local, remote *document.Entry, known, seen *document.Knowledge) *document.Entry {
	var base *document.Entry
	for _, d := range []document.Dot{local.Base, remote.Base} {
		if d.IsZero() || !known.Covers(d) || !seen.Covers(d) {
			continue
		}
		for v := m.docs[local.ID]; v != nil; v = v.past {
			if v.Dot == d && (base == nil || v.Compare(base) < 0) {
				base = &v.Entry
			}
		}
	}
	return base
}

// Hear takes in what replica r has told to know. It counts at once; Part stores it.
func (c *Collection) Hear(r document.ReplicaID, told *document.Knowledge) { c.mem.met.note(r, told) }

// Part stores what replica r has told to know, at the end of a session with it. It blocks until that is done.
func (c *Collection) Part(r document.ReplicaID, told *document.Knowledge) {
	err := c.do(context.Background(), 0, func(t *tx) error {
		t.state.told = map[document.ReplicaID]*document.Knowledge{r: told}
		return nil
	})
	if err != nil {
		// What was stored before makes more versions be kept than are needed, and fewer own writes count as confirmed.
		c.opts.Logger.Debug("store what a peer knows", "collection", c.name, "error", err)
	}
}
