package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestBulkInsert writes 10,000 documents of 200 bytes as an application does, all at once, and reports how long it took and how long the page was
// not to be used. That no task of a page has more than 50 ms is a promise; on a busy machine it cannot be kept, so the figures
// are only told.
func TestBulkInsert(t *testing.T) {
	s := shoalserver.Start(t)
	for _, storage := range []string{"indexeddb", "memory"} {
		t.Run(storage, func(t *testing.T) {
			tab := chrome.NewProfile(t).Open(t, nil).Tab(s.URL(blank))
			got := chrome.Eval[struct {
				Ready, First, Second float64
				Tasks                []float64
				Count                int
			}](tab, `(async () => {
				const tasks = [];
				new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
				let start = performance.now();
				const { createDatabase } = await import('/shoal.js');
				const db = await createDatabase({ name: 'app', storage: '`+storage+`' });
				const ready = performance.now() - start;
				const schema = { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' } } };
				const time = async (name) => {
					const { [name]: todos } = await db.addCollections({ [name]: { schema } });
					const docs = Array.from({ length: 10000 }, (_, i) => ({ id: String(i).padStart(8, '0'), title: 'x'.repeat(160), done: false }));
					await new Promise((resolve) => setTimeout(resolve, 300));
					const start = performance.now();
					await todos.bulkInsert(docs);
					return [performance.now() - start, await todos.count().exec()];
				};
				const [first] = await time('todos');
				const [second, count] = await time('again');
				return { ready, first, second, count, tasks };
			})()`)
			if got.Count != 10000 {
				t.Errorf("there are %d documents", got.Count)
			}
			t.Logf("%s: ready after %.0f ms, 10,000 documents in %.0f ms, again in %.0f ms, tasks over 50 ms: %.0f", storage, got.Ready, got.First, got.Second, got.Tasks)
		})
	}
}
