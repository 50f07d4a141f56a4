package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// The figures that these tests tell depend on the machine and on what else it does, so nothing is required of them; that all arrives is.

// TestFirstSync tells how long a browser takes, from the call on, to get 10,000 documents of 200 bytes from another, IndexedDB on both sides.
func TestFirstSync(t *testing.T) {
	s := shoalserver.Start(t)
	a := user(t, s)
	a.Do(insertMany)
	a.Do(`await replicate()`)
	for range 3 {
		b := user(t, s)
		took := chrome.Eval[float64](b, `(async () => {
			const start = performance.now();
			await replicate();
			for await (const n of todos.count().$) if (n === 10000) return performance.now() - start;
		})()`)
		t.Logf("10,000 documents after %.0f ms", took)
		b.Do(`await pool.cancel()`)
	}
}

// TestLiveWrite tells how long a document takes from the call of insert in one browser until the other's change feed has it, both
// having stored it.
func TestLiveWrite(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	const writes = 300
	b.Do(`
		window.times = [];
		todos.$.subscribe(({ documentData }) => times.push(performance.timeOrigin + performance.now() - documentData.at));
		await replicate();
	`)
	a.Do(`
		await replicate();
		await pool.awaitFirstPeer();
		await pool.awaitInSync();
		for (let i = 0; i < 300; i++) {
			await todos.insert({ id: String(i), at: performance.timeOrigin + performance.now() });
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
	`)
	b.Wait(`times.length === 300`)
	got := chrome.Eval[[]float64](b, `times.sort((a, b) => a - b)`)
	if len(got) != writes {
		t.Fatalf("%d of %d writes arrived", len(got), writes)
	}
	t.Logf("half of %d writes within %.1f ms, 95 %% within %.1f ms", writes, got[writes/2], got[writes*95/100])
}
