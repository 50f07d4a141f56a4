package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// migrating opens the people of people under the next version of their schema. Where stuck is set, it gets as far as that document, for good.
const migrating = `
	const shoal = await import('/shoal.js');
	const { jsonSchemaValidator } = await import('/validate.js');
	window.db = await shoal.createDatabase({ name: 'app', storage: 'indexeddb', validator: jsonSchemaValidator });
	window.states = [];
	window.transformed = 0;
	db.migrations$.subscribe((all) => { for (const state of all.values()) states.push(state); });
	const start = performance.now();
	window.migrated = db.addCollections({ people: {
		schema: { version: 1, primaryKey: 'id', type: 'object', properties: {
			id: { type: 'string' }, n: { type: 'number' }, town: { type: 'string' }, note: { type: 'string' } }, required: ['town'], indexes: ['town'] },
		migrationStrategies: { 1: async ({ city, ...rest }) => {
			if (transformed === window.stuck) await new Promise(() => {});
			transformed++;
			return rest.n === 999 ? null : { ...rest, town: city.toUpperCase() };
		} },
	} }).then(({ people }) => { window.people = people; window.took = performance.now() - start; });
	migrated.catch(() => {});
`

// TestMigration migrates 50,000 documents, and kills the page while it is at it.
func TestMigration(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	tab := browser.Tab(s.URL(blank))
	tab.Do(people)
	tab.Do(`await fill(0, 50000)`)

	t.Log("another tab has the next version of the application, and crashes in the middle")
	next := browser.Tab(s.URL(blank))
	next.Do(`window.stuck = 20000;` + migrating)
	next.Wait(`transformed === stuck && states.at(-1)?.handled > 10000`)
	next.Crash()
	tab.Do(`await people.insert({ ...person(50000), city: 'late' })`) // the old one still works

	t.Log("it is opened again, and goes on")
	next = browser.Tab(s.URL(blank))
	next.Do(migrating)
	next.Do(`await migrated`)
	got := chrome.Eval[struct {
		Took                              float64
		Transformed, Count, Towns, States int
		First, Last                       struct {
			Status         string
			Total, Handled int
			Percent        int
		}
		Late string
		Old  int
	}](next, `(async () => ({
		took, transformed, count: await people.count().exec(), towns: await people.count({ selector: { town: 'C7' } }).exec(),
		states: states.length, first: states[0], last: states.at(-1), late: (await people.findOne('p50000').exec()).town,
		old: (await people.find().exec()).filter((d) => d.get('city') !== undefined || d.n === 999).length,
	}))()`)
	if got.Count != 50000-50+1 || got.Towns != 1000 || got.Late != "LATE" || got.Old != 0 {
		t.Errorf("afterwards: %+v", got)
	}
	if got.Transformed >= 41000 || got.Transformed < 10000 {
		t.Errorf("%d documents were transformed after the crash, which was after more than 10,000", got.Transformed)
	}
	if got.First.Status != "RUNNING" || got.Last.Status != "DONE" || got.Last.Handled != got.Last.Total || got.Last.Percent != 100 || got.States < 20 {
		t.Errorf("progress: %+v", got)
	}
	t.Logf("the rest, %d documents, took %.0f ms, validation included", got.Transformed, got.Took)

	t.Log("the tab with the older version cannot write any more, and cannot come back")
	code := chrome.Eval[string](tab, `people.insert(person(50001)).then(() => 'written', (error) => error.code)`)
	if code != "schema" && code != "lost" {
		t.Errorf("a write of the older version: %s", code)
	}
	tab.AllowErrors()
	tab.Reload()
	tab.Do(people[:len(people)-len("	await open();\n")])
	if code := chrome.Eval[string](tab, `open().then(() => 'opened', (error) => error.code)`); code != "schema" {
		t.Errorf("the older version, opened again: %s", code)
	}

	t.Log("a strategy that fails tells which document, and leaves everything for the next try")
	next.Do(`await db.close()`)
	next.Do(`
		const { createDatabase } = await import('/shoal.js');
		window.db = await createDatabase({ name: 'app', storage: 'indexeddb' });
		window.add = (third) => db.addCollections({ people: {
			schema: { version: 2, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' }, n: { type: 'number' }, town: { type: 'string' }, note: { type: 'string' } } },
			migrationStrategies: { 1: (d) => d, 2: third },
		} });
	`)
	message := chrome.Eval[string](next, `add((d) => { if (d.id === 'p30000') throw new RangeError('mine'); return d; }).then(() => '', (error) => error.code + ' ' + error.message)`)
	if want := `callback`; len(message) < len(want) || message[:len(want)] != want {
		t.Errorf("error: %s", message)
	}
	t.Log(message)
	if n := chrome.Eval[int](next, `add((d) => d).then(({ people }) => people.count().exec())`); n != 50000-50+1 {
		t.Errorf("%d documents in the third version", n)
	}
}
