package collection

import (
	"slices"
	"sync/atomic"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// version is an entry at its place in the log.
type version struct {
	document.Entry
	pos  store.Position
	dead bool        // a later version took its place
	sent atomic.Bool // put into a frame by this process
	past *version    // of a document's current version: the one before, then the one before that; see bases.go
}

// memory is what the log holds, in memory.
type memory struct {
	docs   map[string]*version
	order  []*version // by position; dead ones stay for a while
	dead   int        // of order
	live   int        // documents that are not deleted
	next   store.Position
	known  *document.Knowledge // never changed, only replaced
	self   document.ReplicaID
	shared shared
	times  ownTimes // of writes of self
	met    *acquaintances

	replaced map[string]struct{} // documents of which replaced versions are kept
	damaged  []damage            // records that could not be read and were not dealt with
	repaired []store.Position    // records that could not be read and were
	volume   volume
	sealed   bool // see Seal
	loading  bool // keep all of them: what others know comes later in the log
}

func (m *memory) init() {
	*m = memory{
		docs:  make(map[string]*version),
		next:  1,
		known: &document.Knowledge{},
		met:   &acquaintances{},

		replaced: make(map[string]struct{}),
		loading:  true,
	}
}

// Change is one step in the life of a document: the version before, if there was one, and the one after.
type Change struct {
	Before *document.Entry
	After  *document.Entry
	At     store.Position // of After in the log
}

// apply takes in records that the log holds. Those that it took before it skips; those that are damaged it notes and leaves out. It returns what
// changed, in log order.
func (m *memory) apply(records []store.Record) ([]Change, error) {
	var changes []Change
	known := (*document.Knowledge)(nil)
	for _, r := range records {
		if r.Next() <= m.next {
			continue
		}
		if err := checkVersion(r.Data); err != nil {
			return changes, err
		}
		if known == nil {
			known = m.known.Clone()
		}
		var err error
		if changes, err = m.applyRecord(r, known, changes); err != nil {
			m.damaged = append(m.damaged, damage{r, err})
		}
		m.volume.records++
		m.volume.bytes += len(r.Data)
		m.next = r.Next()
	}
	if known != nil {
		m.known = known
	}
	return changes, nil
}

func (m *memory) applyRecord(r store.Record, known *document.Knowledge, changes []Change) ([]Change, error) {
	if len(r.Data) == 0 {
		return changes, nil
	}
	if isState(r.Data) {
		s, err := decodeState(r.Data)
		if err == nil {
			m.applyState(&s, known)
		}
		return changes, err
	}
	entries, err := block.Decode(r.Data)
	if err != nil {
		return changes, err
	}
	versions := make([]version, len(entries))
	changes = slices.Grow(changes, len(entries))
	for i := range entries {
		pos := r.First + store.Position(entries[i].Offset)
		if pos < m.next {
			continue
		}
		v := &versions[i]
		v.Entry, v.pos = entries[i].Entry, pos
		changes = append(changes, m.put(v, known))
	}
	return changes, nil
}

func (m *memory) applyState(s *state, known *document.Knowledge) {
	if s.full {
		*known = document.Knowledge{}
		m.self, m.shared, m.repaired = document.ReplicaID{}, shared{}, nil
		m.times = ownTimes{}
	}
	m.sealed = m.sealed || s.sealed
	m.repaired = append(m.repaired, s.repaired...)
	m.damaged = slices.DeleteFunc(m.damaged, func(d damage) bool { return slices.Contains(s.repaired, d.record.First) })
	if !s.self.IsZero() && s.self != m.self {
		m.self, m.times = s.self, ownTimes{}
	}
	for _, t := range s.times {
		m.times.add(t)
	}
	if s.known != nil {
		known.Merge(s.known)
	}
	for _, a := range s.told {
		m.met.note(a)
	}
	if s.shared.set {
		m.shared = s.shared
	}
}

// put makes v the current version of its document.
func (m *memory) put(v *version, known *document.Knowledge) Change {
	change := Change{After: &v.Entry, At: v.pos}
	if old := m.docs[v.ID]; old != nil {
		change.Before = &old.Entry
		old.dead = true
		if v.past = m.stillNeeded(old, v.Dot); v.past != nil {
			m.replaced[v.ID] = struct{}{}
		}
		m.dead++
		if !old.Deleted {
			m.live--
		}
		m.volume.live -= block.Size(&old.Entry)
	}
	if !v.Deleted {
		m.live++
	}
	m.volume.live += block.Size(&v.Entry)
	m.docs[v.ID] = v
	m.order = append(m.order, v)
	known.Add(v.Dot, v.Time)
	if v.Dot.Replica == m.self {
		m.times.add(ownTime{v.Dot.Counter, v.Time})
	}
	if m.dead > 64 && m.dead > len(m.order)/2 {
		m.order = slices.DeleteFunc(m.order, func(v *version) bool { return v.dead })
		m.dead = 0
	}
	return change
}

// since returns the versions at positions of from and later, in log order, dead ones among them.
func (m *memory) since(from store.Position) []*version {
	i, _ := slices.BinarySearchFunc(m.order, from, func(v *version, p store.Position) int {
		switch {
		case v.pos < p:
			return -1
		case v.pos > p:
			return 1
		}
		return 0
	})
	return m.order[i:]
}
