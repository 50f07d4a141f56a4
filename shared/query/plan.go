package query

import (
	"math"
	"slices"
)

// Plan is the way in which a query will be answered. It is made for one state of the indexes: use it before the next update.
type Plan struct {
	q      *Query
	ways   []way // what was considered
	way    *way  // the one of them that is taken
	looked int

	source source // the fields of loaded
	loaded *Doc
	key    []byte
}

// way is one index and how a query would use it.
type way struct {
	index    *index
	bounds   []intervals // of the first fields of the index, those that limit the scan
	ranges   intervals   // what is scanned
	residual []*node     // conditions that the ranges do not settle
	order    order
	size     int // documents in the ranges, and odd ones
	cost     float64
}

// order says how far the order of an index is the order of a query.
type order struct {
	full   bool // documents come in the query's order
	desc   bool // the index is walked backwards
	fields int  // else: documents come in groups with equal first fields of the index, in the query's order of groups
	ties   bool // within a group only the primary key is left, and runs against the direction of the walk
}

// maxRanges bounds how many ranges the lists of values of several fields are multiplied to.
const maxRanges = 10_000

// Plan chooses an index for q, which was parsed with the same schema. It counts the documents in each index's ranges, which takes
// microseconds, and takes the cheapest by costs measured in documents matched; a named index is always taken.
func (x *Indexes) Plan(q *Query) *Plan {
	p := &Plan{q: q, source: source{slots: make([]value, len(q.fields))}}
	fewest := math.MaxInt
	for _, ix := range x.list {
		if q.hint != nil && !slices.Equal(q.hint, ix.names()) {
			continue
		}
		p.ways = append(p.ways, ix.way(q))
		fewest = min(fewest, p.ways[len(p.ways)-1].size)
		if fewest <= fewEnough {
			break
		}
	}
	for i := range p.ways {
		w := &p.ways[i]
		w.cost = w.estimate(q, fewest)
		if p.way == nil || w.cost < p.way.cost {
			p.way = w
		}
	}
	return p
}

func (ix *index) names() []string {
	names := make([]string, len(ix.fields))
	for i, field := range ix.fields {
		names[i] = field.name
	}
	return names
}

// way works out how the index would answer q.
func (ix *index) way(q *Query) way {
	w := way{index: ix}
	w.bound(conjuncts(q.selector, nil))
	w.order = w.orderFor(q)
	w.size = w.count() + len(ix.odd)
	return w
}

// bound works out the ranges of the index in which documents can meet the conditions. It goes on to the next field while the scan
// meets only single values of the fields before.
func (w *way) bound(conditions []*node) {
	settled := make([]bool, len(conditions))
	exact := make([]bool, len(conditions))
	w.ranges = intervals{{"", ""}}
	for _, field := range w.index.fields {
		bounds := everything()
		for j, n := range conditions {
			var set intervals
			set, exact[j] = n.boundsFor(field.name)
			bounds = bounds.intersect(set)
		}
		if bounds.isEverything() || len(w.ranges)*len(bounds) > maxRanges {
			break
		}
		w.bounds = append(w.bounds, bounds)
		w.ranges = w.ranges.times(bounds)
		for j := range settled {
			settled[j] = settled[j] || exact[j]
		}
		if !bounds.arePoints() {
			break
		}
	}
	if len(w.bounds) == 0 {
		w.ranges = everything()
	}
	for j, n := range conditions {
		if !settled[j] {
			w.residual = append(w.residual, n)
		}
	}
}

// conjuncts appends the conditions that all must hold, $and opened.
func conjuncts(nodes []node, to []*node) []*node {
	for i := range nodes {
		if nodes[i].op == opAnd {
			to = conjuncts(nodes[i].kids, to)
		} else {
			to = append(to, &nodes[i])
		}
	}
	return to
}

func (s intervals) arePoints() bool {
	return !slices.ContainsFunc(s, func(r interval) bool { return !r.isPoint() })
}

// times returns the ranges of keys that begin with a point of s and go on with a value in t.
func (s intervals) times(t intervals) intervals {
	out := make(intervals, 0, len(s)*len(t))
	for _, head := range s {
		for _, tail := range t {
			out = append(out, interval{head.lo + tail.lo, head.lo + tail.hi})
		}
	}
	return out
}

// fixed reports whether the scan meets only one value of the index's i-th field.
func (w *way) fixed(i int) bool {
	return i < len(w.bounds) && len(w.bounds[i]) == 1 && w.bounds[i][0].isPoint()
}

func (w *way) orderFor(q *Query) order {
	var o order
	at, walking := 0, false
	for _, part := range q.sort {
		if i := slices.IndexFunc(w.index.fields, func(f indexField) bool { return f.name == part.path.name }); i >= 0 && w.fixed(i) {
			if part.primary {
				o.full = true
			}
			continue
		}
		for at < len(w.index.fields) && w.fixed(at) {
			at++
		}
		if at == len(w.index.fields) || w.index.fields[at].name != part.path.name || walking && part.desc != o.desc {
			o.ties = walking && part.primary && at == len(w.index.fields)-1
			break
		}
		o.desc, walking = part.desc, true
		at++
		o.full = part.primary
	}
	if !walking {
		at = 0
	}
	o.fields = at
	return o
}

// count returns the number of documents in the ranges. Of very many ranges it counts some and takes the rest to be like them.
func (w *way) count() int {
	const most = 64
	n := 0
	for i, r := range w.ranges {
		if i == most {
			return n * len(w.ranges) / most
		}
		n += w.index.size(r)
	}
	return n
}

// fewEnough is for how few candidates no other index is looked at.
const fewEnough = 2

// Costs in documents matched, natively and in wasm alike (see the benchmarks).
const (
	costSettled = 0.1 // to take a document that the ranges settle
	costSort    = 1.5 // to sort one that matches
	passes      = 0.3 // share of documents that conditions outside of the ranges let pass
	perHit      = 10  // documents looked at for one that passes, where a limit ends the walk
)

// estimate returns the cost of the way. fewest is the number of candidates of the most selective one: no more match.
func (w *way) estimate(q *Query, fewest int) float64 {
	looked := float64(w.size)
	each, share, hit := costSettled, 1.0, 1.0
	if len(w.residual) > 0 {
		each, share, hit = 1, passes, max(perHit, looked/float64(max(fewest, 1)))
	}
	if limit, ok := q.Limit(); ok && (w.order.full || w.order.ties || w.order.fields > 0) {
		looked = min(looked, float64(q.skip+limit)*hit+float64(len(w.index.odd)))
	}
	cost := looked * each
	if !w.order.full && !w.order.ties {
		cost += looked * share * costSort
	}
	return cost + float64(len(w.ranges))*costSettled
}
