//go:build !js

package idblog_test

import (
	"context"
	"errors"
	"fmt"
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

// TestTabsKilled closes tabs in the middle of their commits, while others commit to the same log, and looks for what they
// said was done.
func TestTabsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	browser, err := page.Open(ctx, nil)
	if errors.Is(err, page.ErrNoBrowser) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer browser.Close()
	wasm := compile(t)

	tabs := make([]*tab, 8)
	for i := range tabs {
		tabs[i] = start(ctx, t, browser, page.Program{Wasm: wasm, Args: []string{"tab", "write", fmt.Sprint("tab", i)}})
		if i >= 2 { // so two go on while one is closed
			tabs[i-2].awaitMore(ctx, t, 5)
			tabs[i-2].page.Close()
		}
	}
	for _, last := range tabs[len(tabs)-2:] {
		last.awaitMore(ctx, t, 5)
		last.page.Close()
	}
	reader := start(ctx, t, browser, page.Program{Wasm: wasm, Args: []string{"tab", "read", ""}})
	defer reader.page.Close()
	if code, err := reader.page.Wait(); err != nil || code != 0 {
		t.Fatalf("the reader ended with %d, %v", code, err)
	}
	check(t, tabs, reader.drain())
}

func compile(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tab.wasm")
	build := exec.Command("go", "build", "-o", binary, "./testdata/tab")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// tab is a page and what it said.
type tab struct {
	page *page.Page
	said chan string
	done int // how many commits it said were done
}

func start(ctx context.Context, t *testing.T, browser *page.Browser, program page.Program) *tab {
	t.Helper()
	g := &tab{said: make(chan string, 100_000)} // more than a tab says in its time
	program.Message = func(text string) { g.said <- text }
	program.Stderr = t.Output()
	var err error
	if g.page, err = browser.Start(ctx, program); err != nil {
		t.Fatal(err)
	}
	return g
}

// awaitMore returns once the tab has made that many commits more.
func (g *tab) awaitMore(ctx context.Context, t *testing.T, commits int) {
	t.Helper()
	for range commits {
		select {
		case text := <-g.said:
			g.hear(t, text)
		case <-ctx.Done():
			t.Fatalf("no commit after %d: %v", g.done, ctx.Err())
		}
	}
}

func (g *tab) hear(t *testing.T, text string) {
	t.Helper()
	if text != fmt.Sprint(g.done) {
		t.Fatalf("a tab said %q after %d commits", text, g.done)
	}
	g.done++
}

// drain returns what the tab, which is closed or has ended, said.
func (g *tab) drain() (said []string) {
	for len(g.said) > 0 {
		said = append(said, <-g.said)
	}
	return said
}

// check compares what the log holds with what the tabs said.
func check(t *testing.T, tabs []*tab, lines []string) {
	t.Helper()
	if len(lines) == 0 || lines[len(lines)-1] != "end" {
		t.Fatalf("the reader said %q", lines)
	}
	lines = lines[:len(lines)-1]
	held := make([]int, len(tabs))
	next := 1
	for i := 0; i+1 < len(lines); i += 2 {
		var who int
		if _, err := fmt.Sscanf(lines[i], "tab%d-", &who); err != nil {
			t.Fatalf("record %q: %v", lines[i], err)
		}
		one := fmt.Sprintf("tab%d-%d-1 %d 1 %d", who, held[who], next, 64<<10)
		two := fmt.Sprintf("tab%d-%d-2 %d 2 ", who, held[who], next+1)
		if lines[i] != one || !strings.HasPrefix(lines[i+1], two) {
			t.Fatalf("records %q, want %q and %q", lines[i:i+2], one, two)
		}
		held[who]++
		next += 3
	}
	if len(lines)%2 != 0 {
		t.Errorf("the last commit is there in part: %q", lines[len(lines)-1])
	}
	for i, g := range tabs {
		for _, text := range g.drain() {
			g.hear(t, text)
		}
		if held[i] < g.done { // more is right: a tab that is closed has no time to say all
			t.Errorf("tab %d said that %d commits were done, the log holds %d", i, g.done, held[i])
		}
	}
	t.Logf("%v commits", held)
}
