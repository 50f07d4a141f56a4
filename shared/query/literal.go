package query

import (
	"bytes"
	"slices"
)

// literal is a value of a selector, taken apart once.
type literal struct {
	kind   kind
	truth  bool
	number float64
	text   string
	items  []literal
	keys   []string // of an object, text, each once
	vals   []literal
	order  []byte // its order key
}

// newLiteral takes v apart. Nesting was bounded when the query was read.
func newLiteral(v value) literal {
	l := literal{kind: v.kind, order: appendOrder(nil, v, 0)}
	switch v.kind {
	case kindBool:
		l.truth = v.isTrue()
	case kindNumber:
		l.number = v.number()
	case kindString:
		l.text = textOf(v)
	case kindArray:
		for it := elementsOf(v); ; {
			element, ok := it.next()
			if !ok {
				break
			}
			l.items = append(l.items, newLiteral(element))
		}
	case kindObject:
		for _, m := range distinctMembers(v) {
			l.keys = append(l.keys, m.key)
			l.vals = append(l.vals, newLiteral(m.val))
		}
	}
	return l
}

type member struct {
	key string // text
	val value
}

// distinctMembers returns the members of an object. Of two with the same key it keeps the place of the first and the value of
// the last, as JSON.parse does.
func distinctMembers(object value) []member {
	var out []member
	var places map[string]int
	for it := membersOf(object); ; {
		k, v, ok := it.next()
		if !ok {
			return out
		}
		key := textOf(k)
		if places == nil {
			places = make(map[string]int)
		}
		if i, twice := places[key]; twice {
			out[i].val = v
			continue
		}
		places[key] = len(out)
		out = append(out, member{key, v})
	}
}

// equal reports whether v is deeply equal to l, as mingo's isEqual. The missing value equals nothing.
func (l *literal) equal(v value) bool {
	if v.kind != l.kind {
		return false
	}
	switch v.kind {
	case kindNull:
		return true
	case kindBool:
		return v.isTrue() == l.truth
	case kindNumber:
		return v.number() == l.number
	case kindString:
		return hasText(v, l.text)
	case kindArray:
		return l.equalArray(v)
	case kindObject:
		return l.equalObject(v)
	}
	return false
}

func (l *literal) equalArray(v value) bool {
	it := elementsOf(v)
	for i := range l.items {
		if element, ok := it.next(); !ok || !l.items[i].equal(element) {
			return false
		}
	}
	_, more := it.next()
	return !more
}

func (l *literal) equalObject(v value) bool {
	equal := make([]bool, len(l.keys))
	seen := make([]bool, len(l.keys))
	left := len(l.keys)
	for it := membersOf(v); ; {
		k, val, ok := it.next()
		if !ok {
			return left == 0 && !slices.Contains(equal, false)
		}
		i := l.find(k)
		if i < 0 {
			return false
		}
		if !seen[i] {
			seen[i] = true
			left--
		}
		equal[i] = l.vals[i].equal(val) // of two members with one key the last counts
	}
}

func (l *literal) find(key value) int {
	for i := range l.keys {
		if hasText(key, l.keys[i]) {
			return i
		}
	}
	return -1
}

// compare compares v to l, which has the same kind.
func (l *literal) compare(v value) int {
	switch v.kind {
	case kindNumber:
		switch n := v.number(); {
		case n < l.number:
			return -1
		case n > l.number:
			return 1
		}
		return 0
	case kindString:
		var buf [64]byte
		text := v.raw
		if !v.plain {
			text = appendText(buf[:0], v)
		}
		switch {
		case string(text) < l.text:
			return -1
		case string(text) > l.text:
			return 1
		}
		return 0
	case kindBool:
		if v.isTrue() == l.truth {
			return 0
		}
		if l.truth {
			return -1
		}
		return 1
	case kindArray, kindObject:
		return bytes.Compare(appendOrder(nil, v, 0), l.order)
	}
	return 0
}

// literalSet is the list of $in, made for fast look-ups.
type literalSet struct {
	null    bool
	truths  [2]bool
	numbers map[float64]struct{}
	texts   map[string]struct{}
	others  []literal
	all     []literal
}

func newLiteralSet(list []literal) *literalSet {
	s := &literalSet{numbers: map[float64]struct{}{}, texts: map[string]struct{}{}, all: list}
	for _, l := range list {
		switch l.kind {
		case kindNull:
			s.null = true
		case kindBool:
			if l.truth {
				s.truths[1] = true
			} else {
				s.truths[0] = true
			}
		case kindNumber:
			s.numbers[l.number] = struct{}{}
		case kindString:
			s.texts[l.text] = struct{}{}
		default:
			s.others = append(s.others, l)
		}
	}
	return s
}

func (s *literalSet) has(v value) bool {
	switch v.kind {
	case kindNull:
		return s.null
	case kindBool:
		return v.isTrue() && s.truths[1] || !v.isTrue() && s.truths[0]
	case kindNumber:
		_, ok := s.numbers[v.number()]
		return ok
	case kindString:
		if v.plain {
			_, ok := s.texts[string(v.raw)]
			return ok
		}
		_, ok := s.texts[textOf(v)]
		return ok
	}
	for i := range s.others {
		if s.others[i].equal(v) {
			return true
		}
	}
	return false
}
