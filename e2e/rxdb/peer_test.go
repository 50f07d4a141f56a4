package rxdb

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// startPeer builds and starts the headless replica. It ends with the test, or when stop is called.
func startPeer(t *testing.T, binary string, s *shoalserver.Server, dir string) (stop func()) {
	t.Helper()
	cmd := exec.Command(binary, "--signal", s.Signal(), "--room", topic, "--collections", "todos", "--rxdb", "todos", "--data", dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log sync.WaitGroup
	ready := make(chan struct{})
	log.Go(func() {
		once := sync.OnceFunc(func() { close(ready) })
		defer once()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.Logf("peer: %s", lines.Text())
			if strings.Contains(lines.Text(), "msg=replicating") {
				once()
			}
		}
	})
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		log.Wait()
		_ = cmd.Wait() // says that it was killed
	})
	t.Cleanup(stop)
	<-ready
	return stop
}

// TestHeadlessReplica: an RxDB client writes and leaves; the replica is killed and starts again; another client, and a page with Shoal, get
// everything from it.
func TestHeadlessReplica(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	t.Run(name, func(t *testing.T) {
		s := shoalserver.Start(t)
		binary := filepath.Join(t.TempDir(), "shoal-peer")
		build := exec.Command("go", "build", "-o", binary, "./peer")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build ./peer: %v\n%s", err, out)
		}
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		kill := startPeer(t, binary, s, dir)
		browser := chrome.NewProfile(t).Open(t, nil)
		writer := page(browser, s, script)
		chrome.Eval[string](writer, `rx.open()`)
		goOnline(writer, s)
		writer.Do(`await rx.pool.awaitFirstPeer(); await rx.todos.bulkInsert(Array.from({ length: 500 }, (_, i) => ({ id: 'd' + i, title: 'title ' + i })))`)
		reader := page(browser, s, script)
		chrome.Eval[string](reader, `rx.open({ name: 'other' })`)
		goOnline(reader, s)
		reader.Do(`await rx.until(async () => (await rx.count()) === 500)`)
		setOffline(writer)
		setOffline(reader)
		kill()
		startPeer(t, binary, s, dir)
		later := page(browser, s, script)
		chrome.Eval[string](later, `rx.open({ name: 'later' })`)
		goOnline(later, s)
		later.Do(`await rx.until(async () => (await rx.count()) === 500)`)
		if got := chrome.Eval[string](later, `rx.get('d499').then((d) => d.title)`); got != "title 499" {
			t.Errorf("the last has the title %q", got)
		}
		tab := browser.Tab(s.URL("/healthz"))
		tab.Do(shoalSetup)
		tab.Do(fmt.Sprintf(`const pool = await (await import('/shoal.js')).replicateP2P({
			collection: todos, topic: %q, pull: {}, push: {},
			connectionHandlerCreator: (await import('/shoal.js')).getConnectionHandlerSimplePeer('ws://' + location.host + '/signal'),
		}); for await (const n of todos.count().$) if (n === 500) break; await pool.cancel(); await db.close()`, topic))
	})
}
