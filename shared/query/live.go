package query

import (
	"math"
	"slices"
)

// EditKind is what an Edit does.
type EditKind uint8

// The kinds of Edit.
const (
	Insert  EditKind = iota + 1 // Doc is put in at At; what stood there and behind moves on
	Remove                      // the document at At is taken out; Doc is nil
	Replace                     // Doc, a new version, takes the place of the document at At
)

// Edit is one step from a live query's previous result to its present one.
type Edit struct {
	Kind EditKind
	At   int
	Doc  *Doc
}

// Live is the result of a query that is kept up to date. It does work in proportion to the changes: for each one it matches the
// old and the new version, and finds their places in a tree. Of a query with a limit it holds some documents beyond
// the limit, and runs the query again when those are used up. Like the indexes it is not safe for several goroutines.
type Live struct {
	q       *Query
	indexes *Indexes
	held    tree   // by sort key: the first documents of the query, those skipped included
	all     bool   // these are all documents that meet the selector
	bound   string // else: they are those with sort keys up to this one
	edits   []Edit
	source  source
	buf     []byte
}

// spare is how many documents beyond its limit a Live fetches.
func (l *Live) spare() int { return min(max(l.q.limit, 16), 256) }

// Live runs q and returns its result for keeping.
func (x *Indexes) Live(q *Query) *Live {
	s := x.StartLive(q)
	s.Step(math.MaxInt)
	return s.Live()
}

// StartLive does what Live does in steps, for a caller that may not be away for long. The result is that of the moment of
// StartLive: where the indexes are updated between steps, the Live that comes out has to take over the same changes.
func (x *Indexes) StartLive(q *Query) *LiveStart {
	l := &Live{q: q, indexes: x, source: source{slots: make([]value, len(q.fields))}}
	return l.start(func(p *Plan) *Run { return p.Start() })
}

// LiveStart is a Live in the making.
type LiveStart struct {
	live *Live
	most int // documents to hold; -1: all
	run  *Run
	over bool // run is
	next int  // of its documents
}

// Step looks at n more candidates, or takes n more documents into the result, and reports whether there are more.
func (s *LiveStart) Step(n int) (more bool) {
	if !s.over {
		if s.over = !s.run.Step(n); !s.over || n < math.MaxInt {
			return true
		}
	}
	docs := s.run.Docs()
	for ; s.next < len(docs) && n > 0; n-- {
		s.live.hold(docs[s.next])
		s.next++
	}
	if s.next < len(docs) {
		return true
	}
	s.live.setBound(s.most < 0 || len(docs) < s.most)
	return false
}

// Live returns the result, once the last step is done.
func (s *LiveStart) Live() *Live { return s.live }

// Len returns the number of documents in the result.
func (l *Live) Len() int {
	lo, hi := l.ends()
	return max(min(hi, l.held.Len())-lo, 0)
}

// Docs returns the documents of the result in order.
func (l *Live) Docs() []*Doc {
	docs := make([]*Doc, 0, l.Len())
	lo, _ := l.ends()
	if first, _, ok := l.held.GetAt(lo); ok && cap(docs) > 0 {
		l.held.Ascend(first, func(_ string, d *Doc) bool {
			docs = append(docs, d)
			return len(docs) < cap(docs)
		})
	}
	return docs
}

// ends returns the first place of the result among what is held and the one behind its last.
func (l *Live) ends() (lo, hi int) {
	if l.q.limit < 0 {
		return l.q.skip, math.MaxInt
	}
	return l.q.skip, l.q.skip + l.q.limit
}

// fetch runs the query for all documents that are to be held.
func (l *Live) fetch() { l.start(func(p *Plan) *Run { return p.run(p.way.index) }).Step(math.MaxInt) }

func (l *Live) start(run func(p *Plan) *Run) *LiveStart {
	s := &LiveStart{live: l, most: -1}
	if _, hi := l.ends(); l.q.limit >= 0 {
		s.most = hi + l.spare()
	}
	l.held.Clear()
	s.run = run(l.indexes.Plan(l.q.WithWindow(0, s.most)))
	return s
}

// hold takes the next document of the query's order in.
func (l *Live) hold(d *Doc) {
	load(d.Body, l.q.fields, l.source.slots)
	l.buf = l.q.appendSortKey(l.buf[:0], d.ID, l.source.slots)
	l.held.Load(string(l.buf), d)
}

func (l *Live) setBound(all bool) {
	l.all = all
	l.bound, _, _ = l.held.Max()
}

// Apply takes over changes, which the indexes have taken over before, and returns the edits that lead from the previous result
// to the present one when made one after the other; none when the result is the same. The edits are valid until the next
// call. Edits of several changes may cancel each other out.
func (l *Live) Apply(changes []Change) []Edit {
	clear(l.edits)
	l.edits = l.edits[:0]
	if l.q.limit == 0 {
		return nil
	}
	before := l.Len()
	for _, c := range merged(changes) {
		if !l.apply(c) {
			l.fetch()
			return l.swap(before)
		}
	}
	if _, hi := l.ends(); l.q.limit > 0 {
		switch {
		case !l.all && l.held.Len() < hi:
			if !l.refill() {
				return l.swap(before)
			}
		case l.held.Len() > hi+2*l.spare():
			for l.held.Len() > hi+l.spare() {
				l.held.PopMax()
			}
			l.setBound(false)
		}
	}
	return l.edits
}

