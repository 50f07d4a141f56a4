package e2e

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// crashes is how often TestCrash ends a renderer.
const crashes = 20

// TestCrash ends the renderer of a tab in the middle of its writes, again and again. Another tab of the same profile notes what the
// tab says is written. The next tab that opens the database must find all of that, and nothing that is half written.
func TestCrash(t *testing.T) {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	witness := browser.Tab(s.URL(blank))
	witness.Do(`
		window.heard = {}; // by round and kind of write, how many were done
		new BroadcastChannel('done').onmessage = ({ data: [round, kind, n] }) => {
			(heard[round] ??= { single: 0, bulk: 0, patch: 0, remove: 0 })[kind] = n;
		};
	`)
	open(browser, s).Do(writer + `await todos.insert(make('counter', 0)); await db.close()`)

	total := 0
	for round := 1; round <= crashes; round++ {
		tab := open(browser, s)
		tab.Do(writer + fmt.Sprintf(`write(%d)`, round))
		// Each round ends at another moment, and some in the middle of the first commits.
		witness.Wait(fmt.Sprintf(`Object.values(heard[%d] ?? {}).reduce((a, b) => a + b, 0) > %d`, round, 1+round*17%60))
		tab.Crash()
		heard := chrome.Eval[map[string]int](witness, fmt.Sprintf(`heard[%d]`, round))
		for _, n := range heard {
			total += n
		}
		after := open(browser, s)
		found := chrome.Eval[struct {
			Problems []string
			Held     map[string]int
		}](after, fmt.Sprintf(`(async () => {%s return check(%d, %s); })()`, writer, round, chrome.Eval[string](witness, fmt.Sprintf(`JSON.stringify(heard[%d])`, round))))
		for _, problem := range found.Problems {
			t.Errorf("round %d: %s", round, problem)
		}
		t.Logf("round %2d: heard of %v, found %v", round, heard, found.Held)
		after.Do(`await db.close()`)
		after.Close()
	}
	if total == 0 {
		t.Error("nothing was ever written")
	}
	t.Logf("%d crashes, %d writes that were acknowledged before", crashes, total)
}

// writer has four kinds of writes side by side, each one after the other, and what to expect of them afterwards. In each document, a and b
// must be the same, and the text goes with them.
const writer = `
	window.make = (id, n) => ({ id, a: n, b: n, title: (id + ' ' + n + ' ').repeat(40) });
	window.write = (round) => {
		const channel = new BroadcastChannel('done');
		const loop = async (kind, work) => {
			for (let n = 0; ; n++) {
				await work(n);
				channel.postMessage([round, kind, n + 1]);
			}
		};
		loop('single', (n) => todos.insert(make('single-' + round + '-' + n, n)));
		loop('bulk', async (n) => {
			const { error } = await todos.bulkInsert(Array.from({ length: 50 }, (_, i) => make('bulk-' + round + '-' + n + '-' + i, n)));
			if (error.length > 0) throw error[0].error;
		});
		loop('patch', async (n) => {
			const { id, ...fields } = make('counter', round * 100000 + n + 1);
			await (await todos.findOne('counter').exec(true)).patch(fields);
		});
		loop('remove', async (n) => (await todos.insert(make('remove-' + round + '-' + n, n))).remove());
	};
	window.check = async (round, heard) => {
		const docs = new Map((await todos.find().exec()).map((d) => [d.primary, d.toJSON()]));
		const problems = [];
		const expect = (ok, problem) => ok || problems.push(problem);
		for (const [id, d] of docs) {
			expect(d.a === d.b && d.title === make(id, d.a).title, id + ' is half written: ' + JSON.stringify(d));
		}
		const held = { single: 0, bulk: 0, patch: docs.get('counter').a - round * 100000, remove: 0 };
		while (docs.has('single-' + round + '-' + held.single)) held.single++;
		while (docs.has('bulk-' + round + '-' + held.bulk + '-0')) held.bulk++;
		const of = (kind) => [...docs.keys()].filter((id) => id.startsWith(kind + '-' + round + '-'));
		expect(of('single').length === held.single, 'single writes are there without those before them');
		expect(of('bulk').length === 50 * held.bulk, 'bulk writes are there in part: ' + of('bulk').length);
		for (const kind of ['single', 'bulk', 'patch']) {
			expect(held[kind] >= heard[kind] || (kind === 'patch' && heard.patch === 0), kind + ': ' + heard[kind] + ' were done, there are ' + held[kind]);
		}
		for (const id of of('remove')) {
			expect(Number(id.split('-')[2]) >= heard.remove, id + ' is there again, ' + heard.remove + ' were removed');
		}
		expect(await todos.count().exec() === docs.size, 'the count is wrong');
		return { problems, held };
	};
`
