package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestFourTabs has four tabs of one profile write to the same documents at once. A write that another one got ahead of must be told, all others
// must be there, and a peer sees one replica.
func TestFourTabs(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	var tabs []*chrome.Tab
	for i := range 4 {
		tab := open(browser, s)
		tab.Do(fmt.Sprintf(`window.me = %d`, i) + contend + `await replicate()`)
		tabs = append(tabs, tab)
	}
	other := user(t, s)
	other.Do(settled + `await replicate(); await pool.awaitFirstPeer()`)
	tabs[0].Do(`await todos.bulkInsert(['x', 'y', 'z'].map((id) => ({ id, n: 0, log: [] })))`)
	for _, tab := range tabs {
		tab.Do(`for await (const n of todos.count().$) if (n === 3) break`)
	}
	for _, tab := range tabs {
		tab.Do(`window.working = contend()`)
	}
	type outcome struct {
		Won, Refused int
		Errors       []string
	}
	won := 0
	for i, tab := range tabs {
		o := chrome.Eval[outcome](tab, `working`)
		if len(o.Errors) > 0 || o.Won+o.Refused != contested {
			t.Errorf("tab %d: %+v, want %d inserts told", i, o, contested)
		}
		won += o.Won
	}
	if won != contested {
		t.Errorf("%d inserts of %d documents were acknowledged", won, contested)
	}
	all := append([]*chrome.Tab{other}, tabs...)
	var first string
	for i, tab := range all {
		tab.Do(fmt.Sprintf(`for await (const docs of todos.find().$) if (settled(docs, %d)) break`, len(tabs)))
		got := chrome.Eval[string](tab, `(async () => JSON.stringify((await todos.find().exec()).map((d) => Object.entries(d.toJSON()).sort())))()`)
		if i == 0 {
			first = got
		} else if got != first {
			t.Errorf("replicas differ:\n%s\n%s", first, got)
		}
	}
	oneLeads(t, tabs)
	other.Wait(`pool.peerStates$.value.size === 1`)
}

const contested = 30

// contend works on shared documents as fast as it can. settled looks whether all is there that all tabs were told to have done.
const contend = settled + `
	window.contend = async () => {
		const told = { won: 0, refused: 0, errors: [] };
		const fail = (e) => told.errors.push(String(e.code) + ' ' + String(e.message));
		for (let i = 0; i < 30; i++) {
			const d = await todos.findOne('xyz'[i % 3]).exec(true);
			await Promise.all([
				d.modify((c) => ({ ...c, n: c.n + 1, log: [...c.log, me + '-' + i] })).catch(fail),
				d.patch({ ['from' + me]: i }).catch(fail),
				todos.insert({ id: 'contested' + i, by: me }).then(() => told.won++, (e) => e.code === 'exists' ? told.refused++ : fail(e)),
			]);
		}
		return told;
	};
`

const settled = `
	window.settled = (docs, tabs) => {
		const shared = docs.filter((d) => d.get('log'));
		return docs.length === 33
			&& shared.reduce((sum, d) => sum + d.get('n'), 0) === 30 * tabs
			&& shared.every((d) => new Set(d.get('log')).size === d.get('n'))
			&& [...Array(tabs).keys()].every((me) => shared.reduce((sum, d) => sum + d.get('from' + me), 0) === 27 + 28 + 29);
	};
`

