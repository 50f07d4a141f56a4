package jsregexp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// translator reads ECMAScript's pattern grammar (ECMA-262, 22.2.1, with Annex B) and writes Go's.
type translator struct {
	in  []rune
	pos int
	out strings.Builder

	fold, lines, dotAll, unicode bool
}

// jsSpace is \s: WhiteSpace and LineTerminator of ECMA-262, and notSpace the rest.
const (
	jsSpace  = `\t-\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}`
	notSpace = `\x00-\x08\x0E-\x1F\x21-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}` +
		`\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{FEFE}\x{FF00}-\x{10FFFF}`
)

func (t *translator) more() bool { return t.pos < len(t.in) }

// accept skips s where it comes next.
func (t *translator) accept(s string) bool {
	if strings.HasPrefix(string(t.in[t.pos:min(t.pos+len(s), len(t.in))]), s) {
		t.pos += utf8.RuneCountInString(s)
		return true
	}
	return false
}

func (t *translator) translate() error {
	for t.more() {
		c := t.in[t.pos]
		t.pos++
		if err := t.term(c); err != nil {
			return err
		}
	}
	return nil
}

// term translates the term that begins with c, which has been taken.
func (t *translator) term(c rune) error {
	switch c {
	case '\\':
		return t.escape()
	case '[':
		return t.class()
	case '(':
		return t.group()
	case '.':
		if t.dotAll {
			t.out.WriteString(`(?s:.)`)
		} else {
			t.out.WriteString(`[^\n\r\x{2028}\x{2029}]`)
		}
	case '^', '$':
		if t.lines {
			t.out.WriteString("(?m:" + string(c) + ")")
		} else {
			t.out.WriteRune(c)
		}
	case '|', ')':
		t.out.WriteRune(c)
	case '*', '+', '?', '{':
		return t.quantifier(c)
	default:
		t.literal(c)
	}
	return nil
}

// literal writes a character that stands for itself.
func (t *translator) literal(c rune) {
	t.out.WriteString(regexp.QuoteMeta(string(c)))
}

func (t *translator) quantifier(c rune) error {
	if c == '{' {
		end := t.pos
		for end < len(t.in) && (t.in[end] == ',' || '0' <= t.in[end] && t.in[end] <= '9') {
			end++
		}
		body := string(t.in[t.pos:end])
		if end == len(t.in) || t.in[end] != '}' || body == "" || body[0] == ',' || strings.Count(body, ",") > 1 {
			if t.unicode {
				return fmt.Errorf("has a { that begins no quantifier; write \\{")
			}
			t.literal(c) // Annex B
			return nil
		}
		t.pos = end + 1
		t.out.WriteString("{" + body + "}")
	} else {
		t.out.WriteRune(c)
	}
	if t.accept("?") {
		t.out.WriteByte('?')
	}
	return nil
}

// group writes every group as one that does not capture: only whether there is a match counts.
func (t *translator) group() error {
	switch {
	case t.accept("?:"), t.more() && t.in[t.pos] != '?':
	case t.accept("?="), t.accept("?!"):
		return fmt.Errorf("uses lookahead, (?=...) or (?!...), which is not supported; combine two conditions with $and or $not instead")
	case t.accept("?<="), t.accept("?<!"):
		return fmt.Errorf("uses lookbehind, (?<=...) or (?<!...), which is not supported; combine two conditions with $and or $not instead")
	case t.accept("?<"):
		for t.more() && t.in[t.pos] != '>' {
			t.pos++
		}
		if !t.accept(">") {
			return fmt.Errorf("has a group name that does not end")
		}
	default:
		return fmt.Errorf("has a group that is not supported; allowed are (...), (?:...) and (?<name>...)")
	}
	t.out.WriteString("(?:")
	return nil
}

// escape translates what follows a backslash outside of a class.
func (t *translator) escape() error {
	if !t.more() {
		return fmt.Errorf("ends with a backslash")
	}
	if c := t.in[t.pos]; c == 'b' || c == 'B' {
		t.pos++
		t.out.WriteString(`\` + string(c))
		return nil
	}
	set, char, err := t.escaped()
	switch {
	case err != nil:
		return err
	case set != "":
		t.out.WriteString("[" + set + "]")
	default:
		t.literal(char)
	}
	return nil
}

// escaped reads an escape that may stand in a class too: a set, in Go's class syntax, or a character.
func (t *translator) escaped() (set string, char rune, err error) {
	c := t.in[t.pos]
	t.pos++
	switch c {
	case 'd', 'D', 'w', 'W':
		return `\` + string(c), 0, nil
	case 's':
		return jsSpace, 0, nil
	case 'S':
		return notSpace, 0, nil
	case 'p', 'P':
		set, err = t.property(c)
		return set, 0, err
	}
	if i := strings.IndexRune("tnvfr", c); i >= 0 {
		return "", rune("\t\n\v\f\r"[i]), nil
	}
	switch {
	case c == '0' && (!t.more() || t.in[t.pos] < '0' || '9' < t.in[t.pos]):
		return "", 0, nil
	case '0' <= c && c <= '9':
		return "", 0, fmt.Errorf(`uses \%c, a backreference or an octal escape, which is not supported; write \xHH for a character`, c)
	case c == 'c' && t.more() && 'a' <= t.in[t.pos]|0x20 && t.in[t.pos]|0x20 <= 'z':
		t.pos++
		return "", t.in[t.pos-1] & 0x1F, nil
	case c == 'c', c == 'k':
		return "", 0, fmt.Errorf(`uses \%c, a backreference or an unfinished escape, which is not supported`, c)
	case c == 'x':
		return t.hex(2)
	case c == 'u':
		char, err = t.unicodeEscape()
		return "", char, err
	case t.unicode && ('a' <= c|0x20 && c|0x20 <= 'z'):
		return "", 0, fmt.Errorf(`has the escape \%c, which means nothing with the flag u`, c)
	}
	return "", c, nil
}

// hex reads n hexadecimal digits. Where there are none, \x stands for x (Annex B).
func (t *translator) hex(n int) (set string, char rune, err error) {
	if t.pos+n <= len(t.in) {
		if v, err := strconv.ParseUint(string(t.in[t.pos:t.pos+n]), 16, 16); err == nil {
			t.pos += n
			return "", rune(v), nil
		}
	}
	if t.unicode {
		return "", 0, fmt.Errorf("has an escape with too few hexadecimal digits")
	}
	return "", t.in[t.pos-1], nil
}

func (t *translator) unicodeEscape() (rune, error) {
	if t.accept("{") {
		end := t.pos
		for end < len(t.in) && t.in[end] != '}' {
			end++
		}
		v, err := strconv.ParseUint(string(t.in[t.pos:end]), 16, 32)
		if !t.unicode || end == len(t.in) || err != nil || v > utf8.MaxRune {
			return 0, fmt.Errorf(`has a \u{...} that is no character, or lacks the flag u in $options`)
		}
		t.pos = end + 1
		return rune(v), nil
	}
	_, char, err := t.hex(4)
	if err != nil || !utf16.IsSurrogate(char) {
		return char, err
	}
	if t.accept(`\u`) {
		_, low, err := t.hex(4)
		if pair := utf16.DecodeRune(char, low); err == nil && pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, fmt.Errorf("has half a surrogate pair; patterns match whole characters")
}
