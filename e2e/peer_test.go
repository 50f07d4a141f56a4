package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// peer is bin/shoal-peer, as make build has left it, with a data directory.
type peer struct {
	t       *testing.T
	binary  string
	data    string
	running *exec.Cmd
	output  sync.WaitGroup
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	binary := filepath.Join(filepath.Dir(file), "..", "bin", "shoal-peer")
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("shoal-peer is missing, run make build: %v", err)
	}
	p := &peer{t: t, binary: binary, data: t.TempDir()}
	t.Cleanup(p.kill)
	return p
}

// run starts it, and waits until it replicates.
func (p *peer) run(s *shoalserver.Server) {
	p.t.Helper()
	p.running = exec.Command(p.binary, "--signal", s.Signal(), "--room", "my-users-pool", "--collections", "todos", "--data", p.data)
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

// kill ends it without a word.
func (p *peer) kill() {
	if p.running == nil {
		return
	}
	_ = p.running.Process.Kill() // it may have ended by itself
	p.output.Wait()
	_ = p.running.Wait() // says that it was killed
	p.running = nil
}

// stop ends it as an operator does.
func (p *peer) stop() {
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

// await watches the peer's documents until there are so many, or the process ends.
func (p *peer) await(n int) {
	p.t.Helper()
	cmd := exec.Command(p.binary, "watch", "todos", "--initial", "--data", p.data)
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

func (p *peer) call(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(p.binary, append(args, "--data", p.data)...).Output()
	if err != nil {
		p.t.Fatalf("shoal-peer %s: %v", args[0], err)
	}
	return string(out)
}

// TestAlwaysOn has browsers write and leave, and others come when they have gone: they get everything from the peer without a browser.
func TestAlwaysOn(t *testing.T) {
	s := shoalserver.Start(t)
	p := newPeer(t)
	p.run(s)
	a, b := chrome.NewProfile(t).Open(t, nil), chrome.NewProfile(t).Open(t, nil)
	tabA, tabB := open(a, s), open(b, s)
	for i, tab := range []*chrome.Tab{tabA, tabB} {
		tab.Do(`await replicate(); await pool.awaitFirstPeer()`)
		tab.Do(fmt.Sprintf(`await todos.bulkInsert(Array.from({ length: 1000 }, (_, i) => ({ id: '%d-' + i, title: 'of browser %d \ud83d\ude00', done: false })))`, i, i))
	}
	p.await(2000)
	for _, tab := range []*chrome.Tab{tabA, tabB} {
		tab.Do(`for await (const n of todos.count().$) if (n === 2000) break`)
	}
	tabB.Do(`await (await todos.findOne('0-0').exec()).remove(); await pool.awaitInSync()`)
	want := chrome.Eval[string](tabB, digest)
	a.Close()
	b.Close()

	t.Log("all have left; the peer restarts")
	p.stop()
	if got := p.call("get", "todos", "1-7"); !strings.Contains(got, "of browser 1") {
		t.Errorf("the peer has %s", got)
	}
	p.call("put", "todos", `{"id":"note","title":"from the command line","done":true}`)
	p.run(s)

	c := user(t, s)
	c.Do(`await replicate(); for await (const n of todos.count().$) if (n === 2000) break; await pool.awaitInSync()`)
	c.Do(`for await (const d of todos.findOne('note').$) if (d && d.title === 'from the command line') break`)
	c.Do(`await (await todos.findOne('note').exec()).remove()`)
	if got := chrome.Eval[string](c, digest); got != want {
		t.Errorf("the new browser has %s, want %s", got, want)
	}
	if got := chrome.Eval[[]string](c, `errors`); len(got) > 0 {
		t.Errorf("errors: %q", got)
	}
}

// TestPeerKilledInFirstSync kills the peer while it takes what a browser has, and starts it again.
func TestPeerKilledInFirstSync(t *testing.T) {
	s := shoalserver.Start(t)
	p := newPeer(t)
	tab := user(t, s)
	tab.Do(insertMany)
	tab.Do(`await replicate()`)
	for _, n := range []int{1, 3000, 6000} {
		p.run(s)
		p.await(n)
		p.kill()
		t.Logf("killed with %s", strings.TrimSpace(p.call("ls")))
	}
	p.run(s)
	p.await(10000)
	tab.Do(`await pool.awaitInSync()`)
	want := chrome.Eval[string](tab, digest)
	tab.Close()

	other := user(t, s)
	other.Do(`await replicate(); for await (const n of todos.count().$) if (n === 10000) break`)
	if got := chrome.Eval[string](other, digest); got != want {
		t.Errorf("a browser that has met the peer alone has %s, want %s", got, want)
	}
	if got := p.call("verify"); !strings.Contains(got, "10000 documents") || !strings.Contains(got, "all good") {
		t.Errorf("verify says %s", got)
	}
}