// TestTakeOver has the tab that replicates go away in all ways that there are. How long it takes until another replicates is told; that it does
// is the test.
func TestTakeOver(t *testing.T) {
	s := shoalserver.Start(t)
	for _, c := range []struct {
		name    string
		goes    func(*chrome.Tab)
		returns func(leader, next *chrome.Tab) // nil if it cannot
	}{
		{"closes", func(tab *chrome.Tab) { tab.Close() }, nil},
		{"crashes", func(tab *chrome.Tab) { tab.Crash() }, nil},
		{"freezes", func(tab *chrome.Tab) { tab.Freeze() }, func(leader, _ *chrome.Tab) { leader.Thaw() }},
		{"is busy", func(tab *chrome.Tab) {
			// Cookies are what a page sees of others without a pause.
			tab.Do(`setTimeout(() => {
				while (!document.cookie.includes('free')) for (const end = performance.now() + 50; performance.now() < end;);
				window.free = true;
			})`)
		}, func(leader, next *chrome.Tab) {
			next.Do(`document.cookie = 'free=1'`)
			leader.Wait(`window.free`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			browser := chrome.NewProfile(t).Open(t, nil)
			leader, second, third := open(browser, s), open(browser, s), open(browser, s)
			other := user(t, s)
			other.Do(`await replicate()`)
			leader.Do(`await replicate(); await todos.insert({ id: 'before', title: '' }); await pool.awaitFirstPeer(); await pool.awaitInSync()`)
			self := chrome.Eval[string](leader, `todos.info().then((i) => i.replicaId)`)
			standby := []*chrome.Tab{second, third}
			for _, tab := range standby {
				tab.Do(`await replicate(); window.led = 0; pool.isLeader$.subscribe((leads) => { if (leads) led = Date.now(); })`)
			}
			start := time.Now()
			c.goes(leader)
			gone := time.Since(start)
			next := await(t, standby)
			led := time.UnixMilli(chrome.Eval[int64](next, `led`))
			next.Do(`await pool.awaitFirstPeer(); await todos.insert({ id: 'after', title: '' })`)
			other.Do(`for await (const d of todos.findOne('after').$) if (d) break`)
			t.Logf("another tab replicates %v after the leader began to go, which took %v; what it wrote arrived %v after", led.Sub(start).Round(time.Millisecond),
				gone.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
			if c.returns != nil {
				c.returns(leader, next)
				leader.Do(`for await (const leads of pool.isLeader$) if (!leads) break`)
				leader.Do(`await todos.insert({ id: 'returned', title: '' })`)
				other.Do(`for await (const d of todos.findOne('returned').$) if (d) break`)
				standby = append(standby, leader)
			}
			oneLeads(t, standby)
			if now := chrome.Eval[string](next, `todos.info().then((i) => i.replicaId)`); now != self {
				t.Errorf("the replica took a new id: it was %s and is %s", self, now)
			}
		})
	}
}

// TestFrozen has the browser freeze a tab, as it does to those that nobody looks at for long; what it was in the middle of would hold up all
// others. (Tabs with connections, such as that which replicates, browsers do not freeze.)
func TestFrozen(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	frozen, other := open(browser, s), open(browser, s)
	frozen.Do(`await todos.insert({ id: 'before', title: '' }); await new Promise((resolve) => setTimeout(resolve, 500))`)
	frozen.Freeze()
	other.Do(`await todos.insert({ id: 'meanwhile', title: '' })`)
	frozen.Thaw()
	frozen.Do(`for await (const d of todos.findOne('meanwhile').$) if (d) break`)
	frozen.Do(`await todos.insert({ id: 'after', title: '' })`)
	other.Do(`for await (const d of todos.findOne('after').$) if (d) break`)
}

// patience bounds waits. What takes so long does not come.
const patience = 3 * time.Minute

// await returns the tab that comes to lead.
func await(t *testing.T, tabs []*chrome.Tab) *chrome.Tab {
	t.Helper()
	for start := time.Now(); time.Since(start) < patience; {
		if tabs := leading(tabs); len(tabs) > 0 {
			return tabs[0]
		}
	}
	t.Fatal("no tab has taken over")
	return nil
}

// oneLeads waits until one tab leads, and no other: where all are busy one may just be taking over.
func oneLeads(t *testing.T, tabs []*chrome.Tab) {
	t.Helper()
	n := 0
	for start := time.Now(); time.Since(start) < patience; {
		if n = len(leading(tabs)); n == 1 {
			return
		}
	}
	t.Fatalf("%d tabs replicate in the end", n)
}

// leading returns the tabs that lead after a moment.
func leading(tabs []*chrome.Tab) (found []*chrome.Tab) {
	for _, tab := range tabs {
		if chrome.Eval[bool](tab, `new Promise((resolve) => setTimeout(() => resolve(pool.isLeader), 10))`) {
			found = append(found, tab)
		}
	}
	return found
}
