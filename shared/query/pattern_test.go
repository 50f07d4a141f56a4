package query

import (
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/query/jsregexp"
)

// TestPrefix shows what the planner takes from a pattern.
func TestPrefix(t *testing.T) {
	for _, c := range []struct{ source, flags, want string }{
		{"^abc", "", "abc"},
		{"abc", "", ""},
		{"^abc", "i", ""},
		{"^abc", "m", ""},
		{"^abc", "s", "abc"},
		{"^ab?c", "", "a"},
		{"^ab*", "", "a"},
		{"^ab+c", "", "ab"},
		{"^ab{2}", "", "a"},
		{"^?", "", ""},
		{"^a\\.b.c", "", "a.b"},
		{"^a|b", "", ""},
		{"^(ab)", "", ""},
		{"^a[b]", "", "a"},
		{"^a\\d", "", "a"},
		{"^a$", "", "a"},
		{"^a\\bc", "", "a"},
		{"^a\\x62", "", "a"},
		{"^a\\", "", "a"},
		{"^", "", ""},
		{"", "", ""},
		{"^a\uFFFDb", "", "a"},
		{"^😀", "", "😀"},
	} {
		if got := literalPrefix(c.source, c.flags); got != c.want {
			t.Errorf("/%s/%s: %q, want %q", c.source, c.flags, got, c.want)
		}
	}
}

func TestPattern(t *testing.T) {
	flags := ""
	engine := func(_, f string) (func([]byte) bool, error) {
		flags = f
		return func(text []byte) bool { return string(text) == "a\n\"😀\uFFFDé" }, nil
	}
	p, err := newPattern(engine, "x", "gidsg")
	if err != nil || flags != "is" {
		t.Fatalf("flags %q, %v", flags, err)
	}
	for text, want := range map[string]bool{`a\n\"😀\ud83d\u00e9`: true, `\u0061\u000A\"\uD83D\uDE00\uDE00é`: true, `a`: false} {
		v, _ := readValue([]byte(`"`+text+`"`), 0)
		if p.find(v) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	for _, c := range []struct {
		engine        CompileRegexp
		source, flags string
		want          string
	}{
		{nil, "a", "", "cannot be used: the schema has no engine for regular expressions"},
		{engine, strings.Repeat("a", 1001), "", "is 1001 bytes long; 1000 are allowed"},
		{engine, "a", "gy", "has the flag y, which depends on matches before; leave it out"},
		{jsregexp.Compile, "a", "v", `has the flag 'v'; allowed are i, m, s, u, and g and d, which change nothing`},
	} {
		if _, err := newPattern(c.engine, c.source, c.flags); err == nil || err.Error() != c.want {
			t.Errorf("/%.10s/%s: %v, want %s", c.source, c.flags, err, c.want)
		}
	}
}