// merged makes one change of those of the same document.
func merged(changes []Change) []Change {
	if len(changes) < 2 {
		return changes
	}
	out := make([]Change, 0, len(changes))
	places := make(map[string]int, len(changes))
	for _, c := range changes {
		id := ""
		switch {
		case c.New != nil:
			id = c.New.ID
		case c.Old != nil:
			id = c.Old.ID
		}
		if i, again := places[id]; again {
			out[i].New = c.New
			continue
		}
		places[id] = len(out)
		out = append(out, c)
	}
	return out
}

// apply takes over one change. It returns false where Old is not what is held.
func (l *Live) apply(c Change) bool {
	oldKey, was := l.key(c.Old)
	newKey, is := l.key(c.New)
	was = was && (l.all || oldKey <= l.bound)
	is = is && (l.all || newKey <= l.bound)
	if was && is && oldKey == newKey {
		_, found := l.held.Set(newKey, c.New)
		l.replaced(l.held.rank(newKey))
		return found
	}
	from := -1
	if was {
		from = l.held.rank(oldKey)
		if _, found := l.held.Delete(oldKey); !found {
			return false
		}
	}
	if is {
		if _, twice := l.held.Set(newKey, c.New); twice {
			return false
		}
	}
	switch {
	case was && is:
		l.moved(from, l.held.rank(newKey))
	case was:
		l.removed(from)
	case is:
		l.inserted(l.held.rank(newKey))
	}
	return true
}

// key returns the sort key of a document that meets the selector.
func (l *Live) key(d *Doc) (key string, ok bool) {
	if d == nil {
		return "", false
	}
	load(d.Body, l.q.fields, l.source.slots)
	if !matchAll(l.q.selector, &l.source) {
		return "", false
	}
	l.buf = l.q.appendSortKey(l.buf[:0], d.ID, l.source.slots)
	return string(l.buf), true
}

func (l *Live) edit(kind EditKind, at int, d *Doc) {
	l.edits = append(l.edits, Edit{kind, at, d})
}

func (l *Live) replaced(i int) {
	if lo, hi := l.ends(); lo <= i && i < hi {
		l.edit(Replace, i-lo, l.held.at(i))
	}
}

// removed writes what the removal of what was at i means to the result.
func (l *Live) removed(i int) {
	lo, hi := l.ends()
	if i >= hi || l.held.Len() < lo {
		return
	}
	l.edit(Remove, max(i, lo)-lo, nil)
	if l.held.Len() >= hi {
		l.edit(Insert, hi-1-lo, l.held.at(hi-1))
	}
}

// inserted writes what the insertion at i means to the result.
func (l *Live) inserted(i int) {
	lo, hi := l.ends()
	if i >= hi || l.held.Len() <= lo {
		return
	}
	if l.held.Len() > hi {
		l.edit(Remove, hi-1-lo, nil)
	}
	at := max(i, lo)
	l.edit(Insert, at-lo, l.held.at(at))
}

// moved writes what the move of a changed document means to the result.
func (l *Live) moved(from, to int) {
	lo, hi := l.ends()
	switch {
	case from == to:
		l.replaced(to)
		return
	case from < lo && to < lo, from >= hi && to >= hi, l.held.Len() <= lo:
		return
	}
	l.edit(Remove, min(max(from, lo), hi-1)-lo, nil)
	at := min(max(to, lo), hi-1)
	l.edit(Insert, at-lo, l.held.at(at))
}

// refill runs the query again and writes what the documents behind those that were held mean to the result. It returns
// false where the query does not begin with what was held, so that the changes cannot have been all that happened.
func (l *Live) refill() bool {
	before := l.held.Values()
	l.fetch()
	now := l.held.Values()
	if len(now) < len(before) || !slices.Equal(before, now[:len(before)]) {
		return false
	}
	lo, hi := l.ends()
	for i := max(len(before), lo); i < min(len(now), hi); i++ {
		l.edit(Insert, i-lo, now[i])
	}
	return true
}

// swap writes edits that replace a result of n documents by the present one.
func (l *Live) swap(n int) []Edit {
	l.edits = l.edits[:0]
	for i := n - 1; i >= 0; i-- {
		l.edit(Remove, i, nil)
	}
	for i, d := range l.Docs() {
		l.edit(Insert, i, d)
	}
	return l.edits
}

// LiveCount is the number of documents that meet a selector, kept up to date.
type LiveCount struct {
	q *Query
	n int
}

// LiveCount counts the documents that meet q's selector; skip and limit play no part.
func (x *Indexes) LiveCount(q *Query) *LiveCount {
	return &LiveCount{q: q, n: x.Plan(q).Count()}
}

// Count returns the present number.
func (l *LiveCount) Count() int { return l.n }

// Apply takes over changes and reports whether the number is another one now.
func (l *LiveCount) Apply(changes []Change) (changed bool) {
	before := l.n
	for _, c := range changes {
		if c.Old != nil && l.q.Match(c.Old.Body) {
			l.n--
		}
		if c.New != nil && l.q.Match(c.New.Body) {
			l.n++
		}
	}
	return l.n != before
}
