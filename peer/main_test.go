//go:build !js

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shoaldb/shoal/internal/child"
	"github.com/shoaldb/shoal/internal/leakcheck"
)

// binaries is where the tests build the programs that they run.
const binaries = "../build/peer-test"

func TestMain(m *testing.M) {
	out, err := exec.Command("go", "build", "-o", binaries+"/", ".", "../server").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	leakcheck.Main(m)
}

const (
	peerBinary   = binaries + "/peer"
	serverBinary = binaries + "/server"
	room         = "my-users-pool"
)

// deadline bounds waits. What takes so long does not come.
const deadline = 2 * time.Minute

// output is what a finished call left.
type output struct {
	stdout, stderr string
	code           int
}

// call runs the program to its end.
func call(t *testing.T, stdin io.Reader, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), peerBinary, args...)
	child.EndsWithParent(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs the program to its end, which must be good, and returns what it printed.
func must(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	o := call(t, stdin, args...)
	if o.code != 0 {
		t.Fatalf("shoal-peer %s: exit code %d: %s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o.stdout
}

// process is a program that runs.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	name  string
	lines chan string // of its standard output; closed at the end
	log   chan string // of its standard error; closed at the end
	wg    sync.WaitGroup
	once  sync.Once
	err   error // of its end
}

func start(t *testing.T, name, binary string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), name: name, lines: make(chan string, 1<<20), log: make(chan string, 1<<16)}
	child.EndsWithParent(p.cmd)
	p.read(p.cmd.StdoutPipe, p.lines, func(string) {})
	p.read(p.cmd.StderrPipe, p.log, func(line string) { t.Logf("%s: %s", name, line) })
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) read(pipe func() (io.ReadCloser, error), to chan<- string, tell func(string)) {
	p.t.Helper()
	r, err := pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.wg.Go(func() {
		defer close(to)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			tell(lines.Text())
			to <- lines.Text()
		}
	})
}

// logs waits for a line of the log that matches, and returns what the expression's group found.
func (p *process) logs(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.NewTimer(deadline)
	defer timeout.Stop()
	for {
		select {
		case line, ok := <-p.log:
			if !ok {
				p.t.Fatalf("%s ended, and has not logged %s", p.name, pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		case <-timeout.C:
			p.t.Fatalf("%s has not logged %s", p.name, pattern)
		}
	}
}

// end waits for the process to end.
func (p *process) end() error {
	p.once.Do(func() {
		p.wg.Wait()
		p.err = p.cmd.Wait()
	})
	return p.err
}

// kill ends it without a word.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.end()
}

// stop asks it to end, which it must do well.
func (p *process) stop(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	if err := p.end(); err != nil {
		p.t.Errorf("%s ended badly after %v: %v", p.name, sig, err)
	}
}

// serve starts a signaling server and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	p := start(t, "server", serverBinary, "--listen", "127.0.0.1:0")
	return "ws://" + p.logs(`msg=listening url=http://([^/]+)/`) + "/signal"
}

// run starts a peer that replicates todos, and waits until it does.
func run(t *testing.T, name, signal, data string, args ...string) *process {
	t.Helper()
	p := start(t, name, peerBinary, append([]string{"--signal", signal, "--room", room, "--collections", "todos", "--data", data}, args...)...)
	p.logs("msg=replicating")
	return p
}

// follower is a watch of todos in a data directory.
type follower struct {
	*process
	docs map[string]string
}

func follow(t *testing.T, name, data string) *follower {
	t.Helper()
	return &follower{start(t, name+" watch", peerBinary, "watch", "--initial", "--data", data), make(map[string]string)}
}

// until reads changes until the documents are as wanted.
func (f *follower) until(what string, good func(docs map[string]string) bool) {
	f.t.Helper()
	timeout := time.NewTimer(deadline)
	defer timeout.Stop()
	for !good(f.docs) {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("%s ended before %s", f.name, what)
			}
			var r row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				f.t.Fatalf("%s says %q: %v", f.name, line, err)
			}
			if r.Deleted {
				delete(f.docs, r.ID)
			} else {
				f.docs[r.ID] = string(r.Document)
			}
		case <-timeout.C:
			f.t.Fatalf("%s waited in vain for %s; there are %d documents", f.name, what, len(f.docs))
		}
	}
}

func (f *follower) count(n int) {
	f.t.Helper()
	f.until(fmt.Sprintf("%d documents", n), func(docs map[string]string) bool { return len(docs) >= n })
}

// documents are lines for import, and export's of the same when that is all there is.
func documents(from, to int, text string) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"collection":"todos","document":{"id":"%06d","title":"%s %s","done":false}}`+"\n", i, text, strings.Repeat("x", 150))
	}
	return b.String()
}

func exported(t *testing.T, data string) string {
	t.Helper()
	return must(t, nil, "export", "--data", data)
}

// expectSame compares the documents of two directories.
func expectSame(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%d and %d lines, line %d differs:\n%s\n%s", len(a), len(b), i+1, a[i], b[i])
		}
	}
	t.Fatalf("%d and %d lines", len(a), len(b))
}

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shoal.db"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const sigterm = syscall.SIGTERM
