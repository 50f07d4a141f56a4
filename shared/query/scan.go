package query

import "encoding/binary"

// kind is the type of a JSON value. The order of the constants is the order in which values of different types sort;
// it is mingo's SORT_ORDER (mingo 7.2.4, util/_internal).
type kind uint8

const (
	kindMissing kind = iota
	kindNull
	kindNumber
	kindString
	kindObject
	kindArray
	kindBool
)

// value is a view of one JSON value inside a document's bytes, or an array that a path gathered from several places.
type value struct {
	kind  kind
	plain bool     // of a string: raw is already its text in the sense of text.go
	raw   []byte   // the JSON text; of a string, without the quotes
	items *[]value // of a gathered array, whose raw is nil
}

// isScalar reports whether v is neither an object nor an array. A missing value is a scalar.
func (v value) isScalar() bool { return v.kind != kindObject && v.kind != kindArray }

func (v value) isNil() bool { return v.kind <= kindNull }

func (v value) isTrue() bool { return v.kind == kindBool && v.raw[0] == 't' }

// skipSpace returns the index of the first byte at or after i that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// readValue reads the value that begins at b[i] and returns the index behind it. Bytes that begin no value, or a value
// that is cut short, end the walk: the missing value and len(b). So text that is not JSON never makes a walk run on.
func readValue(b []byte, i int) (value, int) {
	i = skipSpace(b, i)
	if i >= len(b) {
		return value{}, len(b)
	}
	switch c := b[i]; {
	case c == '"':
		end, plain := scanString(b, i+1)
		if end >= len(b) {
			return value{}, len(b)
		}
		return value{kind: kindString, plain: plain, raw: b[i+1 : end]}, end + 1
	case c == '{':
		return readContainer(b, i, kindObject)
	case c == '[':
		return readContainer(b, i, kindArray)
	case c == 't':
		return readWord(b, i, "true", kindBool)
	case c == 'f':
		return readWord(b, i, "false", kindBool)
	case c == 'n':
		return readWord(b, i, "null", kindNull)
	case c == '-' || '0' <= c && c <= '9':
		end := i + 1
		for end < len(b) && isNumberByte(b[end]) {
			end++
		}
		return value{kind: kindNumber, raw: b[i:end]}, end
	}
	return value{}, len(b)
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

func readWord(b []byte, i int, word string, k kind) (value, int) {
	end := i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		return value{}, len(b)
	}
	return value{kind: k, raw: b[i:end]}, end
}

func readContainer(b []byte, i int, k kind) (value, int) {
	end, ok := skipContainer(b, i)
	if !ok {
		return value{}, len(b)
	}
	return value{kind: k, raw: b[i:end]}, end
}

// skipContainer returns the index behind the object or array that begins at b[i]. It does not recurse.
func skipContainer(b []byte, i int) (end int, ok bool) {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i, _ = scanString(b, i+1)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
		i++
	}
	return len(b), false
}

// scanString returns the index of the quote that ends the string whose text begins at b[i], or len(b) when there is none,
// and whether that text has neither escapes nor characters beyond the basic plane. It takes eight bytes at a time where
// none of them is a quote, a backslash or above 0x7F: 2 times the speed of a byte at a time natively, 2.5 times in wasm.
func scanString(b []byte, i int) (end int, plain bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	plain = true
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			quote, escape := x^(ones*'"'), x^(ones*'\\')
			if ((quote-ones)|(escape-ones)|x)&highs != 0 {
				break
			}
			i += 8
		}
		for block := min(i+8, len(b)); i < block; i++ {
			switch c := b[i]; {
			case c == '"':
				return i, plain
			case c == '\\':
				plain = false
				i++
			case c >= 0xF0:
				plain = false
			}
		}
		if i >= len(b) {
			return len(b), plain
		}
	}
}

// members walks the members of an object in the order of its text. A key may come twice: the last one counts, as with
// JSON.parse.
type members struct {
	b []byte
	i int
}

func membersOf(object value) members { return members{b: object.raw, i: 1} }

// next returns the next member. ok is false at the end, or where the text is no JSON.
func (m *members) next() (key, val value, ok bool) {
	i := skipSeparator(m.b, m.i, ',')
	if i >= len(m.b) || m.b[i] != '"' {
		m.i = len(m.b)
		return value{}, value{}, false
	}
	end, plain := scanString(m.b, i+1)
	if end >= len(m.b) {
		m.i = len(m.b)
		return value{}, value{}, false
	}
	key = value{kind: kindString, plain: plain, raw: m.b[i+1 : end]}
	val, m.i = readValue(m.b, skipSeparator(m.b, end+1, ':'))
	return key, val, val.kind != kindMissing
}

// elements walks the elements of an array.
type elements struct {
	b     []byte
	items []value
	i     int
}

func elementsOf(array value) elements {
	if array.raw == nil {
		return elements{items: *array.items}
	}
	return elements{b: array.raw, i: 1}
}

// next returns the next element. ok is false at the end, or where the text is no JSON.
func (e *elements) next() (val value, ok bool) {
	if e.b == nil {
		if e.i == len(e.items) {
			return value{}, false
		}
		e.i++
		return e.items[e.i-1], true
	}
	i := skipSeparator(e.b, e.i, ',')
	if i >= len(e.b) || e.b[i] == ']' {
		e.i = len(e.b)
		return value{}, false
	}
	val, e.i = readValue(e.b, i)
	return val, val.kind != kindMissing
}

// skipSeparator skips white space and at most one sep.
func skipSeparator(b []byte, i int, sep byte) int {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == sep {
		i = skipSpace(b, i+1)
	}
	return i
}

// arrayLen counts the elements of an array up to max.
func arrayLen(array value, limit int) int {
	n := 0
	for it := elementsOf(array); n < limit; n++ {
		if _, ok := it.next(); !ok {
			break
		}
	}
	return n
}

// skipValue returns the index behind the value that begins at b[i], or len(b).
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		end, _ := scanString(b, i+1)
		return min(end+1, len(b))
	case '{', '[':
		end, _ := skipContainer(b, i)
		return end
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i
}
