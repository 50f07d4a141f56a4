package query

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// CompileRegexp compiles a regular expression, given as JavaScript's RegExp takes it, into a function that reports whether a text
// in UTF-8 has a match. The text is valid during the call only. The error says what is wrong with the pattern.
type CompileRegexp func(source, flags string) (match func(text []byte) bool, err error)

// pattern is the regular expression of a $regex.
type pattern struct {
	match  func(text []byte) bool
	prefix string // text that every string that matches begins with; "" where none is known
}

func newPattern(compile CompileRegexp, source, flags string) (*pattern, error) {
	switch {
	case compile == nil:
		return nil, fmt.Errorf("cannot be used: the schema has no engine for regular expressions")
	case len(source) > maxPattern:
		return nil, fmt.Errorf("is %d bytes long; %d are allowed", len(source), maxPattern)
	case strings.Contains(flags, "y"):
		return nil, fmt.Errorf("has the flag y, which depends on matches before; leave it out")
	}
	flags = strings.NewReplacer("g", "", "d", "").Replace(flags) // they change what a match returns, not whether there is one
	match, err := compile(source, flags)
	if err != nil {
		return nil, err
	}
	return &pattern{match: match, prefix: string(appendUTF8Text(nil, literalPrefix(source, flags)))}, nil
}

// find reports whether v is a string with a match.
func (p *pattern) find(v value) bool {
	if v.kind != kindString {
		return false
	}
	if v.plain || bytes.IndexByte(v.raw, '\\') < 0 {
		return p.match(v.raw)
	}
	var buf [128]byte
	return p.match(appendUTF8(buf[:0], v))
}

// literalPrefix returns what every match of a pattern that begins with ^ begins with, as far as plain characters go.
func literalPrefix(source, flags string) string {
	if !strings.HasPrefix(source, "^") || strings.ContainsAny(flags, "im") || strings.Contains(source, "|") {
		return ""
	}
	var prefix []rune
	rest := []rune(source)[1:]
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch {
		case strings.ContainsRune("*?{", c):
			return string(prefix[:max(len(prefix)-1, 0)]) // the last one may be absent
		case strings.ContainsRune("+.$^()[]}", c), c == unicode.ReplacementChar: // which lone surrogates are matched as
			return string(prefix)
		case c == '\\':
			if i++; i == len(rest) || unicode.IsLetter(rest[i]) || unicode.IsDigit(rest[i]) {
				return string(prefix)
			}
			c = rest[i]
		}
		prefix = append(prefix, c)
	}
	return string(prefix)
}
