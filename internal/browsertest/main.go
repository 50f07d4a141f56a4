//go:build !js

// Command browsertest runs a test binary that was compiled for GOOS=js GOARCH=wasm in a page of a headless Chromium, where it
// finds what Node lacks: WebRTC, IndexedDB, Web Locks. It is for the -exec flag of go test:
//
//	GOOS=js GOARCH=wasm go test -exec="env GOOS= GOARCH= go run github.com/shoaldb/shoal/internal/browsertest" ./pkg
//
// (The inner go run would otherwise compile browsertest for js as well.) To save its link time, build it once:
//
//	go build -o bin/browsertest ./internal/browsertest
//	GOOS=js GOARCH=wasm go test -exec="$PWD/bin/browsertest" ./pkg
//
// The arguments and the environment of the test reach it; a test that must know whether it runs in a page looks for
// the variable BROWSERTEST. Its output is passed on as it comes, and its exit code becomes that of browsertest. What the page
// writes to its console, and exceptions that nothing caught, go to standard error.
//
// A page has no files: testdata must be embedded (corpora of fuzz tests are not found and do no harm), and flags that write
// files (-coverprofile, -cpuprofile) fail. It is a secure
// context on a loopback address, with a new profile for each run. Whatever happens, everything is killed a short while
// after the -timeout of go test (11 minutes where that is 0).
//
// Flags of its own stand before the test binary, inside -exec:
//
//	-chrome path   the browser to use; default: the first Chromium or Chrome on PATH
//	-mdns          leave local addresses in ICE candidates hidden, as they are for users
//
// The exit code is 1 when the test could not be run at all, and 1 or 2 when it failed, as with any Go test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shoaldb/shoal/internal/browsertest/page"
)

const (
	grace = 20 * time.Second // between the timeout of the test, which prints stacks, and the end by force
	// envLimit is what wasm_exec.js leaves for arguments and environment, with room for their padding and pointers.
	envLimit = 7 << 10
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browsertest:", err)
		code = 1
	}
	stop()
	os.Exit(code)
}

// run runs the test binary that args name and returns its exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("browsertest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	opts := &page.Options{}
	flags.StringVar(&opts.Path, "chrome", "", "the browser to use")
	flags.BoolVar(&opts.MDNS, "mdns", false, "leave local addresses in ICE candidates hidden")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if flags.NArg() == 0 {
		return 0, errors.New("which test binary? it is for go test -exec, see go doc ./internal/browsertest")
	}
	test := slices.DeleteFunc(flags.Args(), func(arg string) bool {
		return strings.HasPrefix(arg, "-test.testlogfile=") // a file, and only for go's cache of results
	})

	limit := timeout(test)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("killed after %v", limit))
	defer cancel()
	browser, err := page.Open(ctx, opts)
	if err != nil {
		return 0, err
	}
	defer browser.Close()
	p, err := browser.Start(ctx, page.Program{
		Wasm: test[0], Args: test, Env: environment(environ, test, stderr), Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	return p.Wait()
}

// timeout is when the test is killed, given its arguments.
func timeout(test []string) time.Duration {
	limit := 11*time.Minute - grace
	for _, arg := range test {
		text, ok := strings.CutPrefix(arg, "-test.timeout=")
		if d, err := time.ParseDuration(text); ok && err == nil && d > 0 {
			limit = d
		}
	}
	return limit + grace
}

// environment is what of environ fits into the page beside args. The longest variables go first: they are the least likely to
// be meant for a test.
func environment(environ, args []string, stderr io.Writer) map[string]string {
	environ = append(slices.Clone(environ), "BROWSERTEST=1")
	slices.SortStableFunc(environ, func(a, b string) int { return len(a) - len(b) })
	const overhead = 16 // padding and pointer
	size := 0
	for _, arg := range args {
		size += len(arg) + overhead
	}
	env := make(map[string]string)
	for i, variable := range environ {
		if size += len(variable) + overhead; size > envLimit {
			fmt.Fprintf(stderr, "browsertest: %d long environment variables left out\n", len(environ)-i)
			break
		}
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}
