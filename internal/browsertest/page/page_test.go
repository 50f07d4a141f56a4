//go:build !js

package page

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func open(t *testing.T) *Browser {
	t.Helper()
	browser, err := Open(t.Context(), nil)
	if errors.Is(err, ErrNoBrowser) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(browser.Close)
	return browser
}

func program(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program.wasm")
	build := exec.Command("go", "build", "-o", binary, "../testdata/program")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func TestProgram(t *testing.T) {
	browser, wasm := open(t), program(t)
	for code, word := range map[string]string{"0": "one", "7": "two"} {
		t.Run(code, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			messages := make(chan string, 2)
			p, err := browser.Start(t.Context(), Program{
				Wasm: wasm, Args: []string{"program", code}, Env: map[string]string{"WORD": word},
				Stdout: &stdout, Stderr: &stderr, Message: func(text string) { messages <- text },
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Send("question \"ä\" \u2028"); err != nil { // before the program listens, or after
				t.Error(err)
			}
			if got := <-messages; got != "ready" {
				t.Errorf("message %q, want ready", got)
			}
			if got, want := <-messages, "answer to question \"ä\" \u2028"; got != want {
				t.Errorf("message %q, want %q", got, want)
			}
			got, err := p.Wait()
			if err != nil || string(rune('0'+got)) != code {
				t.Errorf("Wait = %d, %v, want %s", got, err, code)
			}
			p.Close()
			if got, want := stdout.String(), "out "+word+" "+strings.Repeat("ä", 10_000)+"\n"; got != want {
				t.Errorf("standard output %.40q, want %.40q", got, want)
			}
			for _, want := range []string{"err without newline", "log: from the console"} {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("no %q on standard error: %q", want, &stderr)
				}
			}
		})
	}
}

func TestProgramPanics(t *testing.T) {
	browser, wasm := open(t), program(t)
	var stderr bytes.Buffer
	p, err := browser.Start(t.Context(), Program{Wasm: wasm, Args: []string{"program", "panic"}, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait()
	p.Close()
	if err != nil || code != 2 || !strings.Contains(stderr.String(), "panic: on purpose") {
		t.Fatalf("Wait = %d, %v, want 2; standard error: %s", code, err, &stderr)
	}
}

func TestProgramNotThere(t *testing.T) {
	var stderr bytes.Buffer
	p, err := open(t).Start(t.Context(), Program{Wasm: filepath.Join(t.TempDir(), "no.wasm"), Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait()
	p.Close()
	if err != nil || code != 1 || stderr.Len() == 0 {
		t.Fatalf("Wait = %d, %v, want 1; standard error: %s", code, err, &stderr)
	}
}

func TestPageEnds(t *testing.T) {
	browser, wasm := open(t), program(t)
	cause := errors.New("enough")
	for name, end := range map[string]func(*Page, context.CancelCauseFunc){
		"close":          func(p *Page, _ context.CancelCauseFunc) { p.Close() },
		"cancel":         func(_ *Page, cancel context.CancelCauseFunc) { cancel(cause) },
		"browser closed": func(*Page, context.CancelCauseFunc) { browser.Close() },
	} {
		if name == "browser closed" {
			defer t.Run(name, func(t *testing.T) { hang(t, browser, wasm, end) })
			continue
		}
		t.Run(name, func(t *testing.T) { hang(t, browser, wasm, end) })
	}
}

// hang starts a program that does not end and expects that Wait fails after end.
func hang(t *testing.T, browser *Browser, wasm string, end func(*Page, context.CancelCauseFunc)) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	hanging := make(chan string, 1)
	p, err := browser.Start(ctx, Program{
		Wasm: wasm, Args: []string{"program", "hang"}, Message: func(text string) { hanging <- text },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	<-hanging
	end(p, cancel)
	if code, err := p.Wait(); err == nil {
		t.Errorf("Wait = %d, want an error", code)
	} else {
		t.Log(err)
	}
}

func TestNoBrowser(t *testing.T) {
	if _, err := Open(t.Context(), &Options{Path: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, ErrNoBrowser) {
		t.Fatalf("Open = %v, want %v", err, ErrNoBrowser)
	}
}
