package flags

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestFromEnvironment(t *testing.T) {
	env := map[string]string{"SHOAL_A_B": "from env", "SHOAL_GIVEN": "from env", "SHOAL_VERSION": "1.2.3", "SHOAL_N": "x", "A_B": "not ours"}
	getenv := func(name string) string { return env[name] }
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	ab, given := fs.String("a-b", "", ""), fs.String("given", "", "")
	version, n := fs.Bool(Version, false, ""), fs.Int("n", 7, "")
	if err := fs.Parse([]string{"--given", "here"}); err != nil {
		t.Fatal(err)
	}
	if err := FromEnvironment(fs, getenv, "a-b", Version); err != nil || *ab != "from env" || *given != "here" || *version || *n != 7 {
		t.Errorf("%q %q %t %d, %v", *ab, *given, *version, *n, err)
	}
	if err := FromEnvironment(fs, getenv); err == nil || !strings.Contains(err.Error(), `environment variable SHOAL_N="x"`) {
		t.Errorf("what is no number: %v", err)
	}
	env["SHOAL_N"] = "8"
	if err := FromEnvironment(fs, getenv); err != nil || *n != 8 || *given != "here" || *version {
		t.Errorf("%q %t %d, %v", *given, *version, *n, err)
	}
}

func TestParse(t *testing.T) {
	for args, want := range map[string]struct{ err, output string }{
		"--n 8":   {},
		"--help":  {flag.ErrHelp.Error(), "usage: some program [flags]\n\n  -n number\n"},
		"--n x":   {`invalid value "x" for flag -n: parse error; see some program --help`, ""},
		"--m":     {"flag provided but not defined: -m; see some program --help", ""},
		"--n=8 y": {},
	} {
		fs := flag.NewFlagSet("some program", flag.ContinueOnError)
		n := fs.Int("n", 7, "`number` of things")
		var output strings.Builder
		err := Parse(fs, strings.Fields(args), &output, "some program [flags]")
		if got := output.String(); !strings.HasPrefix(got, want.output) || want.output == "" && got != "" {
			t.Errorf("%s printed %q", args, got)
		}
		if err == nil && (want.err != "" || *n != 8) || err != nil && err.Error() != want.err {
			t.Errorf("%s: n is %d, %v", args, *n, err)
		}
	}
}

func TestList(t *testing.T) {
	if got := List(" a, b c,,d ,"); !slices.Equal(got, []string{"a", "b c", "d"}) {
		t.Errorf("%q", got)
	}
	if got := List(" , "); got != nil {
		t.Errorf("%q", got)
	}
}
