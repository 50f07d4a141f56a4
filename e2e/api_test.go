package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// writing uses everything of the API that reads and writes, and returns what it saw.
const writing = `(async () => {
	const { list } = await db.addCollections({ list: { schema } });
	const events = [];
	list.$.subscribe(({ operation, documentId }) => events.push(operation + ' ' + documentId));
	const saw = {};
	const milk = await list.insert({ id: '1', title: 'Milk', done: false });
	saw.toJSON = JSON.stringify(milk.toJSON());
	saw.bulkInsert = (await list.bulkInsert([{ id: '2', title: 'Bread', done: true }, { id: '1', title: 'again' }])).success.length;
	saw.upsert = (await list.upsert({ id: '2', title: 'Rye', done: true })).title;
	saw.findOne = (await list.findOne('2').exec()).title;
	saw.nothing = await list.findOne('3').exec();
	saw.find = (await list.find().exec()).map((d) => d.title).join();
	saw.patch = JSON.stringify((await milk.patch({ done: true })).toJSON());
	saw.count = await list.count().exec();
	saw.remove = (await (await list.findOne('2').exec()).remove()).deleted;
	saw.countAfter = await list.count().exec();
	for await (const n of list.count().$) if (n === 1) break;
	saw.events = events.join();
	return saw;
})()`

// TestWriting runs the reading and writing half of the API in Chromium, with IndexedDB.
func TestWriting(t *testing.T) {
	tab := user(t, shoalserver.Start(t))
	got := chrome.Eval[map[string]any](tab, writing)
	want := map[string]any{
		"toJSON":     `{"id":"1","title":"Milk","done":false}`,
		"bulkInsert": 1.0,
		"upsert":     "Rye",
		"findOne":    "Rye",
		"nothing":    nil,
		"find":       "Milk,Rye",
		"patch":      `{"id":"1","title":"Milk","done":true}`,
		"count":      2.0,
		"remove":     true,
		"countAfter": 1.0,
		"events":     "INSERT 1,INSERT 2,UPDATE 2,UPDATE 1,DELETE 2",
	}
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s: %v, want %v", name, g, w)
		}
	}
}

// TestModernNames replicates with replicateWebRTC and getConnectionHandlerWebRTC, and follows what the pool says of itself.
func TestModernNames(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	a.Do(`await todos.insert({ id: '1', title: 'Milk', done: false })`)
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Do(`
			window.states = [];
			window.ready = import('/shoal.js').then(async ({ replicateWebRTC, getConnectionHandlerWebRTC }) => {
				window.pool = await replicateWebRTC({
					collection: todos, topic: 'modern names', pull: {}, push: {},
					connectionHandlerCreator: getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://' + location.host }),
				});
				pool.error$.subscribe((error) => errors.push(error.message));
				pool.peerStates$.subscribe((peers) => states.push(...[...peers.values()].map(({ state }) => state)));
			});
			await ready;
		`)
	}
	b.Do(`await pool.awaitFirstPeer(); await pool.awaitInSync()`)
	if got := chrome.Eval[string](b, `titles()`); got != "1 Milk" {
		t.Errorf("b has %q", got)
	}
	b.Wait(`states.includes('open')`)
	b.Do(`await pool.cancel()`)
	a.Do(`for await (const peers of pool.peerStates$) if (peers.size === 0) break`)
	for _, tab := range []*chrome.Tab{a, b} {
		if errors := chrome.Eval[[]string](tab, `errors`); len(errors) > 0 {
			t.Errorf("error$ said %q", errors)
		}
	}
	a.Do(`await (await todos.findOne('1').exec()).patch({ title: 'after the end' }); await pool.cancel()`)
	if got := chrome.Eval[string](b, `titles()`); got != "1 Milk" {
		t.Errorf("after cancel b has %q", got)
	}
}

// TestHiddenAddresses replicates as users do, whose browsers show names for mDNS in place of local addresses.
func TestHiddenAddresses(t *testing.T) {
	s := shoalserver.Start(t)
	opts := &chrome.Options{MDNS: true}
	a, b := open(chrome.NewProfile(t).Open(t, opts), s), open(chrome.NewProfile(t).Open(t, opts), s)
	a.Do(`await todos.insert({ id: '1', title: 'Milk', done: false }); await replicate()`)
	b.Do(`await replicate(); await pool.awaitFirstPeer(); await pool.awaitInSync()`)
	if got := chrome.Eval[string](b, `titles()`); got != "1 Milk" {
		t.Errorf("b has %q", got)
	}
}
