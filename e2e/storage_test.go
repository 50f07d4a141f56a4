package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// records looks at what a database has in IndexedDB.
const records = `
	window.records = async (use) => {
		const request = indexedDB.open('shoal/app');
		await new Promise((resolve) => (request.onsuccess = resolve));
		const t = request.result.transaction('records', use ? 'readwrite' : 'readonly');
		const done = new Promise((resolve) => (t.oncomplete = resolve));
		const keys = await new Promise((resolve) => (t.objectStore('records').getAllKeys().onsuccess = (e) => resolve(e.target.result)));
		use?.(t.objectStore('records'), keys);
		await done;
		request.result.close();
		return keys.length;
	};
`

// TestGroupCommit looks at the transactions of many writes that do not wait for one another.
func TestGroupCommit(t *testing.T) {
	tab := chrome.NewProfile(t).Open(t, nil).Tab(shoalserver.Start(t).URL(blank))
	tab.Do(withinWorker(`
		let commits = 0;
		const { transaction } = IDBDatabase.prototype;
		IDBDatabase.prototype.transaction = function (...args) {
			commits += args[1] === 'readwrite';
			return transaction.apply(this, args);
		};
		const channel = new BroadcastChannel('commits');
		channel.onmessage = () => channel.postMessage(commits);
	`) + `
		const channel = new BroadcastChannel('commits');
		window.commits = () => new Promise((resolve) => {
			channel.onmessage = ({ data }) => resolve(data);
			channel.postMessage('how many?');
		});
		window.asked = 0;
		navigator.storage.persist = async () => { asked++; return true; };
	` + setup)
	got := chrome.Eval[int](tab, `(async () => {
		const before = await commits();
		await Promise.all(Array.from({ length: 1000 }, (_, i) => todos.insert({ id: 'd' + i })));
		return await commits() - before;
	})()`)
	if got == 0 || got > 20 {
		t.Errorf("1,000 writes of one turn of the page took %d transactions", got)
	}
	if n := chrome.Eval[int](tab, `asked`); n != 1 {
		t.Errorf("the browser was asked %d times to keep the storage", n)
	}
}

// TestQuota fills what the browser lets an origin store.
func TestQuota(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	tab := browser.Tab(s.URL(blank))
	tab.Quota(4 << 20) // now: the browser remembers for a while how much it may still let in
	tab.Do(setup + `await todos.insert({ id: 'before', title: 'Milk' })`)
	got := chrome.Eval[struct{ Written, Refused, Others, Held int }](tab, `(async () => {
		const documents = Array.from({ length: 4000 }, (_, i) => ({ id: 'd' + i, title: String(i).repeat(1000) }));
		let written = 0, refused = 0, others = 0;
		for (let i = 0; i < documents.length; i += 500) {
			const { success, error } = await todos.bulkInsert(documents.slice(i, i + 500));
			written += success.length;
			refused += error.filter(({ code }) => code === 'quota').length;
			others += error.filter(({ code }) => code !== 'quota').length;
		}
		return { written, refused, others, held: await todos.count().exec() };
	})()`)
	t.Logf("%+v", got)
	if got.Written == 0 || got.Refused == 0 || got.Others > 0 || got.Written+got.Refused != 4000 || got.Held != got.Written+1 {
		t.Errorf("of 4,000 documents and one: %+v", got)
	}
	tab.Quota(-1)
	tab.Do(`
		await todos.insert({ id: 'after', title: 'Bread' });
		const { title } = await todos.findOne('before').exec(true);
		if (title !== 'Milk') throw new Error('before is ' + title);
	`)
	other := open(browser, s)
	if n := chrome.Eval[int](other, `todos.count().exec()`); n != got.Held+1 {
		t.Errorf("a tab that reads the log anew has %d documents, want %d", n, got.Held+1)
	}
}

// TestCompaction has a log made smaller under another tab, which is to notice nothing of it.
func TestCompaction(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	writer, other := open(browser, s), open(browser, s)
	writer.Do(records + `for (let i = 0; i < 150; i++) await todos.upsert({ id: 'd' + i % 10, title: i + ' ' + 'x'.repeat(500) })`)
	other.Do(`
		for await (const d of todos.findOne('d9').$) if (d?.title.startsWith('149 ')) break;
		window.events = 0;
		todos.$.subscribe(() => events++);
		window.before = await titles();
	`)
	writer.Do(`window.compacted = false; (async () => { const full = await records(); while (await records() > full / 2) await new Promise((r) => setTimeout(r, 200)); compacted = true; })()`)
	writer.Wait(`compacted`)
	if n := chrome.Eval[int](other, `events`); n != 0 {
		t.Errorf("the other tab was told of %d changes", n)
	}
	if !chrome.Eval[bool](other, `titles().then((t) => t === before)`) {
		t.Error("the other tab reads something else than before")
	}
	other.Do(`await todos.upsert({ id: 'd3', title: 'new' })`)
	writer.Do(`for await (const d of todos.findOne('d3').$) if (d.title === 'new') break`)
	third := open(browser, s)
	for _, tab := range []*chrome.Tab{writer, other} {
		if want, got := chrome.Eval[string](third, `titles()`), chrome.Eval[string](tab, `titles()`); got != want {
			t.Errorf("a tab has %q, one that reads the log anew %q", got, want)
		}
	}
}

// TestDamage turns a bit of a record over.
func TestDamage(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	tab, peer := open(browser, s), user(t, s)
	tab.Do(records + `
		await todos.insert({ id: 'a', title: 'first' });
		await todos.insert({ id: 'b', title: 'second' });
		await replicate()
	`)
	peer.Do(`await replicate(); for await (const n of todos.count().$) if (n === 2) break`)
	tab.Do(`
		await db.close();
		let damaged = 0;
		await records((store, keys) => {
			for (const key of keys) {
				store.get(key).onsuccess = ({ target: { result } }) => {
					if (!(result instanceof Uint8Array)) return; // a mark
					const at = new TextDecoder('latin1').decode(result).indexOf('second');
					if (at < 0) return;
					result[at] ^= 4;
					store.put(result, key);
				};
			}
		});
	`)
	tab.Close()
	after := browser.Tab(s.URL(blank))
	after.Do(`window.told = [];` + again)
	if got := chrome.Eval[string](after, `titles()`); got != "a first" {
		t.Errorf("with a damaged record there is %q", got)
	}
	after.Wait(`told.length === 1 && told[0].startsWith('damaged: ')`)
	after.Do(`await replicate(); for await (const n of todos.count().$) if (n === 2) break`)
	if got := chrome.Eval[string](after, `titles()`); got != "a first, b second" {
		t.Errorf("healed by a peer, there is %q", got)
	}
}

// again is setup with somebody who listens to errors.
const again = `
	const { createDatabase, replicateP2P, getConnectionHandlerSimplePeer } = await import('/shoal.js');
	window.db = await createDatabase({ name: 'app', storage: 'indexeddb' });
	db.error$.subscribe((error) => told.push(error.code + ': ' + error.message));
	window.schema = { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' }, title: { type: 'string' }, done: { type: 'boolean' } } };
	window.todos = (await db.addCollections({ todos: { schema } })).todos;
	window.replicate = () => replicateP2P({
		collection: todos, topic: 'my-users-pool', connectionHandlerCreator: getConnectionHandlerSimplePeer('ws://' + location.host + '/signal'), pull: {}, push: {},
	});
	window.titles = async () => (await todos.find().exec()).map((d) => d.id + ' ' + d.title).join(', ');
`
