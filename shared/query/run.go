package query

import (
	"math"
	"slices"
	"strings"
)

// Find returns the documents of the query in its order, within its skip and limit.
func (p *Plan) Find() []*Doc {
	r := p.run(p.way.index)
	r.Step(math.MaxInt)
	return r.docs
}

// Count returns the number of documents that meet the selector. Like the storages of RxDB it takes no notice of skip and
// limit. Where the bounds settle the selector it looks at no document that the index can order.
func (p *Plan) Count() int {
	r := p.run(p.way.index)
	r.count()
	r.Step(math.MaxInt)
	return r.n
}

// Start begins to answer the query in steps, for a caller that may not be away for long. The answer is that of the moment of
// Start: the indexes may be updated between steps.
func (p *Plan) Start() *Run { return p.run(p.way.index.snapshot()) }

// StartCount begins to count in steps.
func (p *Plan) StartCount() *Run {
	r := p.Start()
	r.count()
	return r
}

// Run is a query that is being answered.
type Run struct {
	plan  *Plan
	index *index

	next  int    // the range that is being walked, in the order of the walk
	last  string // the last key looked at in it; "" at its begin
	group group
	odd   []sorted // documents that meet the selector and that the index cannot order, in the query's order
	ended bool

	counting bool
	n        int

	skip, left int // left < 0: no limit
	docs       []*Doc
}

func (p *Plan) run(ix *index) *Run {
	r := &Run{plan: p, index: ix, skip: p.q.skip, left: p.q.limit, odd: p.odd()}
	r.group.most = -1
	if p.q.limit >= 0 {
		r.group.most = p.q.skip + p.q.limit
	}
	return r
}

// count makes a count of the run. It is over at once where the bounds settle the selector.
func (r *Run) count() {
	r.counting = true
	if len(r.plan.way.residual) > 0 {
		return
	}
	for _, of := range r.plan.way.ranges {
		r.n += r.index.size(of)
	}
	r.next = len(r.plan.way.ranges)
}

// Docs returns the documents found so far, in the query's order, within its skip and limit.
func (r *Run) Docs() []*Doc { return r.docs }

// Count returns the number of documents counted so far.
func (r *Run) Count() int { return r.n }

// Step looks at n more candidates and reports whether there are more. Where documents are sorted in memory, a step that comes to
// the end of a group also sorts it.
func (r *Run) Step(n int) (more bool) {
	ranges, desc := r.plan.way.ranges, r.plan.way.order.desc
	if r.left == 0 && !r.counting {
		r.ended = true
	}
	for !r.ended && r.next < len(ranges) {
		of := ranges[r.next]
		switch {
		case desc && r.last == "":
			of = ranges[len(ranges)-1-r.next]
		case desc:
			of = interval{ranges[len(ranges)-1-r.next].lo, r.last}
		case r.last != "":
			of.lo = r.last + "\x00" // the first key behind it
		}
		rest := false
		r.index.scan(of, desc, func(key string, d *Doc) bool {
			if rest = n == 0; rest {
				return false
			}
			n--
			r.last = key
			return r.take(key, d)
		})
		if rest {
			return true
		}
		r.next++
		r.last = ""
	}
	if !r.ended {
		r.end()
	}
	return false
}

// take takes a candidate. It returns false when no more are needed.
func (r *Run) take(key string, d *Doc) bool {
	p := r.plan
	switch {
	case r.counting:
		if p.passes(d) {
			r.n++
		}
	case p.way.order.full:
		if p.passes(d) {
			r.pass(d)
		}
	default:
		r.collect(key, d)
	}
	return !r.ended
}

// collect puts a candidate into its group, and passes the group before it on.
func (r *Run) collect(key string, d *Doc) {
	p := r.plan
	if !p.way.order.ties && !p.passes(d) {
		return
	}
	if len(r.group.docs) > 0 && !strings.HasPrefix(key, r.group.head) {
		r.passGroup()
	}
	if len(r.group.docs) == 0 && p.way.order.fields > 0 {
		r.group.head = head(key, p.way.order.fields)
	}
	if p.way.order.ties {
		r.group.docs = append(r.group.docs, sorted{doc: d})
	} else {
		r.group.add(p.sortKey(d), d)
	}
}

