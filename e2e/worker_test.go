package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// withinWorker returns statements of a page that have the library's Worker, once it is made, run others besides its script.
func withinWorker(statements string) string {
	text, err := json.Marshal(";" + statements)
	if err != nil {
		panic(err) // a string always can be
	}
	return `
		window.Worker = class extends Worker {
			constructor(url, options) {
				const script = 'import ' + JSON.stringify(url.href) + ` + string(text) + `;
				super(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), options);
			}
		};`
}

// TestNoWorker replicates between pages that can have no Worker: one is refused, the other's script does not come.
func TestNoWorker(t *testing.T) {
	s := shoalserver.Start(t)
	without := func(statement string) *chrome.Tab {
		tab := chrome.NewProfile(t).Open(t, nil).Tab(s.URL(blank))
		tab.AllowErrors() // of the script that does not come
		tab.Do(`
			window.warnings = [];
			console.warn = (...words) => warnings.push(words.join(' '));
		` + statement + setup)
		if got := chrome.Eval[[]string](tab, `warnings`); len(got) != 1 {
			t.Errorf("it warns of %q", got)
		}
		return tab
	}
	a := without(`window.Worker = class { constructor() { throw new Error('no Workers here'); } };`)
	b := without(`window.Worker = class extends Worker { constructor(_, options) { super('/nothing.js', options); } };`)
	a.Do(`await todos.insert({ id: '1', title: 'Milk' }); await replicate()`)
	b.Do(`await replicate(); for await (const n of todos.count().$) if (n === 1) break`)
}

// TestWorkerCrash breaks the program in its Worker: all that waits and all that follows is rejected.
func TestWorkerCrash(t *testing.T) {
	tab := chrome.NewProfile(t).Open(t, nil).Tab(shoalserver.Start(t).URL(blank))
	tab.AllowErrors() // they are the point
	tab.Do(withinWorker(`
		new BroadcastChannel('break').onmessage = () => {
			crypto.getRandomValues = () => { throw new Error('out of luck'); };
			new BroadcastChannel('broken').postMessage('');
		};
	`) + setup)
	got := chrome.Eval[[]string](tab, `(async () => {
		await replicate();
		const outcome = (promise) => promise.then(() => 'no error', ({ code, message }) => code + (/out of luck/.test(message) ? ' for its reason' : ''));
		const waiting = outcome(pool.awaitFirstPeer());
		const broken = new Promise((resolve) => (new BroadcastChannel('broken').onmessage = resolve));
		new BroadcastChannel('break').postMessage('');
		await broken;
		const adding = outcome(db.addCollections({ more: { schema } })); // it needs random bytes
		return [await adding, await waiting, await outcome(todos.insert({ id: 'a' })), await outcome(todos.find().exec())];
	})()`)
	for i, outcome := range got {
		if outcome != "fatal for its reason" {
			t.Errorf("outcome %d: %s", i, outcome)
		}
	}
}

// TestCrashedLeader breaks the program of the tab that replicates: another tab takes over, and the page that has none any more has no
// connections either.
func TestCrashedLeader(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	leader := browser.Tab(s.URL(blank))
	leader.AllowErrors() // it is the point
	leader.Do(withinWorker(`new BroadcastChannel('break').onmessage = () => { throw new Error('out of luck'); };`) + `
		window.made = [];
		window.RTCPeerConnection = class extends RTCPeerConnection {
			constructor(...args) { super(...args); made.push(this); }
		};
	` + setup)
	next, other := open(browser, s), user(t, s)
	other.Do(`await replicate()`)
	leader.Do(`await replicate(); await pool.awaitFirstPeer()`)
	next.Do(`await replicate()`)
	leader.Do(`new BroadcastChannel('break').postMessage('')`)
	next.Do(`for await (const leads of pool.isLeader$) if (leads) break; await pool.awaitFirstPeer(); await todos.insert({ id: 'after', title: '' })`)
	other.Do(`for await (const d of todos.findOne('after').$) if (d) break`)
	leader.Do(`for await (const leads of pool.isLeader$) if (!leads) break`)
	leader.Wait(`made.length > 0 && made.every((connection) => connection.connectionState === 'closed')`)
	if code := chrome.Eval[string](leader, `todos.insert({ id: 'a', title: '' }).then(() => 'none', (error) => error.code)`); code != "fatal" {
		t.Errorf("the error is %s", code)
	}
}

// TestThrown has a function of the application throw: the very same comes back as the cause of what failed for it.
func TestThrown(t *testing.T) {
	tab := user(t, shoalserver.Start(t))
	tab.Do(`await todos.insert({ id: '1', title: 'Milk' }); await db.close()`)
	got := chrome.Eval[string](tab, `(async () => {
		const shoal = await import('/shoal.js');
		const again = await shoal.createDatabase({ name: 'app', storage: 'indexeddb' });
		class Mishap extends Error {}
		const thrown = new Mishap('a mishap');
		const migrationStrategies = { 1: () => { throw thrown; } };
		const error = await again.addCollections({ todos: { schema: { ...schema, version: 1 }, migrationStrategies } }).then(() => {}, (error) => error);
		let cause = error;
		while (cause && cause !== thrown) cause = cause.cause;
		return [error instanceof shoal.ShoalError, error?.code, cause === thrown].join(' ');
	})()`)
	if want := "true callback true"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestThrownByNobody has a function of the application throw what does not even make a text. The pool is told all the same.
func TestThrownByNobody(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	b.Do(`await replicate()`)
	a.Do(`await todos.insert({ id: '1', title: 'Milk' })`)
	for _, thrown := range []string{`Object.create(null)`, `Object.assign(new Error(), { message: () => {} })`} {
		a.Do(`
			const shoal = await import('/shoal.js');
			const pool = await shoal.replicateP2P({
				collection: todos, topic: 'my-users-pool',
				connectionHandlerCreator: shoal.getConnectionHandlerSimplePeer('ws://' + location.host + '/signal'),
				push: { modifier: () => { throw ` + thrown + `; } },
			});
			for await (const error of pool.error$) if (error.code === 'callback') break;
			await pool.cancel();
		`)
	}
}

// TestRefusedConnection has the page's RTCPeerConnection throw: the documents take the way through the signaling server, and who tried to connect is
// told why.
func TestRefusedConnection(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Do(`window.RTCPeerConnection = class { constructor() { throw new Error('no more of them'); } }; await replicate()`)
	}
	a.Do(`await todos.insert({ id: '1', title: 'Milk' })`)
	b.Do(`for await (const n of todos.count().$) if (n === 1) break`)
	told := 0
	for _, tab := range []*chrome.Tab{a, b} {
		if chrome.Eval[bool](tab, `errors.some((error) => error.includes('no more of them'))`) {
			told++
		}
	}
	if told == 0 {
		t.Error("nobody is told why")
	}
}

// TestBadServers names servers that are none.
func TestBadServers(t *testing.T) {
	got := chrome.Eval[string](user(t, shoalserver.Start(t)), `(async () => {
		const { getConnectionHandlerWebRTC } = await import('/shoal.js');
		try {
			getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://' + location.host, config: { iceServers: [{ urls: 'nonsense' }] } });
		} catch (error) {
			return String(error);
		}
	})()`)
	if !strings.HasPrefix(got, "TypeError: config.iceServers: ") || !strings.Contains(got, "nonsense") {
		t.Errorf("the error is %q", got)
	}
}
