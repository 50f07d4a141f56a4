package query

import "strings"

// path is a dotted field path of a selector. The empty path (no segments) names the value itself.
type path struct {
	name     string
	segments []segment
	slot     int // where the document's top-level field is loaded
}

type segment struct {
	key       string // text
	digits    bool   // only digits: addresses an element where the value is an array
	canonical bool   // the decimal form of index
	index     int    // of digits; beyond any array when too large
}

// farIndex is an array index that no array reaches.
const farIndex = 1 << 30

func newSegment(key string) segment {
	s := segment{key: key, digits: true}
	for i := range len(key) {
		if key[i] < '0' || '9' < key[i] {
			return segment{key: key}
		}
		s.index = min(s.index*10+int(key[i]-'0'), farIndex)
	}
	s.canonical = key == "0" || key[0] != '0'
	return s
}

// splitPath splits a field path, given as text.
func splitPath(text string) []segment {
	parts := strings.Split(text, ".")
	segments := make([]segment, len(parts))
	for i, part := range parts {
		segments[i] = newSegment(part)
	}
	return segments
}

// source is what a selector looks at: a document whose fields are loaded into slots, or an element of an array.
type source struct {
	slots   []value
	element value
	nested  bool // element, not slots
}

// resolve returns what mingo's resolve with unwrapArray returns for p (mingo 7.2.4, util/_internal): arrays on the way are
// looked through, and what is found in their elements is gathered into an array.
func (s *source) resolve(p *path) value {
	var from value
	rest := p.segments
	switch {
	case !s.nested && len(rest) == 1:
		return s.slots[p.slot]
	case !s.nested:
		return lookThrough(s.slots[p.slot], rest, 1)
	}
	from = s.element
	if len(rest) == 0 || from.isScalar() {
		return from // of a scalar, mingo takes the scalar itself for every path
	}
	if len(rest) == 1 && from.kind == kindObject {
		return from.member(rest[0].key)
	}
	return lookThrough(from, rest, 0)
}

func lookThrough(v value, segments []segment, first int) value {
	depth := 0
	v = gather(v, segments, first, &depth)
	for ; depth > 0 && v.kind == kindArray && arrayLen(v, 2) == 1; depth-- {
		it := elementsOf(v)
		only, _ := it.next()
		if only.kind != kindArray {
			break
		}
		v = only
	}
	return v
}

// gather follows segments from index first on. depth counts the arrays looked through.
func gather(v value, segments []segment, first int, depth *int) value {
	for i := first; i < len(segments); i++ {
		seg := &segments[i]
		switch {
		case v.kind == kindObject:
			v = v.member(seg.key)
		case v.kind != kindArray:
			return value{}
		case seg.digits:
			v = v.element(seg.index)
		case i == 0 && *depth > 0:
			return v // an array straight inside an array is not looked through
		default:
			*depth++
			var found []value
			for it := elementsOf(v); ; {
				element, ok := it.next()
				if !ok {
					return value{kind: kindArray, items: &found}
				}
				if hit := gather(element, segments[i:], 0, depth); hit.kind != kindMissing {
					found = append(found, hit)
				}
			}
		}
		if v.kind == kindMissing {
			return v
		}
	}
	return v
}

// member returns the last member of an object with the key.
func (v value) member(key string) (found value) {
	for it := membersOf(v); ; {
		k, val, ok := it.next()
		if !ok {
			return found
		}
		if hasText(k, key) {
			found = val
		}
	}
}

// element returns the element at index of an array in a document.
func (v value) element(index int) value {
	for it := elementsOf(v); ; index-- {
		element, ok := it.next()
		if !ok || index == 0 {
			return element
		}
	}
}

// exists returns what mingo's $exists finds for p. For a path into something it is not resolve's answer: it asks whether
// the parent, as far as it leads to the field, is there (mingo 7.2.4, operators/query/element/exists).
func (s *source) exists(p *path) bool {
	segments := p.segments
	if len(segments) <= 1 || segments[len(segments)-1].digits {
		return s.resolve(p).kind != kindMissing
	}
	depth := 0
	if s.nested {
		return findGraph(s.element, segments, true, &depth).exists()
	}
	return findGraph(s.slots[p.slot], segments[1:], false, &depth).exists()
}

// graph says what there is at the parent of a path's last segment.
type graph struct {
	defined, array bool
	holds          bool // of an array: an element is there
}

func (g graph) exists() bool { return g.defined && (!g.array || g.holds) }

// findGraph looks from v along segments for the parent of the last one. first says that v is an element of an array that
// is looked through, or the start.
func findGraph(v value, segments []segment, first bool, depth *int) graph {
	last := len(segments) == 1
	switch {
	case v.kind == kindObject && last:
		return graph{defined: v.member(segments[0].key).kind != kindMissing}
	case v.kind == kindObject:
		return findGraph(v.member(segments[0].key), segments[1:], false, depth)
	case v.kind != kindArray:
		return graph{}
	case segments[0].digits && !last:
		return findGraph(v.element(segments[0].index), segments[1:], false, depth)
	}
	through := !last && (!first || *depth == 0)
	if through {
		*depth++
	}
	g := graph{defined: true, array: true}
	for it := elementsOf(v); ; {
		element, ok := it.next()
		if !ok {
			return g
		}
		if through {
			g.holds = findGraph(element, segments, true, depth).defined || g.holds
		} else {
			g.holds = g.holds || leadsTo(element, segments)
		}
	}
}

// leadsTo reports whether the graph of v along segments is defined: arrays always are.
func leadsTo(v value, segments []segment) bool {
	for i := range segments {
		if v.kind != kindObject {
			return v.kind == kindArray
		}
		v = v.member(segments[i].key)
	}
	return v.kind != kindMissing
}
