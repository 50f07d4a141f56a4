// Package shoalpeer runs bin/shoal-peer for tests, as make build has left it.
package shoalpeer

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/internal/child"
)

// Peer is a data directory, and the process that has it, if one runs.
type Peer struct {
	t       testing.TB
	binary  string
	data    string
	running *exec.Cmd
	output  sync.WaitGroup
}

// New makes an empty data directory. What runs in it ends with the test.
func New(t testing.TB) *Peer {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	binary := filepath.Join(filepath.Dir(file), "..", "..", "bin", "shoal-peer")
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("shoal-peer is missing, run make build: %v", err)
	}
	p := &Peer{t: t, binary: binary, data: t.TempDir()}
	t.Cleanup(p.Kill)
	return p
}

// Run starts it, replicating todos in my-users-pool, and waits until it does.
func (p *Peer) Run(s *shoalserver.Server, flags ...string) {
	p.t.Helper()
	args := []string{"--signal", s.Signal(), "--room", "my-users-pool", "--collections", "todos", "--data", p.data}
	p.running = exec.Command(p.binary, append(args, flags...)...)
	child.EndsWithParent(p.running)
	log, err := p.running.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.running.Start(); err != nil {
		p.t.Fatal(err)
	}
	ready := make(chan struct{}, 1)
	p.output.Go(func() {
		defer close(ready)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			p.t.Logf("peer: %s", lines.Text())
			if strings.Contains(lines.Text(), "msg=replicating") {
				ready <- struct{}{}
			}
		}
	})
	if _, ok := <-ready; !ok {
		p.t.Fatal("the peer ended at once; the log says why")
	}
}

// Kill ends it without a word.
func (p *Peer) Kill() {
	if p.running == nil {
		return
	}
	_ = p.running.Process.Kill() // it may have ended by itself
	p.output.Wait()
	_ = p.running.Wait() // says that it was killed
	p.running = nil
}

// Stop ends it as an operator does.
func (p *Peer) Stop() {
	p.t.Helper()
	if err := p.running.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.output.Wait()
	if err := p.running.Wait(); err != nil {
		p.t.Errorf("the peer ended badly: %v", err)
	}
	p.running = nil
}

// Await watches the documents until there are so many, or the process ends.
func (p *Peer) Await(n int) {
	p.t.Helper()
	cmd := exec.Command(p.binary, "watch", "todos", "--initial", "--data", p.data)
	child.EndsWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(out); len(seen) < n && lines.Scan(); {
		var change struct{ ID string }
		if err := json.Unmarshal(lines.Bytes(), &change); err != nil {
			p.t.Fatal(err)
		}
		seen[change.ID] = true
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	if len(seen) < n {
		p.t.Fatalf("the peer has %d documents, want %d", len(seen), n)
	}
}

// Call runs another command on the data directory and returns what it prints.
func (p *Peer) Call(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(p.binary, append(args, "--data", p.data)...).Output()
	if err != nil {
		p.t.Fatalf("shoal-peer %s: %v", args[0], err)
	}
	return string(out)
}
