package query

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sort"
)

// Order keys are byte strings whose byte order is the order of values. A key is never the beginning of another one's key,
// so keys can stand one behind the other. First byte by type; the gaps are for the marks of collated values.
const (
	orderEnd     = 0x00 // ends a list, and a scalar as a sort value: before every tag
	orderListEnd = 0x01 // ends an array as a sort value: behind the scalar that equals its only element
	orderTextEnd = 0x01 // with a 0 before it, ends a text
	orderMissing = 0x04
	orderEmpty   = 0x06 // the empty array as a sort value
	orderNull    = 0x10
	orderNumber  = 0x20
	orderString  = 0x30
	orderObject  = 0x40
	orderArray   = 0x50
	orderBool    = 0x60
	orderAfter   = 0xFF // behind every tag
)

// maxOrderDepth bounds the recursion into a document's arrays and objects where two of them are compared. What lies deeper is
// compared as JSON text.
const maxOrderDepth = 16

// appendOrder appends the order key of v in mingo's plain order (mingoCmp without descendArray, mingo 7.2.4): null, numbers,
// strings, objects, arrays, booleans. Arrays compare as sorted lists, objects by their sorted keys, then by their values.
func appendOrder(dst []byte, v value, depth int) []byte {
	switch v.kind {
	case kindMissing:
		return append(dst, orderMissing)
	case kindNull:
		return append(dst, orderNull)
	case kindBool:
		if v.isTrue() {
			return append(dst, orderBool, 1)
		}
		return append(dst, orderBool, 0)
	case kindNumber:
		return appendNumberOrder(dst, v.number())
	case kindString:
		return appendStringOrder(dst, v)
	}
	if depth >= maxOrderDepth {
		return appendTextOrder(append(dst, orderObject), v.raw)
	}
	if v.kind == kindArray {
		dst = append(dst, orderArray)
		for _, key := range elementKeys(v, depth) {
			dst = append(dst, key...)
		}
		return append(dst, orderEnd)
	}
	members := distinctMembers(v)
	sort.Slice(members, func(i, j int) bool { return members[i].key < members[j].key })
	dst = append(dst, orderObject)
	for _, m := range members {
		dst = appendTextOrder(append(dst, orderString), m.key)
	}
	dst = append(dst, orderEnd)
	for _, m := range members {
		dst = appendOrder(dst, m.val, depth+1)
	}
	return dst
}

// elementKeys returns the order keys of an array's elements, sorted.
func elementKeys(array value, depth int) []string {
	var keys []string
	for it := elementsOf(array); ; {
		element, ok := it.next()
		if !ok {
			slices.Sort(keys)
			return keys
		}
		keys = append(keys, string(appendOrder(nil, element, depth+1)))
	}
}

// appendNumberOrder appends 8 bytes that sort as f does. -0 and 0 are one number.
func appendNumberOrder(dst []byte, f float64) []byte {
	bits := math.Float64bits(f + 0) // -0 + 0 is 0
	if bits>>63 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(append(dst, orderNumber), bits)
}

func appendStringOrder(dst []byte, s value) []byte {
	dst = append(dst, orderString)
	if s.plain {
		return appendTextOrder(dst, s.raw)
	}
	var buf [64]byte
	return appendTextOrder(dst, appendText(buf[:0], s))
}

// appendTextOrder appends text and an end that sorts before every longer text. The byte 0 inside is written as 0, 0xFF.
func appendTextOrder[S []byte | string](dst []byte, text S) []byte {
	start := 0
	for i := 0; i < len(text); i++ {
		if text[i] == 0 {
			dst = append(append(dst, text[start:i+1]...), orderAfter)
			start = i + 1
		}
	}
	return append(append(dst, text[start:]...), 0, orderTextEnd)
}

// appendSortValue appends the order key of v as the value of a sort field. RxDB compares them with mingo's compare, which
// takes for an array beside another type the array's smallest element, and ranks the empty array below all but a
// missing field. That is no order: 1 equals both [1, 2] and [1, 5], which differ. Here an array compares as the list of
// its sorted elements and another value as the list of itself alone, which agrees wherever mingo tells two values apart.
func appendSortValue(dst []byte, v value) []byte {
	if v.kind != kindArray {
		return append(appendOrder(dst, v, 0), orderEnd)
	}
	keys := elementKeys(v, 0)
	if len(keys) == 0 {
		return append(dst, orderEmpty, orderEnd)
	}
	for _, key := range keys {
		dst = append(dst, key...)
	}
	return append(dst, orderListEnd)
}

// sortPart is one field of a sort. The primary key is always the last part.
type sortPart struct {
	path    path
	primary bool
	desc    bool
}

// appendSortKey appends the key by which the loaded document sorts among others.
func (q *Query) appendSortKey(dst []byte, id string, slots []value) []byte {
	for i := range q.sort {
		part := &q.sort[i]
		start := len(dst)
		if part.primary {
			dst = appendPrimary(dst, id)
		} else {
			dst = appendSortValue(dst, plainLookup(slots[part.path.slot], part.path.segments[1:]))
		}
		if part.desc {
			for j := start; j < len(dst); j++ {
				dst[j] = ^dst[j]
			}
		}
	}
	return dst
}

// appendPrimary appends the sort value of a primary key.
func appendPrimary(dst []byte, id string) []byte {
	dst = append(dst, orderString)
	for i := 0; i < len(id); i++ {
		if id[i] >= 0xF0 {
			return append(appendTextOrder(dst, appendUTF8Text(nil, id)), orderEnd)
		}
	}
	return append(appendTextOrder(dst, id), orderEnd)
}

// plainLookup follows segments as RxDB's objectPathMonad does for sort fields: through objects by key and through arrays by
// index, never into an array's elements.
func plainLookup(v value, segments []segment) value {
	for i := range segments {
		seg := &segments[i]
		switch {
		case v.kind == kindObject:
			v = v.member(seg.key)
		case v.kind == kindArray && seg.canonical:
			v = v.element(seg.index)
		default:
			return value{}
		}
	}
	return v
}

// AppendKey appends to dst the key by which a document stands among others in the query's order, and returns the result. Keys
// compare as byte strings. Two documents never have the same key.
func (q *Query) AppendKey(dst []byte, id string, body []byte) []byte {
	s := q.sources.Get().(*source)
	defer q.sources.Put(s)
	if q.sortsByFields() {
		load(body, q.fields, s.slots)
	}
	return q.appendSortKey(dst, id, s.slots)
}

// sortsByFields reports whether the primary key alone does not give the order.
func (q *Query) sortsByFields() bool { return !q.sort[0].primary }

// Compare compares two documents in the query's order: by its sort fields, then by primary key. It returns 0 only where the
// primary keys are equal and the fields too.
//
// Values of one field come in this order: missing, the empty array, null, numbers, strings (by UTF-16 code units), objects,
// arrays, booleans (false first); an array that is not empty stands where its smallest element would, behind it.
func (q *Query) Compare(aID string, a []byte, bID string, b []byte) int {
	var bufA, bufB [128]byte
	return bytes.Compare(q.AppendKey(bufA[:0], aID, a), q.AppendKey(bufB[:0], bID, b))
}
