package collection

import (
	"context"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// A conflict handler can tell what each side changed only if it has the version that both were made from. Another replica may come
// with a change of any version that it was sent and that it has not said to know the successor of. So, of the versions that were
// replaced, those are kept; for replicas that are away, too.

// acquaintances is what other replicas said to know, for those met last.
type acquaintances struct {
	mu   sync.Mutex     // guards the following fields
	list []acquaintance // the one that was met last at the end
	news bool           // list has changed since hasNews was asked
}

type acquaintance struct {
	replica document.ReplicaID
	told    *document.Knowledge
	upTo    store.Position // it may have been sent what stands before this in the log
}

// maxMet is how many replicas are remembered. Who was met longest ago is forgotten first.
const maxMet = 64

// note takes in what a replica said to know.
func (q *acquaintances) note(a acquaintance) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.list, func(o acquaintance) bool { return o.replica == a.replica }); i >= 0 {
		if old := q.list[i].told; old.CoversAll(a.told) {
			a.told = old // a is of the log, which is behind what the session heard
		}
		q.list = slices.Delete(q.list, i, i+1)
	}
	q.list = append(q.list, a)
	if len(q.list) > maxMet {
		q.list = slices.Delete(q.list, 0, 1)
	}
	q.news = true
}

func (q *acquaintances) all() []acquaintance {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.list)
}

func (q *acquaintances) hasNews() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	news := q.news
	q.news = false
	return news
}

// need reports whether any of them may come with a change of v, which was replaced by successor.
func (q *acquaintances) need(v *version, successor document.Dot) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.list, func(a acquaintance) bool {
		return !a.told.Covers(successor) && (v.pos < a.upTo || a.told.Covers(v.Dot))
	})
}

// maxPast is how many replaced versions of one document are kept at most: of more, the earliest and the latest.
const maxPast = 32

// stillNeeded returns the chain of replaced versions that begins with v, without those that no known replica may come back with a
// change of. successor is what took the place of v.
func (m *memory) stillNeeded(v *version, successor document.Dot) *version {
	if m.loading {
		return v
	}
	var first *version
	end, n := &first, 0
	for v != nil {
		next := v.past
		if m.met.need(v, successor) && (n < maxPast || next == nil) {
			*end, end = v, &v.past
			n++
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

// bases returns the versions that both of two conflicting ones were made from, as far as they are held, the earlier first: those
// that one names as its base and that both sides know; without such, the latest replaced here that the other side has seen. (A base
// that was never sent, or was lost on the way, tells the other side nothing.)
func (m *memory) bases(local, remote *document.Entry, known, seen *document.Knowledge) []*document.Entry {
	var bases []*document.Entry
	var latest *document.Entry
	for v := m.docs[local.ID]; v != nil; v = v.past {
		if !known.Covers(v.Dot) || !seen.Covers(v.Dot) {
			continue
		}
		if latest == nil {
			latest = &v.Entry
		}
		if v.Dot == local.Base || v.Dot == remote.Base {
			bases = append(bases, &v.Entry)
		}
	}
	if len(bases) == 0 && latest != nil {
		return []*document.Entry{latest}
	}
	slices.SortFunc(bases, (*document.Entry).Compare)
	return bases
}

// Hear takes in what replica r has told to know, in a session that goes on. It counts at once; Part stores it.
func (c *Collection) Hear(r document.ReplicaID, told *document.Knowledge) {
	c.mem.met.note(acquaintance{r, told, store.MaxPosition})
}

// Part stores what replica r has told to know, at the end of a session with it. It blocks until that is done.
func (c *Collection) Part(r document.ReplicaID, told *document.Knowledge) {
	err := c.do(context.Background(), 0, func(t *tx) error {
		t.state.told = append(t.state.told, acquaintance{r, told, t.mem.next})
		return nil
	})
	if err != nil {
		// What was stored before makes more versions be kept than are needed.
		c.opts.Logger.Debug("store what a peer knows", "collection", c.name, "error", err)
	}
}
