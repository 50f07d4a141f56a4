// Command mutate breaks the rules of replication, one at a time, in a copy of the source, and runs the tests on each: whatever they let pass is
// a hole in them. It prints a table for docs/testing.md and fails if anything was missed. It takes about a minute for each rule.
//
//	go run ./internal/mutate [part of a rule's name]
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	patience = 20 * time.Minute // a test that does not end has caught the mutation as well
	packages = "./shared/document ./shared/collection ./shared/replication"
	seeds    = "400"
)

func main() {
	only := strings.Join(os.Args[1:], " ")
	missed, err := run(only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "mutate: %d of the rules can be broken without a test noticing\n", missed)
		os.Exit(1)
	}
}

func run(only string) (missed int, err error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	for _, d := range []string{"shared", "internal", "server"} {
		if err := os.CopyFS(filepath.Join(dir, d), os.DirFS(d)); err != nil {
			return 0, fmt.Errorf("run this at the top of the source: %w", err)
		}
	}
	for _, f := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, f), data, 0o600); err != nil {
			return 0, err
		}
	}
	fmt.Println("| rule that was broken | caught by |\n| --- | --- |")
	for _, m := range mutations {
		if !strings.Contains(m.rule, only) {
			continue
		}
		caught, err := m.try(dir)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", m.rule, err)
		}
		if caught == "" {
			missed++
			caught = "**nothing**"
		}
		fmt.Printf("| %s | %s |\n", m.rule, caught)
	}
	return missed, nil
}

// try breaks a rule in the copy of the source at dir, and returns which test fails by it, "" for none.
func (m mutation) try(dir string) (caught string, err error) {
	path := filepath.Join(dir, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	defer func() {
		if e := os.WriteFile(path, source, 0o600); err == nil {
			err = e
		}
	}()
	broken, err := m.apply(string(source))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		return "", err
	}
	if out, ok := goTool(dir, "test -vet=off -run ^$ "+packages+" ./shared/pool"); !ok {
		return "", fmt.Errorf("does not compile: %s", out)
	}
	for _, args := range []string{
		"test -vet=off -failfast " + packages,
		"test -vet=off -failfast ./shared/pool -sim.seeds " + seeds,
	} {
		if out, ok := goTool(dir, args); !ok {
			return catcher(out), nil
		}
	}
	return "", nil
}

// apply returns source with the rule broken.
func (m mutation) apply(source string) (string, error) {
	if n := strings.Count(source, m.old); n != 1 {
		return "", fmt.Errorf("%s has %d times what is to be replaced, want once: %q", m.file, n, m.old)
	}
	return strings.Replace(source, m.old, m.new, 1), nil
}

func goTool(dir, args string) (out string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", strings.Fields(args)...) //nolint:gosec // the arguments are the constants above
	cmd.Dir = dir
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

var (
	failed = regexp.MustCompile(`--- FAIL: (\S+)`)
	seed   = regexp.MustCompile(`seed (\d+):`)
)

func catcher(out string) string {
	f := failed.FindStringSubmatch(out)
	if f == nil {
		return "a test that does not end"
	}
	if s := seed.FindStringSubmatch(out); s != nil && strings.Contains(out, "TestSimulation") {
		return f[1] + ", seed " + s[1]
	}
	return f[1]
}