// end passes on what is left when all candidates have been looked at.
func (r *Run) end() {
	if r.counting {
		r.n += len(r.odd)
	} else {
		r.passGroup()
		for !r.ended && len(r.odd) > 0 {
			r.passOdd()
		}
	}
	r.ended = true
}

// pass takes a document into the result, after the odd ones that come before it.
func (r *Run) pass(d *Doc) {
	if len(r.odd) > 0 {
		key := r.plan.sortKey(d)
		for !r.ended && len(r.odd) > 0 && r.odd[0].key < string(key) {
			r.passOdd()
		}
	}
	r.put(d)
}

func (r *Run) passOdd() {
	d := r.odd[0].doc
	r.odd = r.odd[1:]
	r.put(d)
}

func (r *Run) put(d *Doc) {
	switch {
	case r.ended:
	case r.skip > 0:
		r.skip--
	default:
		r.docs = append(r.docs, d)
		r.left--
		r.ended = r.left == 0
	}
}

// passGroup passes the group on in order and empties it.
func (r *Run) passGroup() {
	docs := r.group.docs
	if r.plan.way.order.ties {
		slices.Reverse(docs)
	} else {
		slices.SortFunc(docs, bySortKey)
	}
	for _, s := range docs {
		if r.ended {
			break
		}
		if !r.plan.way.order.ties || r.plan.passes(s.doc) {
			r.pass(s.doc)
		}
	}
	r.group.docs, r.group.worst = docs[:0], ""
}

// sorted is a document with its sort key.
type sorted struct {
	key string
	doc *Doc
}

func bySortKey(a, b sorted) int { return strings.Compare(a.key, b.key) }

// group is a run of documents that the index does not put into the query's order.
type group struct {
	head  string // what their index keys begin with
	docs  []sorted
	most  int    // how many of its first documents can be of use; -1: all
	worst string // key of the last of the first most, once there are so many
}

// add keeps a document unless enough others come before it.
func (g *group) add(key []byte, d *Doc) {
	if g.worst != "" && string(key) >= g.worst {
		return
	}
	g.docs = append(g.docs, sorted{string(key), d})
	if g.most >= 0 && len(g.docs) >= 2*g.most+64 {
		slices.SortFunc(g.docs, bySortKey)
		clear(g.docs[g.most:])
		g.docs = g.docs[:g.most]
		g.worst = g.docs[g.most-1].key
	}
}

// passes reports whether a document in the ranges meets the conditions that they do not settle.
func (p *Plan) passes(d *Doc) bool {
	p.looked++
	if len(p.way.residual) == 0 {
		return true
	}
	p.load(d)
	for _, n := range p.way.residual {
		if !n.match(&p.source) {
			return false
		}
	}
	return true
}

// load loads the fields of a document.
func (p *Plan) load(d *Doc) {
	if p.loaded != d {
		load(d.Body, p.q.fields, p.source.slots)
		p.loaded = d
	}
}

// sortKey returns the sort key of a document. It is valid until the next call.
func (p *Plan) sortKey(d *Doc) []byte {
	if p.q.sortsByFields() {
		p.load(d)
	}
	p.key = p.q.appendSortKey(p.key[:0], d.ID, p.source.slots)
	return p.key
}

// odd returns the documents that the index cannot order and that meet the selector, in the query's order.
func (p *Plan) odd() []sorted {
	var out []sorted
	for _, d := range p.way.index.odd {
		p.looked++
		p.load(d)
		if matchAll(p.q.selector, &p.source) {
			out = append(out, sorted{string(p.sortKey(d)), d})
		}
	}
	slices.SortFunc(out, bySortKey)
	return out
}
