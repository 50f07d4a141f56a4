package document

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Bounds of a Knowledge, wherever it comes from.
const (
	// MaxReplicas is how many replicas one Knowledge may name.
	MaxReplicas = 1 << 16
	// MaxCounter is the greatest counter of a Dot. JavaScript counts no further without rounding.
	MaxCounter = 1<<53 - 1
	// MaxSpans is how many spans of writes, over all replicas, a Knowledge keeps beyond the gapless ones. When there are more, the
	// latest are forgotten: a write that is not covered is only sent once more.
	MaxSpans = 4096
)

// Knowledge is the set of writes that a replica accounts for: every one of them is held there, or was beaten by a version that
// is held there. For each replica it is a counter up to which all writes are covered, and spans of single ones beyond. Besides, it has the
// time of the last of them. Two knowledges that have different times for one write show that two replicas went by one id, which one
// has from a copy of the other's data. Such an id is forked, for good: none of its writes are covered any more, by anybody.
//
// The zero Knowledge is empty and ready for use. A Knowledge that others can see is never changed; whoever wants to add
// clones it first.
type Knowledge struct {
	of    map[ReplicaID]counters
	spans int // number of spans over all of them
	forks int // number of forked ids
}

type counters struct {
	forked bool // nothing else counts then
	time   Time // of the last write covered; 0 if not known
	upTo   uint64
	beyond []span // sorted, apart from upTo and from each other by at least one
}

// span covers the counters first to last, both included.
type span struct{ first, last uint64 }

// Covers reports whether k accounts for d. No knowledge covers the zero Dot.
func (k *Knowledge) Covers(d Dot) bool {
	c, ok := k.of[d.Replica]
	return ok && c.covers(d.Counter)
}

func (c counters) covers(n uint64) bool {
	if c.forked || n <= c.upTo {
		return n > 0 && !c.forked
	}
	i, found := slices.BinarySearchFunc(c.beyond, n, func(s span, n uint64) int {
		return cmp.Compare(s.last, n)
	})
	return found || i < len(c.beyond) && c.beyond[i].first <= n
}

// Add makes k cover d, a write of that time; 0 if the time is not known.
func (k *Knowledge) Add(d Dot, t Time) {
	if old := k.of[d.Replica]; d.Counter == old.upTo+1 && len(old.beyond) == 0 && !old.forked && k.of != nil && !d.IsZero() {
		k.of[d.Replica] = counters{upTo: d.Counter, time: t} // the next one, as it nearly always is
		return
	}
	if d.IsZero() || k.Covers(d) && d.Counter != k.Last(d.Replica) {
		return
	}
	k.merge(d.Replica, counters{time: t, beyond: []span{{d.Counter, d.Counter}}})
}

// AddUpTo makes k cover the writes 1 to n of r.
func (k *Knowledge) AddUpTo(r ReplicaID, n uint64) {
	if n > 0 {
		k.merge(r, counters{upTo: n})
	}
}

// Merge makes k cover all that o covers.
func (k *Knowledge) Merge(o *Knowledge) {
	for r, c := range o.of { // what it keeps of c is copied by add
		k.merge(r, c)
	}
}

func (k *Knowledge) merge(r ReplicaID, more counters) {
	old := k.of[r]
	had := len(old.beyond)
	c := counters{forked: true}
	switch {
	case !old.forkedWith(more):
		time := lastTime(old, more)
		c = old.add(more)
		c.time = time
	case !old.forked:
		k.forks++
	}
	if k.of == nil {
		k.of = make(map[ReplicaID]counters)
	}
	k.of[r] = c
	k.spans += len(c.beyond) - had
	if k.spans > MaxSpans {
		k.forget(r, k.spans-MaxSpans)
	}
}

// forkedWith reports whether a or b is forked, or both together show it.
func (a counters) forkedWith(b counters) bool {
	return a.forked || b.forked || a.last() == b.last() && a.time != b.time && a.time != 0 && b.time != 0
}

// lastTime returns the time of the last write that a or b covers.
func lastTime(a, b counters) Time {
	switch x, y := a.last(), b.last(); {
	case x > y:
		return a.time
	case x < y:
		return b.time
	}
	return max(a.time, b.time)
}

func (c counters) last() uint64 {
	if n := len(c.beyond); n > 0 {
		return c.beyond[n-1].last
	}
	return c.upTo
}

// forget drops the n latest spans of r, or all that it has.
func (k *Knowledge) forget(r ReplicaID, n int) {
	c := k.of[r]
	keep := max(0, len(c.beyond)-n)
	k.spans -= len(c.beyond) - keep
	c.beyond, c.time = c.beyond[:keep], 0
	k.of[r] = c
}

// add returns the counters that a or b covers. It takes over the memory of a and leaves that of b alone.
func (a counters) add(b counters) counters {
	n := len(a.beyond)
	switch {
	case len(b.beyond) == 0 && b.upTo <= a.upTo:
		return a
	case n > 0 && len(b.beyond) == 1 && b.upTo <= a.upTo && b.beyond[0].first > a.beyond[n-1].last:
		// A write beyond all others, as they come while a first sync runs.
		if s := b.beyond[0]; s.first == a.beyond[n-1].last+1 {
			a.beyond[n-1].last = s.last
		} else {
			a.beyond = append(a.beyond, s)
		}
		return a
	}
	all := slices.Concat(a.beyond, b.beyond)
	slices.SortFunc(all, func(x, y span) int { return cmp.Compare(x.first, y.first) })
	return counters{upTo: max(a.upTo, b.upTo)}.join(all)
}

