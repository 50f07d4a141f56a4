package browser

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
)

// arrival is how a first sync went.
type arrival struct {
	MS   float64
	Role string
}

// source is a peer with documents, in a topic.
type source struct {
	*peer
	topic string
	batch int
	url   string
}

// share replicates what the peer holds.
func (p *peer) share(url, topic string, batch int) *source {
	p.t.Helper()
	s := &source{peer: p, topic: topic, batch: batch, url: url}
	s.replicate(p)
	return s
}

func (s *source) replicate(p *peer) {
	p.t.Helper()
	p.Do(fmt.Sprintf(`await bench.replicate(%q, %q, %d)`, s.url, s.topic, s.batch))
}

// join has an empty peer come, and returns how long the documents took, and the join.
func (s *source) join(t *testing.T, n int) (arrival, float64) {
	t.Helper()
	p := s.lab.peer(t, s.side)
	defer p.close()
	s.replicate(p)
	got := run[arrival](p, fmt.Sprintf(`bench.arrived(%d)`, n))
	if held := run[int](p, `bench.count()`); held != n {
		t.Fatalf("%s: %d documents arrived, want %d", s.side, held, n)
	}
	first := chrome.Eval[float64](p.Tab, `first`)
	return got, first
}

// sync has empty peers come to one with 10,000 documents.
func (l *lab) sync(t *testing.T) {
	f := newFigures("first sync of 10,000 x 200 B, IndexedDB on both sides", "Shoal")
	join := newFigures("join: call to first peer", "Shoal", "RxDB + Dexie")
	defer join.print(t)
	defer f.print(t)
	shoal, rxdb := l.peer(t, "shoal"), l.peer(t, "rxdb")
	for _, p := range []*peer{shoal, rxdb} {
		run[any](p, fmt.Sprintf(`bench.fill(%d, 200, { name: 'shared' })`, documents))
	}
	from := shoal.share(l.signal, "bench-sync", 0)
	for range 4 {
		got, first := from.join(t, documents)
		f.add("Shoal", got.MS)
		join.add("Shoal", first)
		l.rawSync(t, f)
	}
	shoal.close()
	for _, c := range []struct {
		label           string
		batch, low, max int
	}{{"RxDB + Dexie, batch size 1000", best, 1, 6}, {"RxDB + Dexie, default batch size", 0, 1, 5}} {
		rxdb.reopen()
		run[any](rxdb, `bench.use({ name: 'shared' })`)
		from := rxdb.share(l.signal, fmt.Sprint("bench-rxdb-", c.batch), c.batch)
		roles := map[string]int{}
		for n := 0; n < c.max && (roles["pulls"] < c.low || roles["is pushed to"] < c.low); n++ {
			got, first := from.join(t, documents)
			roles[got.Role]++
			f.add(c.label+", joiner "+got.Role, got.MS)
			join.add("RxDB + Dexie", first)
		}
	}
}

// rawSync sends as much through a data channel and stores it.
func (l *lab) rawSync(t *testing.T, f *figures) {
	t.Helper()
	a, b := l.channel(t)
	defer a.close()
	defer b.close()
	for what, store := range map[string]bool{"raw data channel": false, "raw data channel, each message put into IndexedDB": true} {
		b.Do(fmt.Sprintf(`await bench.receive(%t)`, store))
		f.add(what, run[float64](a, fmt.Sprintf(`bench.send(%d, 200)`, documents)))
	}
}

// channel connects two pages.
func (l *lab) channel(t *testing.T) (a, b *peer) {
	t.Helper()
	a, b = l.peer(t, "raw"), l.peer(t, "raw")
	offer := run[string](a, `bench.offer()`)
	answer := run[string](b, fmt.Sprintf(`bench.answer(%q)`, offer))
	run[any](a, fmt.Sprintf(`bench.accept(%q)`, answer))
	return a, b
}

