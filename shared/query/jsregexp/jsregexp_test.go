package jsregexp

import (
	_ "embed"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		os.Exit(m.Run()) // the fuzzing engine leaves a goroutine of os/signal behind
	}
	leakcheck.Main(m)
}

// golden is what ../testdata/generate.mjs wrote with Node 20.
//
//go:embed testdata/node-20.json
var golden []byte

// TestGolden checks patterns against JavaScript's own answers.
func TestGolden(t *testing.T) {
	var f struct {
		Strings []string
		Regexes [][3]*string // source, flags, the strings that match as bits in hexadecimal; nil: refused
	}
	if err := json.Unmarshal(golden, &f); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Regexes {
		source, flags, want := *c[0], *c[1], c[2]
		match, err := Compile(source, flags)
		if err != nil || want == nil {
			if (err == nil) != (want != nil) {
				t.Errorf("/%s/%s: error %v, JavaScript refuses: %v", source, flags, err, want == nil)
			}
			continue
		}
		for i, s := range f.Strings {
			in := strings.IndexByte("0123456789abcdef", (*want)[i/4])>>(i%4)&1 == 1
			if got := match([]byte(s)); got != in {
				t.Errorf("/%s/%s on %q: %v, JavaScript says %v", source, flags, s, got, in)
			}
		}
	}
}

// TestDeviations lists where a pattern matches otherwise than in JavaScript.
func TestDeviations(t *testing.T) {
	for _, c := range []struct {
		source, flags, text string
		match               bool
		why                 string
	}{
		{"^.$", "", "😀", true, "without the flag u JavaScript sees two code units"},
		{"^k$", "i", "\u212A", true, "without the flag u JavaScript does not fold the Kelvin sign"},
		{"a$", "m", "a\rb", false, "JavaScript ends lines at \\r, U+2028 and U+2029 too"},
		{`\-`, "u", "-", true, "JavaScript refuses this escape with the flag u"},
	} {
		match, err := Compile(c.source, c.flags)
		if err != nil || match([]byte(c.text)) != c.match {
			t.Errorf("/%s/%s on %q: not %v, %v; %s", c.source, c.flags, c.text, c.match, err, c.why)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ source, flags, want string }{
		{"a", "y", `has the flag 'y'; allowed are i, m, s, u, and g and d, which change nothing`},
		{"a(?=b)", "", "uses lookahead, (?=...) or (?!...), which is not supported; combine two conditions with $and or $not instead"},
		{"(?<!a)b", "", "uses lookbehind, (?<=...) or (?<!...), which is not supported; combine two conditions with $and or $not instead"},
		{"(a)\\1", "", `uses \1, a backreference or an octal escape, which is not supported; write \xHH for a character`},
		{"(?<n>a)\\k<n>", "", `uses \k, a backreference or an unfinished escape, which is not supported`},
		{"\\c1", "", `uses \c, a backreference or an unfinished escape, which is not supported`},
		{"(?i:a)", "", "has a group that is not supported; allowed are (...), (?:...) and (?<name>...)"},
		{"(?<n", "", "has a group name that does not end"},
		{"[a", "", "has a class, [...], that does not end"},
		{"[a-", "", "has a class, [...], that does not end"},
		{"[b-a]", "", "has a class with the range b-a, whose ends are in the wrong order"},
		{"[\\", "", "ends with a backslash"},
		{"a\\", "", "ends with a backslash"},
		{"a{1001}", "", `"a{1001}" is no regular expression that can be used: invalid repeat count: ` + "`{1001}`"},
		{"a{", "u", `has a { that begins no quantifier; write \{`},
		{"\\x4", "u", "has an escape with too few hexadecimal digits"},
		{"\\a", "u", `has the escape \a, which means nothing with the flag u`},
		{"\\u{61}", "", `has a \u{...} that is no character, or lacks the flag u in $options`},
		{"\\u{110000}", "u", `has a \u{...} that is no character, or lacks the flag u in $options`},
		{"\\ud83d", "", "has half a surrogate pair; patterns match whole characters"},
		{"\\ud83dx", "", "has half a surrogate pair; patterns match whole characters"},
		{"\\p{L}", "", `has a \p that needs {...} and the flag u in $options`},
		{"\\p", "u", `has a \p that needs {...} and the flag u in $options`},
		{"\\p{Emoji}", "u", `has a \p{...} that is not supported; allowed are general categories, such as \p{L} and \p{Lu}, and \p{Script=Greek}`},
		{"\\P{scx=Grek}", "u", `has a \P{...} that is not supported; allowed are general categories, such as \p{L} and \p{Lu}, and \p{Script=Greek}`},
	} {
		if _, err := Compile(c.source, c.flags); err == nil || err.Error() != c.want {
			t.Errorf("/%s/%s:\n got %v\nwant %s", c.source, c.flags, err, c.want)
		}
	}
}

// FuzzCompile checks that no pattern makes Compile panic, and that what it makes runs.
func FuzzCompile(f *testing.F) {
	for _, source := range []string{"^a+b?$", `[\w\-\s]{2,3}`, `\u{1F600}|\p{Lu}`, `(?<n>a)[^]\xZZ`, `[]`, `a{,2}`, `\ud83d\ude00`} {
		f.Add(source, "iu")
		f.Add(source, "ms")
	}
	f.Fuzz(func(_ *testing.T, source, flags string) {
		if len(source) > 200 {
			return
		}
		if match, err := Compile(source, flags); err == nil {
			match([]byte("ab\u00e9 😀\n"))
		}
	})
}