// join adds spans, sorted by their first counter, to c, which has none. It reuses their memory.
func (c counters) join(spans []span) counters {
	out := spans[:0]
	for _, s := range spans {
		switch n := len(out); {
		case n == 0 && s.first <= c.upTo+1:
			c.upTo = max(c.upTo, s.last)
		case n > 0 && s.first <= out[n-1].last+1:
			out[n-1].last = max(out[n-1].last, s.last)
		default:
			out = append(out, s)
		}
	}
	c.beyond = out
	return c
}

func (c counters) clone() counters {
	c.beyond = slices.Clone(c.beyond)
	return c
}

// CoversAll reports whether k covers all that o covers, and nothing about it is news to k.
func (k *Knowledge) CoversAll(o *Knowledge) bool {
	for r, c := range o.of {
		if k.of[r].behind(c) {
			return false
		}
	}
	return true
}

// behind reports whether merging b changes a.
func (a counters) behind(b counters) bool {
	return !a.forked && (a.forkedWith(b) || a.missing(b) > 0 || a.last() == b.last() && a.time < b.time)
}

// Missing counts the writes that o covers and k does not.
func (k *Knowledge) Missing(o *Knowledge) uint64 {
	var n uint64
	for r, c := range o.of {
		n += k.of[r].missing(c)
	}
	return n
}

func (a counters) missing(b counters) uint64 {
	if a.forked || b.forked || len(b.beyond) == 0 && b.upTo <= a.upTo {
		return 0
	}
	return a.clone().add(b).size() - a.size()
}

func (a counters) size() uint64 {
	n := a.upTo
	for _, s := range a.beyond {
		n += s.last - s.first + 1
	}
	return n
}

// Since returns, of the replicas of which k has something that is news to o, what k has. o merged with it covers all that k does.
func (k *Knowledge) Since(o *Knowledge) *Knowledge {
	d := &Knowledge{}
	for r, c := range k.of {
		if !o.of[r].behind(c) {
			continue
		}
		d.merge(r, c)
	}
	return d
}

// Only returns what k covers of the writes of r.
func (k *Knowledge) Only(r ReplicaID) *Knowledge {
	c, ok := k.of[r]
	if !ok {
		return &Knowledge{}
	}
	only := &Knowledge{}
	only.merge(r, c.clone())
	return only
}

// Clone returns a copy that can be changed.
func (k *Knowledge) Clone() *Knowledge {
	c := &Knowledge{of: maps.Clone(k.of), spans: k.spans, forks: k.forks}
	if k.spans > 0 {
		for r := range c.of {
			c.of[r] = c.of[r].clone()
		}
	}
	return c
}

// Len returns of how many replicas k covers any write.
func (k *Knowledge) Len() int { return len(k.of) }

// IsEmpty reports whether k covers nothing.
func (k *Knowledge) IsEmpty() bool { return len(k.of) == 0 }

// Last returns the greatest counter of r that k covers, 0 for none.
func (k *Knowledge) Last(r ReplicaID) uint64 { return k.of[r].last() }

// LastTime returns the time of the write of r with the counter Last, 0 if it is not known.
func (k *Knowledge) LastTime(r ReplicaID) Time { return k.of[r].time }

// UpTo returns the counter up to which k covers all writes of r.
func (k *Knowledge) UpTo(r ReplicaID) uint64 { return k.of[r].upTo }

// Fork notes that several replicas went by the id r.
func (k *Knowledge) Fork(r ReplicaID) { k.merge(r, counters{forked: true}) }

// IsForked reports whether several replicas went by the id r.
func (k *Knowledge) IsForked(r ReplicaID) bool { return k.of[r].forked }

// Forks returns how many ids are known to be forked. It never becomes less.
func (k *Knowledge) Forks() int { return k.forks }

// ForkedBy returns the ids that k and o together show to be forked, and k alone does not.
func (k *Knowledge) ForkedBy(o *Knowledge) []ReplicaID {
	var ids []ReplicaID
	for r, c := range o.of {
		if own := k.of[r]; !own.forked && own.forkedWith(c) {
			ids = append(ids, r)
		}
	}
	return ids
}

// WithForks returns k with the forks of o. It is k itself if that has them all.
func (k *Knowledge) WithForks(o *Knowledge) *Knowledge {
	out := k
	for r, c := range o.of {
		if !c.forked || k.of[r].forked {
			continue
		}
		if out == k {
			out = k.Clone()
		}
		out.Fork(r)
	}
	return out
}

// Replicas returns the replicas of which k covers any write, sorted.
func (k *Knowledge) Replicas() []ReplicaID {
	return slices.SortedFunc(maps.Keys(k.of), ReplicaID.Compare)
}

// String lists what k covers, for logs.
func (k *Knowledge) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, r := range k.Replicas() {
		if i > 0 {
			b.WriteByte(' ')
		}
		k.of[r].describe(&b, r)
	}
	b.WriteByte('}')
	return b.String()
}
