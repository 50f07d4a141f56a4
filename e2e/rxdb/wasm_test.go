package rxdb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// shoalSetup is what a page with Shoal begins with: a database, and a function that begins to replicate, with a storage token.
const shoalSetup = `
	const shoal = await import('/shoal.js');
	window.db = await shoal.createDatabase({ name: 'app', storage: 'indexeddb' });
	window.schema = { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' }, title: { type: 'string' }, n: { type: 'number' }, done: { type: 'boolean' } } };
	window.todos = (await db.addCollections({ todos: { schema } })).todos;
	window.errors = [];
	window.replicate = async (token) => {
		window.pool = await shoal.replicateP2P({
			collection: todos, topic: 'my-users-pool', pull: {}, push: {}, retryTime: 1000, rxdb: { token },
			connectionHandlerCreator: shoal.getConnectionHandlerSimplePeer('ws://' + location.host + '/signal'),
		});
		pool.error$.subscribe((error) => errors.push(error.code + ': ' + error.message));
	};
	window.all = async () => Object.fromEntries((await todos.find().exec()).map((d) => { const { id, ...rest } = d.toJSON(); return [id, rest]; }));
	window.until = async (id, title) => { for await (const d of todos.findOne(id).$) if ((d?.title ?? null) === title) break; };
`

// shoalPage opens a tab with Shoal in it.
func shoalPage(b *chrome.Browser, s *shoalserver.Server) *chrome.Tab {
	tab := b.Tab(s.URL("/healthz"))
	tab.Do(shoalSetup)
	return tab
}

// TestWasm replicates between RxDB and Shoal, each in a browser of its own.
func TestWasm(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	for _, storage := range []string{"memory", "dexie"} {
		for _, role := range roles {
			t.Run(strings.Join([]string{name, storage, role.name}, ","), func(t *testing.T) {
				testWasm(t, script, storage, role.master)
			})
		}
	}
}

func testWasm(t *testing.T, script, storage string, master bool) {
	s := shoalserver.Start(t)
	rx := page(chrome.NewProfile(t).Open(t, nil), s, script)
	token := tokenFor(chrome.Eval[string](rx, fmt.Sprintf(`rx.open({ storage: %q })`, storage)), master)
	profile := chrome.NewProfile(t)
	browser := profile.Open(t, nil)
	tab := shoalPage(browser, s)
	start := fmt.Sprintf(`await replicate(%q); await pool.awaitFirstPeer()`, token)

	t.Log("both have documents when they meet")
	tab.Do(`await todos.bulkInsert(Array.from({ length: 100 }, (_, i) => ({ id: 's' + i, title: 'shoal ' + i, n: i })))`)
	rx.Do(`await rx.todos.bulkInsert(Array.from({ length: 100 }, (_, i) => ({ id: 'r' + i, title: 'rxdb ' + i, n: i })))`)
	goOnline(rx, s)
	tab.Do(start)
	checkRole(t, rx, master)
	if got := sameInPages(t, rx, tab); len(got) != 200 {
		t.Fatalf("%d documents, want 200", len(got))
	}
	if !chrome.Eval[bool](tab, `[...pool.peerStates$.value.values()].every((p) => p.rxdb && p.state === 'open' && p.replicaId === undefined)`) {
		t.Error("the peer is not told to be an RxDB client")
	}

	t.Log("live: inserts, updates, deletes, Unicode, big documents")
	tab.Do(`await todos.insert({ id: 'live', title: 'from Shoal' })`)
	rx.Do(`await rx.until(async () => (await rx.get('live'))?.title === 'from Shoal')`)
	rx.Do(`await (await rx.todos.findOne('live').exec()).patch({ title: 'from RxDB' })`)
	tab.Do(`await until('live', 'from RxDB')`)
	tab.Do(`await (await todos.findOne('live').exec()).patch({ title: 'from Shoal again' })`)
	rx.Do(`await rx.until(async () => (await rx.get('live'))?.title === 'from Shoal again')`)
	rx.Do(`await (await rx.todos.findOne('live').exec()).remove()`)
	tab.Do(`await until('live', null)`)
	rx.Do(`await rx.todos.insert({ id: 'live', title: 'there again' })`)
	tab.Do(`await until('live', 'there again')`)
	tab.Do(`await (await todos.findOne('live').exec()).remove()`)
	rx.Do(`await rx.until(async () => !(await rx.get('live')))`)
	tab.Do(`await todos.insert({ id: 'big', title: 'x' + '😀'.repeat(50000) })`)
	rx.Do(`await rx.todos.insert({ id: 'big2', title: 'xy' + '😀漢'.repeat(30000) }); await rx.todos.insert({ id: 'unicode', title: "` + unicode + `" })`)
	rx.Do(`await rx.until(async () => (await rx.get('big'))?.title === 'x' + '😀'.repeat(50000))`)
	tab.Do(`await until('big2', 'xy' + '😀漢'.repeat(30000)); await until('unicode', "` + unicode + `")`)
	sameInPages(t, rx, tab)

	t.Log("offline: both change other documents, and one the same; the page with Shoal is loaded anew meanwhile")
	setOffline(rx)
	tab.Do(`await (await todos.findOne('s1').exec()).patch({ title: 'while apart' }); await (await todos.findOne('s2').exec()).remove()`)
	tab.Do(`await (await todos.findOne('r1').exec()).patch({ title: 'changed by Shoal' })`)
	rx.Do(`
		await (await rx.todos.findOne('r2').exec()).patch({ title: 'while apart' });
		await (await rx.todos.findOne('r3').exec()).remove();
		await (await rx.todos.findOne('r1').exec()).patch({ title: 'changed by RxDB' });
	`)
	tab.Do(`await pool.cancel(); await db.close()`)
	browser.Close()
	tab = shoalPage(profile.Open(t, nil), s)
	goOnline(rx, s)
	tab.Do(start)
	got := sameInPages(t, rx, tab)
	winner := map[bool]string{true: "changed by Shoal", false: "changed by RxDB"}[master]
	if got["s1"]["title"] != "while apart" || got["s2"] != nil || got["r2"]["title"] != "while apart" || got["r3"] != nil || got["r1"]["title"] != winner {
		t.Errorf("after being apart: s1 %v, s2 %v, r1 %v, r2 %v, r3 %v", got["s1"], got["s2"], got["r1"], got["r2"], got["r3"])
	}
	if errs := chrome.Eval[[]string](tab, `errors`); len(errs) > 0 {
		t.Errorf("Shoal tells errors: %v", errs)
	}
	tab.Do(`await pool.cancel(); await db.close()`)
}

// sameInPages waits until both pages hold the same.
func sameInPages(t *testing.T, rx, shoal *chrome.Tab) contents {
	t.Helper()
	shoal.Do(`await pool.awaitInSync()`)
	deadline := time.Now().Add(patience)
	for {
		a, b := chrome.Eval[string](rx, `rx.text()`), chrome.Eval[string](shoal, `all().then(window.canonical ??= (all) => JSON.stringify(Object.keys(all).sort().map((id) => [id, Object.entries(all[id]).sort(([a], [b]) => a < b ? -1 : 1)])))`)
		if a == b {
			return chrome.Eval[contents](rx, `rx.all()`)
		}
		if time.Now().After(deadline) {
			t.Fatalf("RxDB and Shoal differ: %s", difference(chrome.Eval[contents](rx, `rx.all()`), chrome.Eval[contents](shoal, `all()`)))
		}
		pause(rx, 50)
	}
}