// delayed is sync over a network with 50 ms of round trip.
func (l *lab) delayed(t *testing.T) {
	f := newFigures("first sync of 10,000 x 200 B with 50 ms of round trip", "Shoal")
	defer f.print(t)
	url := newDelay(t, l.signal)
	for _, c := range []struct {
		side, label string
		batch, runs int
	}{{"shoal", "Shoal", 0, 3}, {"rxdb", "RxDB + Dexie, batch size 1000", best, 1}, {"rxdb", "RxDB + Dexie, default batch size", 0, 1}} {
		p := l.peer(t, c.side)
		run[any](p, fmt.Sprintf(`bench.fill(%d, 200, { name: 'shared' })`, documents))
		from := p.share(url, fmt.Sprint("bench-delayed-", c.side, c.batch), c.batch)
		for range c.runs {
			got, _ := from.join(t, documents)
			if got.Role != "" {
				got.Role = ", joiner " + got.Role
			}
			f.add(c.label+got.Role, got.MS)
		}
		p.close()
	}
}

// pair connects two peers that are empty.
func (l *lab) pair(t *testing.T, side string, batch int, topic string) (a, b *peer) {
	t.Helper()
	a, b = l.peer(t, side), l.peer(t, side)
	for _, p := range []*peer{a, b} {
		p.share(l.signal, topic, batch)
	}
	for _, p := range []*peer{a, b} {
		run[float64](p, `first`)
	}
	return a, b
}

// visible writes at one peer what the other one answers with a write when it sees it: half of a round trip is from the call of a write, which is
// stored, to the event at the other side.
func (l *lab) visible(t *testing.T) {
	f := newFigures("live write, stored, until the peer has it stored and sees it")
	defer f.print(t)
	for range 2 {
		for _, side := range []string{"shoal", "rxdb"} {
			a, b := l.pair(t, side, 0, "bench-visible")
			b.Do(`bench.onInsert((id) => id.startsWith('ping') && bench.insert({ id: 'pong' + id, n: 1, done: false, text: 'x'.repeat(150) }))`)
			times := run[[]float64](a, `(async () => {
				let came;
				bench.onInsert((id) => id.startsWith('pong') && came());
				await new Promise((resolve) => setTimeout(resolve, 1500)); // RxDB begins with a first replication
				const times = [];
				for (let i = 0; i < 120; i++) {
					const answer = new Promise((resolve) => (came = resolve));
					const start = performance.now();
					bench.insert({ id: 'ping' + i, n: 1, done: false, text: 'x'.repeat(150) });
					await answer;
					times.push((performance.now() - start) / 2);
				}
				return times.slice(20);
			})()`)
			f.add(map[string]string{"shoal": "Shoal", "rxdb": "RxDB + Dexie"}[side], times...)
			a.close()
			b.close()
		}
	}
	a, b := l.channel(t)
	b.Do(`await bench.receive(false)`)
	b.Do(`await bench.echo()`)
	for _, ms := range run[[]float64](a, `bench.pingPong(120)`)[20:] {
		f.add("raw data channel, nothing stored", ms/2)
	}
}

// burst writes 1,000 documents, each in a call of its own and without waiting, until the other peer has them.
func (l *lab) burst(t *testing.T) {
	f := newFigures("1,000 single writes without waiting, until the peer has all", "Shoal")
	defer f.print(t)
	for _, side := range []string{"shoal", "rxdb", "shoal", "rxdb", "shoal"} {
		a, b := l.pair(t, side, 0, "bench-burst")
		b.Do(`window.came = 0; bench.onInsert((id) => { if (++came === 1000) bench.insert({ id: 'all', n: 1, done: false, text: '' }); })`)
		ms := run[float64](a, `(async () => {
			const all = new Promise((resolve) => bench.onInsert((id) => id === 'all' && resolve()));
			await new Promise((resolve) => setTimeout(resolve, 1500));
			const docs = Array.from({ length: 1000 }, (_, i) => ({ id: 'd' + i, n: i, done: false, text: 'x'.repeat(150) }));
			return bench.time(() => {
				docs.forEach((d) => bench.insert(d));
				return all;
			});
		})()`)
		f.add(map[string]string{"shoal": "Shoal", "rxdb": "RxDB + Dexie"}[side], ms)
		a.close()
		b.close()
	}
}
