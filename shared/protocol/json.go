package protocol

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// text is JSON text. Its methods return the index behind what begins at i, or -1 where there is no such thing.
type text struct {
	b []byte
	// printable says that all is ASCII from 0x20 on, as JSON.stringify writes it for signals, so that strings can be searched
	// for their ends instead of being looked at byte by byte.
	printable bool
}

// isPrintable reports whether all of b is ASCII from 0x20 on. It looks at 32 bytes at a time.
func isPrintable(b []byte) bool {
	const spaces, high = 0x2020202020202020, 0x8080808080808080
	var bad uint64
	for ; len(b) >= 32; b = b[32:] {
		v, w := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		x, y := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
		bad |= v | (v - spaces) | w | (w - spaces) | x | (x - spaces) | y | (y - spaces)
	}
	for _, c := range b {
		if c < 0x20 || c >= 0x80 {
			return false
		}
	}
	return bad&high == 0
}

// space returns the index of what is behind white space.
func (t *text) space(i int) int {
	for i < len(t.b) && (t.b[i] == ' ' || t.b[i] == '\n' || t.b[i] == '\r' || t.b[i] == '\t') {
		i++
	}
	return i
}

// value reads any JSON value.
func (t *text) value(i, depth int) int {
	if i >= len(t.b) {
		return -1
	}
	switch c := t.b[i]; {
	case c == '"':
		return t.str(i + 1)
	case c == '{' || c == '[':
		if depth == MaxJSONDepth {
			return -1
		}
		return t.container(i, depth+1)
	case c == '-' || '0' <= c && c <= '9':
		return t.number(i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(t.b)-i >= len(word) && string(t.b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// container reads an object or an array.
func (t *text) container(i, depth int) int {
	object, end := t.b[i] == '{', t.b[i]+2 // '{' and '}', '[' and ']' are two apart
	i = t.space(i + 1)
	if i < len(t.b) && t.b[i] == end {
		return i + 1
	}
	for {
		if object {
			if i >= len(t.b) || t.b[i] != '"' {
				return -1
			}
			if i = t.str(i + 1); i < 0 {
				return -1
			}
			if i = t.space(i); i >= len(t.b) || t.b[i] != ':' {
				return -1
			}
			i = t.space(i + 1)
		}
		if i = t.value(i, depth); i < 0 {
			return -1
		}
		if i = t.space(i); i >= len(t.b) {
			return -1
		}
		switch t.b[i] {
		case end:
			return i + 1
		case ',':
			i = t.space(i + 1)
		default:
			return -1
		}
	}
}

func (t *text) number(i int) int {
	b := t.b
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// str reads a string whose first character is at i.
func (t *text) str(i int) int {
	if !t.printable {
		return t.anyString(i)
	}
	quote := t.find(i, '"')
	for quote >= 0 {
		slash := bytes.IndexByte(t.b[i:quote], '\\')
		if slash < 0 {
			return quote + 1
		}
		for i += slash; i < len(t.b) && t.b[i] == '\\'; { // often two: \r\n
			n := escape(t.b[i:])
			if n == 0 {
				return -1
			}
			i += n
		}
		if i > quote {
			quote = t.find(i, '"')
		}
	}
	return -1
}

// find returns the index of the first c from i on, or -1.
func (t *text) find(i int, c byte) int {
	n := bytes.IndexByte(t.b[i:], c)
	if n < 0 {
		return -1
	}
	return i + n
}

// anyString is str for text of any characters.
func (t *text) anyString(i int) int {
	for i < len(t.b) {
		switch c := t.b[i]; {
		case c == '"':
			return i + 1
		case c < 0x20:
			return -1
		case c == '\\':
			n := escape(t.b[i:])
			if n == 0 {
				return -1
			}
			i += n
		default:
			i++
		}
	}
	return -1
}

// escape returns the length of the escape sequence that b begins with, 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 returns the code unit of the \uXXXX that b begins with.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquote returns the text of a JSON string that was found valid. It fails on half of a surrogate pair.
func unquote(quoted []byte) ([]byte, bool) {
	b := quoted[1 : len(quoted)-1]
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b, true
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for i < len(b) {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		if b[i+1] != 'u' {
			out = append(out, unescape(b[i+1]))
			i += 2
			continue
		}
		r, _ := hex4(b[i:])
		i += 6
		if utf16.IsSurrogate(r) {
			low, _ := hex4(b[i:])
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, false
			}
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return out, true
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
