// Package jsregexp compiles regular expressions of JavaScript for Go's engine.
//
// The engine takes time in proportion to the text, whatever the text is; that is why it cannot look around or back. Refused are
// lookahead, lookbehind, backreferences, octal escapes, the flags y and v, half surrogate pairs, groups with flags, more than
// 1000 repetitions, and properties other than general categories and scripts by their short names. Otherwise a pattern means what
// ECMA-262, with its Annex B, says, but for this: characters are whole ones and fold case as with the flag u, and with the
// flag m only \n ends a line. testdata holds what JavaScript says of some cases.
package jsregexp

import (
	"fmt"
	"regexp"
	"strings"
)

// Compile returns a function that reports whether a text in UTF-8 has a match. source and flags are those of JavaScript's RegExp; g
// and d, which change what a match returns and not whether there is one, have no effect. The error says what is wrong.
func Compile(source, flags string) (match func(text []byte) bool, err error) {
	t := &translator{in: []rune(source)}
	for _, flag := range flags {
		switch flag {
		case 'i':
			t.fold = true
		case 'm':
			t.lines = true
		case 's':
			t.dotAll = true
		case 'u':
			t.unicode = true
		case 'g', 'd':
		default:
			return nil, fmt.Errorf("has the flag %q; allowed are i, m, s, u, and g and d, which change nothing", flag)
		}
	}
	if err := t.translate(); err != nil {
		return nil, err
	}
	out := t.out.String()
	if t.fold {
		out = "(?i)" + out
	}
	re, err := regexp.Compile(out)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression that can be used: %s", source, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re.Match, nil
}
