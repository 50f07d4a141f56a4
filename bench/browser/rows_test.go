package browser

import (
	"fmt"
	"testing"
)

// TestRows measures all rows. Each is a test of its own, so that -run Rows/NAME measures one.
func TestRows(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	l := newLab(t)
	for _, row := range []struct {
		name string
		run  func(*lab, *testing.T)
	}{
		{"sync", (*lab).sync},
		{"delayed", (*lab).delayed},
		{"visible", (*lab).visible},
		{"burst", (*lab).burst},
		{"single", (*lab).single},
		{"bulk", (*lab).bulk},
		{"open", (*lab).open},
		{"live", (*lab).live},
	} {
		t.Run(row.name, func(t *testing.T) { row.run(l, t) })
	}
}

const (
	documents = 10_000
	best      = 1000 // batch size at which RxDB is fastest
)

// single writes one document after the other, and many without waiting.
func (l *lab) single(t *testing.T) {
	shoal, rxdb, raw := l.peer(t, "shoal"), l.peer(t, "rxdb"), l.peer(t, "raw")
	for _, size := range []int{200, 2000} {
		one := newFigures(fmt.Sprintf("1,000 inserts of %d B, each waited for", size))
		all := newFigures(fmt.Sprintf("1,000 inserts of %d B without waiting", size))
		for range 2 {
			one.add("Shoal", run[float64](shoal, fmt.Sprintf(`bench.oneByOne(1000, %d)`, size)))
			one.add("RxDB + Dexie", run[float64](rxdb, fmt.Sprintf(`bench.oneByOne(1000, %d)`, size)))
			one.add("raw transactions of one put", run[float64](raw, fmt.Sprintf(`bench.oneByOne(1000, %d)`, size)))
			all.add("Shoal", run[float64](shoal, fmt.Sprintf(`bench.atOnce(1000, %d)`, size)))
			all.add("RxDB + Dexie", run[float64](rxdb, fmt.Sprintf(`bench.atOnce(1000, %d)`, size)))
		}
		one.print(t)
		all.print(t)
	}
}

// bulk gives a list of documents to one call.
func (l *lab) bulk(t *testing.T) {
	shoal, rxdb, raw := l.peer(t, "shoal"), l.peer(t, "rxdb"), l.peer(t, "raw")
	for _, size := range []int{200, 2000} {
		for _, n := range []int{1000, 10_000, 50_000} {
			f := newFigures(fmt.Sprintf("bulk insert of %d x %d B", n, size))
			runs := 3
			if n > 10_000 {
				runs = 1
			}
			for range runs {
				f.add("Shoal", run[float64](shoal, fmt.Sprintf(`bench.bulk(%d, %d)`, n, size)))
				f.add("RxDB + Dexie", run[float64](rxdb, fmt.Sprintf(`bench.bulk(%d, %d)`, n, size)))
				f.add("raw puts, one record each", run[float64](raw, fmt.Sprintf(`bench.puts(%d, %d)`, n, size)))
				f.add("raw puts, packed", run[float64](raw, fmt.Sprintf(`bench.packed(%d, %d)`, n, size)))
			}
			f.print(t)
		}
	}
}

// open opens a collection of 50,000 documents in a new page, and queries it by an index.
func (l *lab) open(t *testing.T) {
	const n = 50_000
	ready := newFigures("open 50,000 x 200 B, in a new page", "Shoal", "RxDB + Dexie, which reads nothing then")
	all := newFigures("open 50,000 x 200 B and query all of them")
	shoal, rxdb, raw := l.peer(t, "shoal"), l.peer(t, "rxdb"), l.peer(t, "raw")
	run[any](shoal, `bench.fill(50000, 200, { name: 'many', index: true })`)
	run[any](rxdb, `bench.fill(50000, 200, { name: 'many', index: true })`)
	run[any](raw, `bench.packed(50000, 200)`)
	type times struct{ Ready, All float64 }
	for range 3 {
		for name, p := range map[string]*peer{"Shoal": shoal, "RxDB + Dexie": rxdb} {
			p.reopen()
			got := run[times](p, fmt.Sprintf(`bench.reopen(%d, { name: 'many', index: true })`, n))
			if name != "Shoal" {
				ready.add("RxDB + Dexie, which reads nothing then", got.Ready)
			} else {
				ready.add(name, got.Ready)
			}
			all.add(name, got.All)
		}
		all.add("raw packed records, read and parsed", run[float64](raw, `bench.readPacked()`))
	}
	ready.print(t)
	all.print(t)

	query, count := newFigures("query of 100 among 50,000 by an index"), newFigures("count of half of 50,000 by an index")
	type medians struct {
		Query, Count float64
		Unsupported  bool
	}
	for range 3 {
		for name, p := range map[string]*peer{"Shoal": shoal, "RxDB + Dexie": rxdb} {
			got := run[medians](p, fmt.Sprintf(`queries(%d)`, n))
			if got.Unsupported {
				query.add(name + " (no such queries yet)")
				continue
			}
			query.add(name, got.Query)
			count.add(name, got.Count)
		}
	}
	query.print(t)
	count.print(t)
}

// live has a query of 10,000 documents observed, and writes one of them.
func (l *lab) live(t *testing.T) {
	shoal, rxdb := l.peer(t, "shoal"), l.peer(t, "rxdb")
	f := newFigures("write one of 10,000 until a live query of all shows it")
	for range 2 {
		f.add("Shoal", run[[]float64](shoal, `bench.live(10000, 200, 20)`)...)
		f.add("RxDB + Dexie", run[[]float64](rxdb, `bench.live(10000, 200, 20)`)...)
	}
	f.print(t)
}
