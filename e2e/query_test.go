package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// people is what the queries of a page are about: documents of 200 bytes.
const people = `
	const shoal = await import('/shoal.js');
	window.open = async () => {
		window.db = await shoal.createDatabase({ name: 'app', storage: 'indexeddb' });
		window.people = (await db.addCollections({ people: { schema: { version: 0, primaryKey: 'id', type: 'object', properties: {
			id: { type: 'string' }, n: { type: 'number' }, city: { type: 'string' }, note: { type: 'string' } }, indexes: ['n', ['city', 'n']] } } })).people;
	};
	window.person = (i) => ({ id: 'p' + String(i).padStart(5, '0'), n: i % 1000, city: 'c' + i % 50, note: 'x'.repeat(140) });
	window.fill = async (from, to) => { await people.bulkInsert(Array.from({ length: to - from }, (_, i) => person(from + i))); };
	window.median = async (times, run) => {
		const took = [];
		for (let i = 0; i < times; i++) {
			await new Promise((resolve) => setTimeout(resolve, 10));
			const start = performance.now();
			await run(i);
			took.push(performance.now() - start);
		}
		return took.sort((a, b) => a - b)[times >> 1];
	};
	window.tasks = [];
	new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
	await open();
`

// TestQueries answers queries on what IndexedDB kept of 50,000 documents, and keeps a result among 10,000 up to date. How long that takes is only
// told.
func TestQueries(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	tab := browser.Tab(s.URL(blank))
	tab.Do(people)
	tab.Do(`await fill(0, 10000)`)
	live := chrome.Eval[struct {
		Median        float64
		Same, Results int
	}](tab, `(async () => {
		let told, results = [];
		people.find({ sort: [{ n: 'asc' }] }).$.subscribe((docs) => { results.push(docs); told?.(); });
		await new Promise((resolve) => told = resolve);
		const took = await median(50, async (i) => {
			const shown = new Promise((resolve) => told = resolve);
			await (await people.findOne(person(i * 7).id).exec()).patch({ n: 2000 - i });
			await shown;
		});
		const [before, after] = results.slice(-2).map((docs) => new Set(docs));
		return { median: took, same: [...after].filter((d) => before.has(d)).length, results: results.at(-1).length };
	})()`)
	if live.Same != 9999 || live.Results != 10000 {
		t.Errorf("after a change the result has %d documents, %d of them the objects of before", live.Results, live.Same)
	}
	tab.Do(`await fill(10000, 50000); tasks.length = 0`)
	tab.Close()

	tab = browser.Tab(s.URL(blank))
	tab.Do(`window.begin = performance.now();` + people + `window.opened = performance.now() - begin`)
	got := chrome.Eval[struct {
		Opened, First, Range, Page, Count, All, Scan float64
		Found                                        []int
		Tasks                                        []float64
	}](tab, `(async () => {
		const exec = (query) => () => people.find(query).exec();
		const range = exec({ selector: { n: { $gte: 500, $lt: 520 } } });
		const page = exec({ selector: { city: 'c7' }, sort: [{ n: 'desc' }], limit: 20 });
		const scan = exec({ selector: { note: { $regex: 'y' } } });
		const count = () => people.count({ selector: { n: { $gte: 500, $lt: 1000 } } }).exec();
		const first = await median(1, range);
		return {
			opened, first, range: await median(20, range), page: await median(20, page), count: await median(20, count), scan: await median(5, scan), all: await median(3, exec()),
			found: [(await range()).length, (await page()).length, await count(), (await scan()).length, (await people.find().exec()).length], tasks,
		};
	})()`)
	for i, want := range []int{1000, 20, 25000, 0, 50000} {
		if got.Found[i] < want-50 || got.Found[i] > want+50 { // 50 have another n
			t.Errorf("query %d found %d documents, want about %d", i, got.Found[i], want)
		}
	}
	t.Logf("10,000 documents, all of them in a sorted live result: a write until it is shown %.1f ms", live.Median)
	t.Logf("50,000 documents: load and open %.0f ms, first indexed query %.0f ms; 1,000 by an index %.1f ms, 20 by a compound one %.1f ms, count %.1f ms, scan with $regex %.0f ms, all %.0f ms; tasks over 50 ms: %.0f",
		got.Opened, got.First, got.Range, got.Page, got.Count, got.Scan, got.All, got.Tasks)
}
