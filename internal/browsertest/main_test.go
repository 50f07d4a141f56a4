//go:build !js

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/internal/browsertest/page"
	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// suite compiles the tests of testdata/suite for the browser.
func suite(t *testing.T) string {
	t.Helper()
	if browser, err := page.Open(t.Context(), nil); errors.Is(err, page.ErrNoBrowser) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	} else {
		browser.Close()
	}
	binary := filepath.Join(t.TempDir(), "suite.test")
	build := exec.Command("go", "test", "-c", "-o", binary, "./testdata/suite")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return binary
}

func TestRun(t *testing.T) {
	binary := suite(t)
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{
			"pass",
			[]string{binary, "-test.run=Browser", "-test.v", "-test.testlogfile=/nowhere"},
			0,
			[]string{"--- PASS: TestBrowser", "--- PASS: FuzzBrowser", "word: fish", "\nPASS\n"},
		},
		{"fail", []string{"-mdns", binary, "-test.run=TestFail"}, 1, []string{"failed on purpose", "\nFAIL\n"}},
		{"timeout of the test", []string{binary, "-test.run=TestHang", "-test.timeout=1s"}, 2, []string{"test timed out after 1s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			code, err := run(t.Context(), test.args, append(os.Environ(), "WORD=fish"), &out, &out)
			if err != nil || code != test.code {
				t.Fatalf("run: code %d, error %v, want code %d\n%s", code, err, test.code, &out)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in the output:\n%s", want, &out)
				}
			}
		})
	}
}

func TestRunCancelled(t *testing.T) {
	binary := suite(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	started := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("=== RUN")) {
			cancel(cause)
		}
		return len(p), nil
	})
	if _, err := run(ctx, []string{binary, "-test.run=TestHang", "-test.v"}, nil, started, io.Discard); !errors.Is(err, cause) {
		t.Fatalf("run = %v, want %v", err, cause)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRunWithoutTest(t *testing.T) {
	if _, err := run(t.Context(), nil, nil, io.Discard, io.Discard); err == nil {
		t.Fatal("run without a test binary: no error")
	}
}

func TestTimeout(t *testing.T) {
	for args, want := range map[string]time.Duration{
		"x.test":                                  11 * time.Minute,
		"x.test -test.timeout=0s":                 11 * time.Minute,
		"x.test -test.timeout=1m30s -test.short":  90*time.Second + grace,
		"x.test -test.run=a -test.timeout=broken": 11 * time.Minute,
	} {
		if got := timeout(strings.Fields(args)); got != want {
			t.Errorf("timeout(%q) = %v, want %v", args, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	var notes bytes.Buffer
	environ := []string{"LONG=" + strings.Repeat("x", envLimit), "A=b=c", "=C:=strange"}
	env := environment(environ, []string{"x.test"}, &notes)
	if got, want := fmt.Sprint(env), "map[A:b=c BROWSERTEST:1]"; got != want {
		t.Errorf("environment = %v, want %v", got, want)
	}
	if !strings.Contains(notes.String(), "1 long environment variables left out") {
		t.Errorf("notes: %q", &notes)
	}
}
