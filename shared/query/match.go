package query

import "math"

// Match reports whether a document meets the selector. body is the document as one JSON object; it is only read. A body that
// is not valid JSON matches or not, without a panic. Limit, skip and sort play no part.
func (q *Query) Match(body []byte) bool {
	s := q.sources.Get().(*source)
	defer q.sources.Put(s)
	load(body, q.fields[:q.matched], s.slots[:q.matched])
	return matchAll(q.selector, s)
}

// load finds the named top-level fields in one pass over body. Of a field that comes twice the last counts, so the pass
// cannot stop early.
func load(body []byte, fields []string, slots []value) {
	clear(slots)
	if len(fields) == 0 {
		return
	}
	i := skipSpace(body, 0)
	if i >= len(body) || body[i] != '{' {
		return
	}
	for i++; i < len(body); {
		i = skipSeparator(body, i, ',')
		if i >= len(body) || body[i] != '"' {
			return
		}
		end, plain := scanString(body, i+1)
		if end >= len(body) {
			return
		}
		slot := findField(value{plain: plain, raw: body[i+1 : end]}, fields)
		i = skipSeparator(body, end+1, ':')
		if slot < 0 {
			i = skipValue(body, i)
			continue
		}
		slots[slot], i = readValue(body, i)
	}
}

func findField(key value, fields []string) int {
	for i, field := range fields {
		if key.plain && len(key.raw) != len(field) {
			continue
		}
		if hasText(key, field) {
			return i
		}
	}
	return -1
}

func matchAll(nodes []node, s *source) bool {
	for i := range nodes {
		if !nodes[i].match(s) {
			return false
		}
	}
	return true
}

func (n *node) match(s *source) bool {
	switch n.op {
	case opAnd:
		return matchAll(n.kids, s)
	case opNot:
		return !matchAll(n.kids, s)
	case opOr, opNor:
		for i := range n.kids {
			if n.kids[i].match(s) {
				return n.op == opOr
			}
		}
		return n.op == opNor
	case opExists:
		return s.exists(n.path) == n.truth
	}
	return n.matchValue(s.resolve(n.path))
}

func (n *node) matchValue(v value) bool {
	switch n.op {
	case opEq:
		return n.matchEqual(v)
	case opNe:
		return !n.matchEqual(v)
	case opGt, opGte, opLt, opLte:
		return n.matchOrder(v)
	case opIn:
		return n.set.matches(v)
	case opNin:
		return !n.set.matches(v)
	case opRegex:
		return n.re.matches(v)
	case opElemMatch:
		return n.matchElement(v)
	case opSize:
		return v.kind == kindArray && arrayLen(v, n.size+1) == n.size
	case opType:
		return n.types.has(v)
	case opMod:
		return n.matchMod(v)
	case opAll:
		return n.matchEvery(v)
	}
	return false
}

// matchEqual is $eq: the value is deeply equal, or null stands beside a missing field, or an array holds an equal element;
// arrays in it are opened as many levels as the path has dots.
func (n *node) matchEqual(v value) bool {
	if n.lit.equal(v) || n.lit.kind == kindNull && v.kind == kindMissing {
		return true
	}
	return v.kind == kindArray && (anyElement(v, n.lit.equal) ||
		len(n.path.segments) > 1 && anyLeaf(v, len(n.path.segments)-1, n.lit.equal))
}

// anyElement reports whether f holds for an element of an array.
func anyElement(array value, f func(value) bool) bool {
	for it := elementsOf(array); ; {
		element, ok := it.next()
		if !ok || f(element) {
			return ok
		}
	}
}

// anyLeaf reports whether f holds for what is left when the arrays in an array are opened down to depth levels.
func anyLeaf(array value, depth int, f func(value) bool) bool {
	return anyElement(array, func(e value) bool {
		if e.kind == kindArray && depth > 0 {
			return anyLeaf(e, depth-1, f)
		}
		return f(e)
	})
}

// matchOrder is $gt, $gte, $lt and $lte: the value, or an element of the array, has the operand's type and compares so.
func (n *node) matchOrder(v value) bool {
	if v.kind == kindArray {
		return anyElement(v, n.compares)
	}
	return n.compares(v)
}

func (n *node) compares(v value) bool {
	if v.kind != n.lit.kind {
		return false
	}
	order := n.lit.compare(v)
	switch n.op {
	case opGt:
		return order > 0
	case opGte:
		return order >= 0
	case opLt:
		return order < 0
	}
	return order <= 0
}

// matches is $in: the value, or an element of the array, is in the set. A missing field counts as null.
func (s *literalSet) matches(v value) bool {
	switch v.kind {
	case kindMissing:
		return s.null
	case kindArray:
		return anyElement(v, s.has)
	}
	return s.has(v)
}

// matches is $regex: the string, or a string in the array or in its arrays.
func (p *pattern) matches(v value) bool {
	if v.kind == kindArray {
		return anyLeaf(v, 1, p.find)
	}
	return p.find(v)
}

func (n *node) matchElement(v value) bool {
	if v.kind != kindArray {
		return false
	}
	for it := elementsOf(v); ; {
		element, ok := it.next()
		if !ok {
			return false
		}
		if n.object {
			if element.kind == kindObject {
				return true
			}
			continue
		}
		if matchAll(n.kids, &source{element: element, nested: true}) {
			return true
		}
	}
}

func (n *node) matchMod(v value) bool {
	divides := func(e value) bool { return e.kind == kindNumber && math.Mod(e.number(), n.mod[0]) == n.mod[1] }
	if v.kind == kindArray {
		return anyElement(v, divides)
	}
	return divides(v)
}

// matchEvery is $all.
func (n *node) matchEvery(v value) bool {
	if v.kind != kindArray || len(n.kids) == 0 || arrayLen(v, 1) == 0 {
		return false
	}
	for i := range n.kids {
		kid := &n.kids[i]
		if kid.op == opElemMatch {
			if !kid.matchElement(v) {
				return false
			}
		} else if !anyElement(v, kid.lit.equal) {
			return false
		}
	}
	return true
}
