package e2e

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// tasks notes the tasks of a page that take longer than 50 ms (https://w3c.github.io/longtasks/).
const tasks = `
	window.long = [];
	const longTasks = new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => Math.round(e.duration))));
	longTasks.observe({ type: 'longtask' });
	/** Returns what there was, and begins anew. */
	window.longTasks = async () => {
		await new Promise((resolve) => setTimeout(resolve, 100));
		const found = [...long, ...longTasks.takeRecords().map((e) => Math.round(e.duration))];
		long.length = 0;
		return { count: found.length, longest: Math.max(0, ...found) };
	};
	window.documents = (n, from = 0) => Array.from({ length: n }, (_, i) => ({ id: String(from + i).padStart(8, '0'), title: 'x'.repeat(160), done: false }));
`

type longTasks struct{ Count, Longest int }

// TestLongTasks writes 10,000 documents of 200 bytes as an application does, at once and in single calls, and has them come from a peer, and
// reports how long it took and which tasks were longer than 50 ms. That there are none is a promise; on a busy machine it cannot be kept, so the
// figures are only told.
func TestLongTasks(t *testing.T) {
	s := shoalserver.Start(t)
	writer, reader := user(t, s), user(t, s)
	for _, tab := range []*chrome.Tab{writer, reader} {
		tab.Do(tasks)
	}
	tell := func(what string, tab *chrome.Tab, ms float64) {
		t.Helper()
		got := chrome.Eval[longTasks](tab, `longTasks()`)
		t.Logf("%-55s %5.0f ms, %d tasks over 50 ms, the longest %d ms", what, ms, got.Count, got.Longest)
	}
	ms := chrome.Eval[float64](writer, `(async () => {
		const docs = documents(10000);
		await longTasks();
		const start = performance.now();
		await todos.bulkInsert(docs);
		return performance.now() - start;
	})()`)
	tell("one bulkInsert of 10,000", writer, ms)
	arrive := func(n int) float64 {
		reader.Do(`await longTasks()`)
		return chrome.Eval[float64](reader, fmt.Sprintf(`(async () => {
			const start = performance.now();
			if (!window.pool) await replicate();
			for await (const n of todos.count().$) if (n >= %d) break;
			return performance.now() - start;
		})()`, n))
	}
	writer.Do(`await replicate()`)
	ms = arrive(10000)
	tell("10,000 come in a first sync, here", reader, ms)
	tell("and there", writer, 0)

	reader.Do(`await longTasks()`)
	ms = chrome.Eval[float64](writer, `(async () => {
		const docs = documents(10000, 10000);
		await longTasks();
		const start = performance.now();
		const done = [];
		for (let i = 0; i < docs.length; i += 500) {
			done.push(...docs.slice(i, i + 500).map((d) => todos.insert(d)));
			await new Promise((resolve) => setTimeout(resolve));
		}
		await Promise.all(done);
		return performance.now() - start;
	})()`)
	tell("10,000 inserts, 500 in each turn of the page", writer, ms)

	reader.Wait(`(async () => (await todos.count().exec()) === 20000)()`)
	tell("and where they come live", reader, 0)
	reader.Do(`window.shown = 0; todos.find().$.subscribe((docs) => (shown = docs.length)); await longTasks()`)
	writer.Do(`window.work = todos.bulkInsert(documents(10000, 20000))`)
	ms = arrive(30000)
	reader.Wait(`shown === 30000`)
	tell("10,000 come live, with all shown by a live query, here", reader, ms)
	writer.Do(`await work`)
	tell("and there", writer, 0)
}
