package query

import (
	"slices"
	"strings"
)

// Find returns the documents of the query in its order, within its skip and limit.
func (p *Plan) Find() []*Doc {
	var docs []*Doc
	p.Each(func(d *Doc) bool {
		docs = append(docs, d)
		return true
	})
	return docs
}

// Each calls f for the documents of the query in its order, within its skip and limit, until f returns false. f must not update
// the indexes.
func (p *Plan) Each(f func(d *Doc) bool) {
	skip, left := p.q.skip, p.q.limit
	if left == 0 {
		return
	}
	p.walk(func(d *Doc) bool {
		if skip > 0 {
			skip--
			return true
		}
		left--
		return f(d) && left != 0
	})
}

// Count returns the number of documents that meet the selector. Like the storages of RxDB it takes no notice of skip and
// limit. Where the bounds settle the selector it looks at no document.
func (p *Plan) Count() int {
	n := 0
	if len(p.way.residual) == 0 {
		for _, r := range p.way.ranges {
			n += p.way.index.size(r)
		}
		return n + len(p.odd(false))
	}
	p.candidates(func(string, *Doc) bool {
		n++
		return true
	})
	return n + len(p.odd(false))
}

// sorted is a document with its sort key.
type sorted struct {
	key string
	doc *Doc
}

func bySortKey(a, b sorted) int { return strings.Compare(a.key, b.key) }

// walk calls f for all documents that meet the selector, in the order of the query, until f returns false.
func (p *Plan) walk(f func(d *Doc) bool) {
	m := merger{plan: p, odd: p.odd(true), f: f}
	if p.way.order.full {
		done := p.candidates(func(_ string, d *Doc) bool { return m.pass(d) })
		if done {
			m.end()
		}
		return
	}
	if p.groups(&m) {
		m.end()
	}
}

// candidates calls f for the documents in the ranges that meet the selector, until f returns false, and reports whether it never
// did.
func (p *Plan) candidates(f func(key string, d *Doc) bool) bool {
	return p.scan(func(key string, d *Doc) bool {
		return !p.passes(d) || f(key, d)
	})
}

func (p *Plan) scan(f func(key string, d *Doc) bool) bool {
	ranges := p.way.ranges
	for i := range ranges {
		r := ranges[i]
		if p.way.order.desc {
			r = ranges[len(ranges)-1-i]
		}
		if !p.way.index.scan(r, p.way.order.desc, f) {
			return false
		}
	}
	return true
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

// odd returns the documents that the index cannot order and that meet the selector, in the query's order if asked.
func (p *Plan) odd(inOrder bool) []sorted {
	var out []sorted
	for _, d := range p.way.index.odd {
		p.looked++
		p.load(d)
		if !matchAll(p.q.selector, &p.source) {
			continue
		}
		s := sorted{doc: d}
		if inOrder {
			s.key = string(p.sortKey(d))
		}
		out = append(out, s)
	}
	if inOrder {
		slices.SortFunc(out, bySortKey)
	}
	return out
}

// groups walks the candidates in groups with equal first fields and passes each group on in the query's order.
func (p *Plan) groups(m *merger) bool {
	var group group
	group.most = -1
	if p.q.limit >= 0 {
		group.most = p.q.skip + p.q.limit
	}
	fields, ties := p.way.order.fields, p.way.order.ties
	accept := p.scan
	if !ties {
		accept = p.candidates
	}
	done := accept(func(key string, d *Doc) bool {
		if len(group.docs) > 0 && !group.holds(key) && !group.pass(p, m) {
			return false
		}
		if len(group.docs) == 0 && fields > 0 {
			group.head = head(key, fields)
		}
		if ties {
			group.docs = append(group.docs, sorted{doc: d})
		} else {
			group.add(p.sortKey(d), d)
		}
		return true
	})
	return done && group.pass(p, m)
}

// group is a run of documents that the index does not put into the query's order.
type group struct {
	head  string
	docs  []sorted
	most  int    // how many of its first documents can be of use; -1: all
	worst string // key of the last of the first most, once there are so many
}

func (g *group) holds(key string) bool { return strings.HasPrefix(key, g.head) }

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

// pass passes the group on in order and empties it.
func (g *group) pass(p *Plan, m *merger) bool {
	docs := g.docs
	g.docs, g.worst = g.docs[:0], ""
	if p.way.order.ties {
		for i := len(docs) - 1; i >= 0; i-- {
			if p.passes(docs[i].doc) && !m.pass(docs[i].doc) {
				return false
			}
		}
		return true
	}
	slices.SortFunc(docs, bySortKey)
	for _, s := range docs {
		if !m.pass(s.doc) {
			return false
		}
	}
	return true
}

// merger puts the odd documents between those that come in order.
type merger struct {
	plan *Plan
	odd  []sorted
	f    func(d *Doc) bool
}

func (m *merger) pass(d *Doc) bool {
	if len(m.odd) > 0 {
		key := m.plan.sortKey(d)
		for len(m.odd) > 0 && m.odd[0].key < string(key) {
			if !m.next() {
				return false
			}
		}
	}
	return m.f(d)
}

func (m *merger) next() bool {
	d := m.odd[0].doc
	m.odd = m.odd[1:]
	return m.f(d)
}

func (m *merger) end() {
	for len(m.odd) > 0 && m.next() {
	}
}
