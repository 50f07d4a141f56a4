package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// module writes a Go module with one test file and returns its folder.
func module(t *testing.T, tests string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module m\n", "m_test.go": "package m\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n" + tests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	good    = "func TestGood(t *testing.T) {\n\tt.Log(\"quiet\")\n\tt.Run(\"part\", func(*testing.T) {})\n}\n"
	skipped = "func TestSkipped(t *testing.T) { t.Skip(\"not here\") }\n"
	bad     = "func TestBad(t *testing.T) { t.Error(\"loud\") }\n"
	ends    = "func TestEnds(t *testing.T) { t.Log(\"last words\"); os.Exit(3) }\n"
	broken  = "func TestBroken(t *testing.T) { return 1 }\n"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, tests             string
		passed, failed, skipped int
		good                    bool
		says, hides             string
	}{
		{"good", good + skipped, 2, 0, 1, true, "ok", "quiet"},
		{"says why it skips", skipped, 0, 0, 1, true, "not here", "quiet"},
		{"bad", good + bad, 2, 1, 0, false, "loud", "quiet"},
		{"ends", good + ends, 2, 1, 0, false, "last words", "quiet"},
		{"does not compile", broken, 0, 0, 0, false, "too many return values", "quiet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			var out bytes.Buffer
			err := run(filepath.Join(folder, "it"), []string{"go", "-C", module(t, c.tests), "test", "-json", "."}, &out)
			if (err == nil) != c.good {
				t.Errorf("error %v\n%s", err, &out)
			}
			if s := out.String(); !strings.Contains(s, c.says) || strings.Contains(s, c.hides) {
				t.Errorf("it prints\n%s", s)
			}
			out.Reset()
			err = sum(folder, &out)
			if (err == nil) != (c.good && c.passed > 0) {
				t.Errorf("sum: error %v", err)
			}
			want := (&result{Passed: c.passed, Failed: c.failed, Skipped: c.skipped}).String()
			_, counts, _ := strings.Cut(want, ":")
			if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); !strings.HasSuffix(lines[len(lines)-1], counts) {
				t.Errorf("sum prints\n%s, want%s", &out, counts)
			}
		})
	}
}

func TestNode(t *testing.T) {
	r, err := count(strings.NewReader("✔ one (1ms)\nℹ tests 8\nℹ suites 0\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 2\nℹ todo 1\nℹ duration_ms 8\n"), new(bytes.Buffer))
	if err != nil || r.Passed != 3 || r.Failed != 2 || r.Skipped != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBrokenOff(t *testing.T) {
	folder := t.TempDir()
	if err := run(filepath.Join(folder, "absent"), []string{"./no-such-command"}, new(bytes.Buffer)); err == nil {
		t.Error("a command that is not there ran")
	}
	if err := sum(folder, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("sum: %v", err)
	}
	if err := sum(t.TempDir(), new(bytes.Buffer)); err == nil {
		t.Error("no runs at all are good")
	}
}

func TestExitStatus(t *testing.T) {
	err := run(filepath.Join(t.TempDir(), "it"), []string{"sh", "-c", "exit 7"}, new(bytes.Buffer))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("error %v", err)
	}
}
