package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestTabs has two tabs of one user, of which one replicates.
func TestTabs(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	first, second := open(browser, s), open(browser, s)
	other := user(t, s)
	other.Do(`await replicate()`)
	first.Do(`await replicate(); await pool.awaitFirstPeer()`)
	second.Do(`await replicate()`)
	if !chrome.Eval[bool](first, `pool.isLeader`) || chrome.Eval[bool](second, `pool.isLeader`) {
		t.Error("the first tab is to replicate, and the second is not")
	}

	t.Log("the standby tab writes and sees what comes")
	second.Do(`await todos.insert({ id: 's', title: 'from the second tab', done: false })`)
	other.Do(`for await (const d of todos.findOne('s').$) if (d) break`)
	other.Do(`await todos.insert({ id: 'o', title: 'from another browser', done: false })`)
	second.Do(`for await (const d of todos.findOne('o').$) if (d) break`)
	first.Do(`for await (const n of todos.count().$) if (n === 2) break`)

	t.Log("both tabs change the same document, again and again; nothing is lost")
	const increment = `
		const d = await todos.findOne('n').exec(true);
		for (let i = 0; i < 25; i++) await d.modify((c) => ({ ...c, n: c.n + 1 }));
	`
	first.Do(`await todos.insert({ id: 'n', n: 0 })`)
	second.Do(`for await (const d of todos.findOne('n').$) if (d) break`)
	second.Do(`window.work = (async () => {` + increment + `})()`)
	first.Do(increment)
	second.Do(`await work`)
	for _, tab := range []*chrome.Tab{first, second, other} {
		tab.Do(`for await (const d of todos.findOne('n').$) if (d?.get('n') === 50) break`)
	}

	t.Log("the tab that replicates is closed; the other takes over")
	first.Close()
	second.Do(`for await (const leads of pool.isLeader$) if (leads) break; await pool.awaitFirstPeer()`)
	second.Do(`await todos.insert({ id: 'after', title: 'the take-over', done: false })`)
	other.Do(`for await (const d of todos.findOne('after').$) if (d) break`)

	t.Log("a tab that crashes gives way, too")
	third := open(browser, s)
	third.Do(`await replicate()`)
	second.Crash()
	third.Do(`for await (const leads of pool.isLeader$) if (leads) break; await pool.awaitFirstPeer()`)
	third.Do(`await pool.cancel()`)
	if chrome.Eval[bool](third, `pool.isLeader`) {
		t.Error("a cancelled pool says that it leads")
	}
}

// TestConflictInStandby has a conflict come up in the tab that replicates; the other one hears of it, too.
func TestConflictInStandby(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	first, second, other := open(browser, s), open(browser, s), user(t, s)
	for _, tab := range []*chrome.Tab{first, second} {
		connect(tab, "", "")
		tab.Do(`window.conflicts = []; pool.conflict$.subscribe((c) => conflicts.push([c.documentId, c.local.title, c.remote.title, c.result.title].join()))`)
	}
	first.Do(`await todos.insert({ id: 'x', title: 'of first' })`)
	other.Do(`await todos.insert({ id: 'x', title: 'of other' })`)
	connect(other, "", "pull: undefined") // so that it comes up in the first browser
	for _, tab := range []*chrome.Tab{first, second} {
		tab.Wait(`conflicts.length > 0`)
		if got := chrome.Eval[string](tab, `conflicts.join('; ')`); got != "x,of first,of other,of other" {
			t.Errorf("conflicts: %s", got)
		}
	}
}

// TestCreatorThatFailsOnce has a tab lead whose first attempt to make the connections fails. The next one counts.
func TestCreatorThatFailsOnce(t *testing.T) {
	s := shoalserver.Start(t)
	tab, other := user(t, s), user(t, s)
	other.Do(`await replicate()`)
	tab.Do(`
		const shoal = await import('/shoal.js');
		const create = shoal.getConnectionHandlerWebRTC('ws://' + location.host + '/signal');
		window.attempts = 0;
		const connectionHandlerCreator = (options) => {
			if (++attempts === 1) throw new Error('mine');
			return create(options);
		};
		const begin = () => shoal.replicateP2P({ collection: todos, topic: 'my-users-pool', pull: {}, push: {}, connectionHandlerCreator });
		window.pool = await begin().catch(begin);
		await pool.awaitFirstPeer();
	`)
	if n := chrome.Eval[int](tab, `attempts`); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

// TestCloseAtOnce closes a database before the browser has said who leads. Who has asked for a pool is answered all the same.
func TestCloseAtOnce(t *testing.T) {
	tab := user(t, shoalserver.Start(t))
	tab.Do(`
		const replicating = replicate();
		await db.close();
		await replicating;
	`)
	if !chrome.Eval[bool](tab, `pool.canceled`) {
		t.Error("the pool is not cancelled")
	}
}

// TestSeed is the program that users of RxDB have, with another import path.
func TestSeed(t *testing.T) {
	s := shoalserver.Start(t)
	const program = `
		import { createDatabase, replicateP2P, getConnectionHandlerSimplePeer } from '/shoal.js';
		const schema = { version: 0, primaryKey: 'id', type: 'object', properties: {
			id: { type: 'string', maxLength: 100 }, title: { type: 'string' }, done: { type: 'boolean' } }, required: ['id', 'title'] };
		const conflictHandler = {
			isEqual: (a, b) => a.title === b.title && a.done === b.done,
			resolve: ({ realMasterState }) => realMasterState,
		};
		const db = await createDatabase({ name: 'app', storage: 'indexeddb' });
		const { todos } = await db.addCollections({ todos: { schema, conflictHandler } });
		await todos.upsert({ id: 't1', title: 'Milk', done: false });
		const rendered = [];
		todos.find({ selector: { done: false }, sort: [{ title: 'asc' }] }).$.subscribe((docs) => rendered.push(docs.map((d) => d.title)));
		const pool = await replicateP2P({
			collection: todos,
			topic: 'my-users-pool',
			connectionHandlerCreator: getConnectionHandlerSimplePeer('ws://' + location.host),
			pull: {},
			push: {},
		});
		const errors = [];
		pool.error$.subscribe((err) => errors.push(err.code));
		pool.peerStates$.subscribe(() => {});
		await pool.awaitFirstPeer();
		await pool.awaitInSync();
		await new Promise((resolve) => (window.finish = resolve)); // who leaves at once may leave the other one waiting
		await pool.cancel();
		window.result = { rendered, errors };
	`
	run := func() *chrome.Tab {
		tab := chrome.NewProfile(t).Open(t, nil).Tab(s.URL(blank))
		tab.Do("const script = document.createElement('script'); script.type = 'module'; script.textContent = `" + program + "`; document.body.append(script);")
		return tab
	}
	a, b := run(), run()
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Wait(`window.finish`)
	}
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Do(`finish()`)
		tab.Wait(`window.result`)
		got := chrome.Eval[struct {
			Rendered [][]string
			Errors   []string
		}](tab, `result`)
		if len(got.Rendered) == 0 || len(got.Rendered[len(got.Rendered)-1]) != 1 || len(got.Errors) > 0 {
			t.Errorf("rendered %v, errors %v", got.Rendered, got.Errors)
		}
	}
}
