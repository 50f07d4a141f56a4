package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// insertMany writes 10,000 documents.
const insertMany = `
	await todos.bulkInsert(Array.from({ length: 10000 }, (_, i) => ({ id: String(i).padStart(6, '0'), title: 'x'.repeat(160), done: false })));
`

// digest is something that two collections have in common when they hold the same.
const digest = `todos.find().exec().then(async (docs) => docs.length + ' ' + Array.from(new Uint8Array(
	await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(docs)))), (b) => b.toString(16).padStart(2, '0')).join(''))`

// TestTenThousand inserts many documents in one browser; they arrive in another, which shows how far it is.
func TestTenThousand(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	b.Do(`
		window.seen = [];
		await replicate();
		pool.progress$.subscribe(({ received, remaining }) => seen.push([received, remaining]));
	`)
	a.Do(insertMany)
	a.Do(`await replicate(); await pool.awaitInSync()`)
	b.Do(`await pool.awaitInSync(); for await (const p of pool.progress$) if (p.received === 10000) break`)
	if got, want := chrome.Eval[string](b, digest), chrome.Eval[string](a, digest); got != want {
		t.Errorf("b has %s, a has %s", got, want)
	}
	seen := chrome.Eval[[][2]int](b, `seen`)
	between := 0
	for _, p := range seen {
		if p[0] > 0 && p[1] > 0 {
			between++
		}
	}
	if between == 0 {
		t.Errorf("no progress between nothing and all: %v", seen)
	}
}

// TestKilledInFirstSync ends the renderer of a browser that is in the middle of receiving many documents, and then that of the one that sends
// them.
func TestKilledInFirstSync(t *testing.T) {
	s := shoalserver.Start(t)
	a := chrome.NewProfile(t).Open(t, nil)
	tabA := open(a, s)
	tabA.Do(insertMany)
	tabA.Do(`await replicate()`)
	want := chrome.Eval[string](tabA, digest)

	tabB := killedReceiver(t, s)
	tabB.Do(`
		const enough = Math.min(10000, await todos.count().exec() + 500);
		await replicate();
		for await (const n of todos.count().$) if (n >= enough) break;
	`)
	tabA.Crash()
	tabA = open(a, s)
	tabA.Do(`await replicate()`)
	if got := chrome.Eval[string](tabA, digest); got != want {
		t.Errorf("after the crash the sender has %s, had %s", got, want)
	}
	tabB.Do(`for await (const n of todos.count().$) if (n === 10000) break; await pool.awaitInSync()`)
	if got := chrome.Eval[string](tabB, digest); got != want {
		t.Errorf("the receiver has %s, want %s", got, want)
	}
}

// killedReceiver opens a browser whose renderer was ended when it had some of the 10,000 documents, and not all. Where
// it was too quick, another one tries.
func killedReceiver(t *testing.T, s *shoalserver.Server) *chrome.Tab {
	t.Helper()
	for range 10 {
		browser := chrome.NewProfile(t).Open(t, nil)
		tab := open(browser, s)
		tab.Do(`await replicate(); for await (const n of todos.count().$) if (n >= 1000) break`)
		tab.Crash()
		tab = open(browser, s)
		n := chrome.Eval[int](tab, `todos.count().exec()`)
		if n < 1000 {
			t.Fatalf("of 1000 documents that it showed the receiver has %d after the crash", n)
		}
		if n < 10000 {
			t.Logf("the receiver was killed with %d documents", n)
			return tab
		}
		browser.Close()
	}
	t.Fatal("no receiver was killed in the middle")
	return nil
}

// TestKilledWhileWriting ends the renderer in the middle of writing. What was acknowledged is there afterwards, and no part of a document.
func TestKilledWhileWriting(t *testing.T) {
	s := shoalserver.Start(t)
	b := chrome.NewProfile(t).Open(t, nil)
	for round := range 3 {
		tab := open(b, s)
		before := chrome.Eval[int](tab, `todos.count().exec()`)
		tab.Do(`
			window.done = 0;
			(async () => {
				for (let i = 0; ; i++) {
					await todos.insert({ id: '` + string(rune('a'+round)) + `' + String(i).padStart(6, '0'), title: 'x'.repeat(1000), done: true });
					done = i + 1;
				}
			})();
		`)
		tab.Wait(`done > 50`)
		done := chrome.Eval[int](tab, `done`)
		tab.Crash()
		tab = open(b, s)
		got := chrome.Eval[struct{ Count, Whole int }](tab, `todos.find().exec().then((docs) => ({
			count: docs.length, whole: docs.filter((d) => d.title.length === 1000 && d.done).length,
		}))`)
		if got.Count < before+done || got.Whole != got.Count {
			t.Errorf("%d documents were acknowledged; %d are there, %d of them whole", before+done, got.Count, got.Whole)
		}
		tab.Close()
	}
}
