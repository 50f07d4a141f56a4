package query

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Text here is a string's UTF-16 code units, each written as UTF-8 writes a code point (CESU-8). Byte order of two texts is then
// the order in which JavaScript compares the strings, and a lone surrogate, which JSON can hold and UTF-8 cannot, keeps
// its value. For a string without escapes and without characters beyond the basic plane it is the same as its UTF-8.

// appendText appends the text of the JSON string s.
func appendText(dst []byte, s value) []byte {
	if s.plain {
		return append(dst, s.raw...)
	}
	for raw := s.raw; len(raw) > 0; {
		escape := bytes.IndexByte(raw, '\\')
		if escape < 0 {
			return appendUTF8Text(dst, raw)
		}
		dst = appendUTF8Text(dst, raw[:escape])
		unit, next := readEscape(raw, escape)
		dst = appendUnit(dst, unit)
		raw = raw[next:]
	}
	return dst
}

// appendUTF8Text appends the text of s. Bytes that are no UTF-8 stay as they are.
func appendUTF8Text[S []byte | string](dst []byte, s S) []byte {
	for i := 0; i < len(s); {
		if s[i] < 0xF0 {
			dst = append(dst, s[i])
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if n == 1 {
			dst = append(dst, s[i])
		} else {
			hi, lo := utf16.EncodeRune(r)
			dst = appendUnit(appendUnit(dst, hi), lo)
		}
		i += n
	}
	return dst
}

// appendUTF8 appends the JSON string s as UTF-8. A lone surrogate becomes U+FFFD.
func appendUTF8(dst []byte, s value) []byte {
	for i := 0; i < len(s.raw); {
		if s.raw[i] != '\\' {
			dst = append(dst, s.raw[i])
			i++
			continue
		}
		var unit rune
		unit, i = readEscape(s.raw, i)
		if utf16.IsSurrogate(unit) && i < len(s.raw) && s.raw[i] == '\\' {
			low, next := readEscape(s.raw, i)
			if r := utf16.DecodeRune(unit, low); r != utf8.RuneError {
				unit, i = r, next
			}
		}
		dst = utf8.AppendRune(dst, unit) // writes U+FFFD for a surrogate
	}
	return dst
}

// textToUTF8 turns text into UTF-8 for people and for patterns.
func textToUTF8(text string) string {
	var units []uint16
	for i := 0; i < len(text); {
		if c := text[i]; c == 0xED && i+2 < len(text) && text[i+1] >= 0xA0 { // a surrogate
			units = append(units, uint16(c&0x0F)<<12|uint16(text[i+1]&0x3F)<<6|uint16(text[i+2]&0x3F))
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		units = utf16.AppendRune(units, r)
		i += n
	}
	return string(utf16.Decode(units))
}

// appendUnit appends one UTF-16 code unit.
func appendUnit(dst []byte, unit rune) []byte {
	if utf16.IsSurrogate(unit) {
		return append(dst, 0xE0|byte(unit>>12), 0x80|byte(unit>>6)&0x3F, 0x80|byte(unit)&0x3F)
	}
	return utf8.AppendRune(dst, unit)
}

// readEscape returns the code unit of the escape that begins at b[i], and the index behind it. An escape that JSON does not
// have stands for its own character.
func readEscape(b []byte, i int) (unit rune, next int) {
	if i+1 >= len(b) {
		return '\\', len(b)
	}
	switch c := b[i+1]; c {
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
		if unit, ok := readHex(b, i+2); ok {
			return unit, i + 6
		}
		return 'u', i + 2
	default:
		r, n := utf8.DecodeRune(b[i+1:])
		if r >= 0x10000 {
			r = utf8.RuneError
		}
		return r, i + 1 + n
	}
}

func readHex(b []byte, i int) (unit rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			unit = unit<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

// textOf returns the text of the JSON string s.
func textOf(s value) string {
	if s.plain {
		return string(s.raw)
	}
	return string(appendText(make([]byte, 0, len(s.raw)), s))
}

// hasText reports whether the text of the JSON string s is text.
func hasText(s value, text string) bool {
	if s.plain {
		return string(s.raw) == text
	}
	var buf [64]byte
	return string(appendText(buf[:0], s)) == text
}
