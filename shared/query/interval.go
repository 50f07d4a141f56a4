package query

import (
	"slices"
	"sort"
	"strings"
)

// interval is a range of index keys, or of the values of one index field: from lo on and before hi.
type interval struct{ lo, hi string }

// intervals are in order and do not touch each other.
type intervals []interval

// after is put behind a key to make the least bound that is beyond the key and everything that begins with it.
const after = "\xFF"

func everything() intervals { return intervals{{"", after}} }

func (s intervals) isEverything() bool { return len(s) == 1 && s[0] == everything()[0] }

// pointAt returns the interval of one value, whose order key is given.
func pointAt(order string) interval {
	lo := order + string(rune(orderEnd))
	return interval{lo, lo + after}
}

// isPoint reports whether only one value lies in the interval.
func (i interval) isPoint() bool {
	return len(i.hi) == len(i.lo)+1 && strings.HasPrefix(i.hi, i.lo) && i.hi[len(i.lo)] == orderAfter
}

// ofTag returns the interval of all values whose order key begins with tag.
func ofTag(tag byte) interval { return interval{string([]byte{tag}), string([]byte{tag + 1})} }

// union makes intervals of any ranges.
func union(ranges []interval) intervals {
	ranges = slices.DeleteFunc(slices.Clone(ranges), func(r interval) bool { return r.lo >= r.hi })
	sort.Slice(ranges, func(i, j int) bool { return ranges[i].lo < ranges[j].lo })
	var out intervals
	for _, r := range ranges {
		if last := len(out) - 1; last >= 0 && r.lo <= out[last].hi {
			out[last].hi = max(out[last].hi, r.hi)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// intersect returns what lies in both.
func (s intervals) intersect(t intervals) intervals {
	var out intervals
	for i, j := 0, 0; i < len(s) && j < len(t); {
		if both := (interval{max(s[i].lo, t[j].lo), min(s[i].hi, t[j].hi)}); both.lo < both.hi {
			out = append(out, both)
		}
		if s[i].hi < t[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

// complement returns what lies in none.
func (s intervals) complement() intervals {
	var out intervals
	lo := ""
	for _, r := range s {
		if lo < r.lo {
			out = append(out, interval{lo, r.lo})
		}
		lo = r.hi
	}
	if lo < after {
		out = append(out, interval{lo, after})
	}
	return out
}

// boundsFor returns the values of an index field with which a document can meet n. exact says that every document with such a
// value does meet n. This holds for documents that the index is ordered by, where the field is a scalar or missing.
func (n *node) boundsFor(field string) (set intervals, exact bool) {
	switch n.op {
	case opAnd:
		return boundsForAll(n.kids, field)
	case opOr:
		return boundsForAny(n.kids, field)
	case opNor:
		if set, exact = boundsForAny(n.kids, field); exact {
			return set.complement(), true
		}
		return everything(), false
	case opNot:
		if set, exact = boundsForAll(n.kids, field); exact {
			return set.complement(), true
		}
		return everything(), false
	}
	if n.path.name != field {
		return everything(), false
	}
	return n.valueBounds()
}

func boundsForAll(nodes []node, field string) (set intervals, exact bool) {
	set, exact = everything(), true
	for i := range nodes {
		s, e := nodes[i].boundsFor(field)
		set, exact = set.intersect(s), exact && e
	}
	return set, exact
}

func boundsForAny(nodes []node, field string) (set intervals, exact bool) {
	var ranges []interval
	exact = true
	for i := range nodes {
		s, e := nodes[i].boundsFor(field)
		ranges, exact = append(ranges, s...), exact && e
	}
	return union(ranges), exact
}

// valueBounds returns the scalars that meet the condition, and missing where it does.
func (n *node) valueBounds() (set intervals, exact bool) {
	switch n.op {
	case opEq:
		return union(n.lit.points()), true
	case opNe:
		return union(n.lit.points()).complement(), true
	case opIn, opNin:
		var points []interval
		for i := range n.set.all {
			points = append(points, n.set.all[i].points()...)
		}
		if n.op == opNin {
			return union(points).complement(), true
		}
		return union(points), true
	case opGt, opGte, opLt, opLte:
		return n.orderBounds(), true
	case opExists:
		missing := intervals{pointAt(string([]byte{orderMissing}))}
		if n.truth {
			return missing.complement(), true
		}
		return missing, true
	case opRegex:
		return intervals{prefixInterval(n.re.prefix)}, false
	case opType:
		return n.types.bounds(), !n.types.integer
	case opMod:
		return intervals{ofTag(orderNumber)}, false
	}
	return nil, true // $size, $elemMatch and $all ask for arrays
}

// points returns the intervals of the scalars equal to l: null equals a missing field too.
func (l *literal) points() []interval {
	switch l.kind {
	case kindObject, kindArray:
		return nil
	case kindNull:
		return []interval{pointAt(string([]byte{orderMissing})), pointAt(string(l.order))}
	}
	return []interval{pointAt(string(l.order))}
}

// orderBounds returns the interval of $gt, $gte, $lt and $lte, which stay within the operand's type.
func (n *node) orderBounds() intervals {
	if n.lit.kind == kindObject || n.lit.kind == kindArray {
		return nil
	}
	point := pointAt(string(n.lit.order))
	bounds := ofTag(n.lit.order[0])
	if n.lit.kind == kindNull {
		bounds = point // the one value of its type
	}
	switch n.op {
	case opGt:
		bounds.lo = point.hi
	case opGte:
		bounds.lo = point.lo
	case opLt:
		bounds.hi = point.lo
	default:
		bounds.hi = point.hi
	}
	return union([]interval{bounds})
}

// prefixInterval returns the interval of all strings that begin with the text.
func prefixInterval(text string) interval {
	key := appendTextOrder([]byte{orderString}, text)
	key = key[:len(key)-2]
	next := slices.Clone(key)
	for next[len(next)-1] == orderAfter {
		next = next[:len(next)-1]
	}
	next[len(next)-1]++
	return interval{string(key), string(next)}
}

func (t typeSet) bounds() intervals {
	var ranges []interval
	for k, tag := range map[kind]byte{kindMissing: orderMissing, kindNull: orderNull, kindNumber: orderNumber, kindString: orderString, kindBool: orderBool} {
		if t.kinds&(1<<k) != 0 || t.integer && k == kindNumber {
			ranges = append(ranges, ofTag(tag))
		}
	}
	return union(ranges)
}
