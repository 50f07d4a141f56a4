// Package rxdb tests replication with the real RxDB, in headless Chromium: npm ci in this folder, and make build, come first.
package rxdb

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalnative"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/rxdb"
	"github.com/shoaldb/shoal/shared/store"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// patience bounds waits. What takes so long does not come.
const patience = shoalnative.Patience

const topic = shoalnative.Topic

// versions names the packages that the tests run against, as they are installed.
func versions(t testing.TB) string {
	t.Helper()
	var names []string
	for _, name := range []string{"rxdb", "simple-peer"} {
		data, err := os.ReadFile(filepath.Join("node_modules", name, "package.json"))
		if err != nil {
			t.Fatalf("%v: run npm ci in e2e/rxdb", err)
		}
		var p struct{ Version string }
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		names = append(names, name+"@"+p.Version)
	}
	return strings.Join(names, ",")
}

// bundle builds the page's script.
func bundle(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client.js")
	if out, err := exec.Command("node", "build.mjs", file).CombinedOutput(); err != nil {
		t.Fatalf("bundle RxDB: %v\n%s", err, out)
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// load puts RxDB into a tab's page.
func load(tab *chrome.Tab, script string) {
	text, _ := json.Marshal(script) // of a string
	tab.Do(`await import(URL.createObjectURL(new Blob([` + string(text) + `], { type: 'text/javascript' })))`)
	tab.Wait(`globalThis.rxReady === true`)
}

// page opens a tab with RxDB in it.
func page(b *chrome.Browser, s *shoalserver.Server, script string) *chrome.Tab {
	tab := b.Tab(s.URL("/healthz"))
	load(tab, script)
	return tab
}

// tokenFor returns a storage token with which a Shoal replica is master, or fork, towards RxDB.
func tokenFor(rxToken string, master bool) string {
	for i := 0; ; i++ {
		if token := fmt.Sprintf("shoal%d", i); rxdb.IsMaster(token, rxToken) == master {
			return token
		}
	}
}

// native is a Go program that replicates with RxDB clients.
type native struct {
	*shoalnative.Replica
	t testing.TB
}

func openNative(t testing.TB, s *shoalserver.Server, dir, token string, handler collection.Handler) *native {
	t.Helper()
	return &native{shoalnative.Open(t, s, dir, &shoalnative.Options{
		Handler: handler, RxDB: &pool.RxDBOptions{Token: token, AlwaysOn: true}, RetryTime: time.Second,
	}), t}
}

func (n *native) put(body string) {
	n.t.Helper()
	if _, err := n.Upsert(n.t.Context(), []byte(body)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *native) remove(id string) {
	n.t.Helper()
	if _, err := n.Remove(n.t.Context(), id); err != nil {
		n.t.Fatal(err)
	}
}

func (n *native) sync() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	if err := n.Pool.AwaitInSync(ctx); err != nil {
		n.t.Fatalf("await in sync: %v, peers %+v", err, n.Pool.Peers())
	}
}

// contents is what a side holds: by id, the other fields.
type contents map[string]map[string]any

func (n *native) all() contents {
	n.t.Helper()
	all := make(contents)
	for d := range n.All() {
		var fields map[string]any
		if err := json.Unmarshal(d.Body, &fields); err != nil {
			n.t.Fatal(err)
		}
		delete(fields, "id")
		all[d.ID] = fields
	}
	return all
}

func (n *native) gone(id string) {
	n.t.Helper()
	n.Until(id+" deleted", func() bool {
		_, ok := n.Get(id)
		return !ok
	})
}

// same waits until both sides hold the same, and checks that they keep it so without writing any more.
func same(t *testing.T, n *native, tab *chrome.Tab) contents {
	t.Helper()
	n.sync()
	deadline := time.Now().Add(patience)
	for {
		want := n.all()
		got := chrome.Eval[contents](tab, `rx.all()`)
		if reflect.DeepEqual(got, want) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("RxDB and the native replica differ: %s", difference(got, want))
		}
		pause(tab, 50+len(want)/10)
	}
}

// pause lets a page work for so many milliseconds.
func pause(tab *chrome.Tab, ms int) {
	chrome.Eval[bool](tab, fmt.Sprintf(`new Promise((resolve) => setTimeout(() => resolve(true), %d))`, ms))
}

func difference(rx, native contents) string {
	var parts []string
	for id, fields := range native {
		if !reflect.DeepEqual(rx[id], fields) && len(parts) < 5 {
			parts = append(parts, fmt.Sprintf("%s: RxDB %.80v, native %.80v", id, rx[id], fields))
		}
	}
	for id, fields := range rx {
		if native[id] == nil && len(parts) < 5 {
			parts = append(parts, fmt.Sprintf("%s: RxDB %.80v, native nothing", id, fields))
		}
	}
	return fmt.Sprintf("%d and %d documents; %s", len(rx), len(native), strings.Join(parts, "; "))
}

// roles are the two parts that the Shoal replica can have.
var roles = []struct {
	name   string
	master bool
}{{"Shoal-is-master", true}, {"Shoal-is-fork", false}}

func setOffline(tab *chrome.Tab) { tab.Do(`await rx.offline()`) }

func goOnline(tab *chrome.Tab, s *shoalserver.Server) {
	tab.Do(fmt.Sprintf(`await rx.replicate(%q)`, "ws://127.0.0.1:"+s.Port()+"/"))
}

// checkRole checks which part RxDB has.
func checkRole(t *testing.T, tab *chrome.Tab, master bool) {
	t.Helper()
	want := "master"
	if master {
		want = "fork"
	}
	tab.Do(`await rx.pool.awaitFirstPeer()`)
	if got := chrome.Eval[string](tab, `rx.role()`); got != want {
		t.Fatalf("RxDB is %s, want %s", got, want)
	}
}

// TestNative replicates between RxDB in Chromium and a Go program on pion and bbolt.
func TestNative(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	for _, storage := range []string{"memory", "dexie"} {
		for _, role := range roles {
			t.Run(strings.Join([]string{name, storage, role.name}, ","), func(t *testing.T) {
				testNative(t, script, storage, role.master)
			})
		}
	}
}

const unicode = `ä 漢字 😀 👩‍👩‍👧 \ud83d \u0000 \u2028`

func testNative(t *testing.T, script, storage string, master bool) {
	s := shoalserver.Start(t)
	dir := t.TempDir()
	browser := chrome.NewProfile(t).Open(t, nil)
	tab := page(browser, s, script)
	begin := fmt.Sprintf(`rx.open({ storage: %q })`, storage)
	token := tokenFor(chrome.Eval[string](tab, begin), master)
	n := openNative(t, s, dir, token, nil)

	t.Log("both have documents when they meet")
	for i := range 150 {
		n.put(fmt.Sprintf(`{"id":"n%d","title":"native %d","n":%d}`, i, i, i))
	}
	tab.Do(`await rx.todos.bulkInsert(Array.from({ length: 150 }, (_, i) => ({ id: 'r' + i, title: 'rxdb ' + i, n: i })))`)
	goOnline(tab, s)
	checkRole(t, tab, master)
	if got := same(t, n, tab); len(got) != 300 {
		t.Fatalf("%d documents, want 300", len(got))
	}

	t.Log("live: inserts, updates, deletes")
	n.put(`{"id":"live","title":"from Go"}`)
	tab.Do(`await rx.until(async () => (await rx.get('live'))?.title === 'from Go')`)
	tab.Do(`await (await rx.todos.findOne('live').exec()).patch({ title: 'from RxDB' })`)
	n.Title("live", "from RxDB")
	n.put(`{"id":"live","title":"from Go again"}`)
	tab.Do(`await rx.until(async () => (await rx.get('live'))?.title === 'from Go again')`)
	tab.Do(`await (await rx.todos.findOne('live').exec()).remove()`)
	n.gone("live")
	tab.Do(`await rx.todos.insert({ id: 'live', title: 'there again' })`)
	n.Title("live", "there again")
	n.remove("live")
	tab.Do(`await rx.until(async () => !(await rx.get('live')))`)

	t.Log("big documents, and all of Unicode, cut into chunks at odd places")
	big := strings.Repeat("😀", 50_000)
	n.put(`{"id":"big","title":"x` + big + `"}`)
	n.put(`{"id":"unicode","title":"` + unicode + `"}`)
	tab.Do(`await rx.until(async () => (await rx.get('big'))?.title === 'x' + '😀'.repeat(50000) && (await rx.get('unicode'))?.title === "` + unicode + `")`)
	tab.Do(`await rx.todos.insert({ id: 'big2', title: 'xy' + '😀漢'.repeat(30000) }); await rx.todos.insert({ id: 'unicode2', title: "` + unicode + `" })`)
	n.Title("big2", "xy"+strings.Repeat("😀漢", 30_000))
	same(t, n, tab)

	t.Log("offline: both change other documents, and one the same")
	setOffline(tab)
	n.put(`{"id":"n1","title":"while apart"}`)
	n.remove("n2")
	n.put(`{"id":"n150","title":"new"}`)
	n.put(`{"id":"both","title":"new here"}`)
	n.put(`{"id":"r1","title":"changed by Go"}`)
	tab.Do(`
		await (await rx.todos.findOne('r2').exec()).patch({ title: 'while apart' });
		await (await rx.todos.findOne('r3').exec()).remove();
		await rx.todos.insert({ id: 'r150', title: 'new' });
		await rx.todos.insert({ id: 'both', title: 'new there' });
		await (await rx.todos.findOne('r1').exec()).patch({ title: 'changed by RxDB' });
	`)
	goOnline(tab, s)
	got := same(t, n, tab)
	winner := map[bool]string{true: "changed by Go", false: "changed by RxDB"}[master] // the master's, with both default handlers
	if got["n1"]["title"] != "while apart" || got["n2"] != nil || got["n150"] == nil || got["r2"]["title"] != "while apart" ||
		got["r3"] != nil || got["r150"] == nil || got["r1"]["title"] != winner {
		t.Errorf("after being apart: n1 %v, n2 %v, n150 %v, r1 %v, r2 %v, r3 %v, r150 %v", got["n1"], got["n2"], got["n150"], got["r1"], got["r2"], got["r3"], got["r150"])
	}

	t.Log("the native program restarts")
	n.Stop()
	tab.Do(`await (await rx.todos.findOne('r4').exec()).patch({ title: 'while you were away' })`)
	n = openNative(t, s, dir, token, nil)
	n.Title("r4", "while you were away")
	n.put(`{"id":"r4","title":"back"}`)
	tab.Do(`await rx.until(async () => (await rx.get('r4'))?.title === 'back')`)
	same(t, n, tab)

	if storage == "dexie" {
		t.Log("the page is loaded anew")
		setOffline(tab)
		tab.Do(`await (await rx.todos.findOne('r5').exec()).patch({ title: 'before the page went' })`)
		tab.Reload()
		load(tab, script)
		n.put(`{"id":"r6","title":"while the page was away"}`)
		chrome.Eval[string](tab, begin)
		goOnline(tab, s)
		checkRole(t, tab, master)
		n.Title("r5", "before the page went")
		tab.Do(`await rx.until(async () => (await rx.get('r6'))?.title === 'while the page was away')`)
		same(t, n, tab)
	}

	quiet(t, n, tab)
}

// windows is how often quiet looks whether both have come to rest.
const windows = 5

// quiet waits until neither side writes any more for a while. What goes round and round never comes to that.
func quiet(t *testing.T, n *native, tab *chrome.Tab) {
	t.Helper()
	written := func() string {
		var tail store.Position
		n.View(func(v collection.View) { tail = v.Tail() })
		return fmt.Sprintf("the native log is at %d, RxDB at %s", tail, chrome.Eval[string](tab, `rx.revisions()`))
	}
	before, now := "", written()
	for range windows {
		pause(tab, 1500)
		if before, now = now, written(); now == before {
			return
		}
	}
	t.Errorf("both hold the same, and still write: %.200s, then %.200s", before, now)
}
