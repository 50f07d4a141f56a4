//go:build js

package idblog_test

import (
	"context"
	"fmt"
	"slices"
	"syscall/js"
	"testing"

	"github.com/hack-pad/go-indexeddb/idb"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/idblog"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// BenchmarkCommit times one commit after the other: of one small record, of one large, and of 10,000 entries of 200 bytes in
// blocks of 64 KB. Beside idblog it makes the same transactions in plain JavaScript and through go-indexeddb alone, in turns,
// and reports the medians in milliseconds: other load on the machine then meets all of them.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		name          string
		records, size int
	}{{"250B", 1, 250}, {"250KB", 1, 250_000}, {"10000x200B", 31, 64 << 10}} {
		for _, durability := range []store.Durability{store.Relaxed, store.Strict} {
			b.Run(fmt.Sprintf("%s/%s", c.name, durability), func(b *testing.B) {
				db := open(b, fresh(b), &idblog.Options{Durability: durability})
				compare(b, map[string]func() error{
					"js":      commitJS(b, db, string(durability), c.records, c.size),
					"idblog":  commitLog(b, db, c.records, c.size),
					"library": commitLibrary(b, db, string(durability), c.records, c.size),
				})
			})
		}
	}
}

// compare runs the ways in turns and reports the median of each.
func compare(b *testing.B, ways map[string]func() error) {
	b.Helper()
	clock := js.Global().Get("performance")
	took := make(map[string][]float64)
	for b.Loop() {
		for way, commit := range ways {
			begin := clock.Call("now").Float()
			if err := commit(); err != nil {
				b.Fatal(err)
			}
			took[way] = append(took[way], clock.Call("now").Float()-begin)
		}
	}
	b.ReportMetric(0, "ns/op") // of all three together
	for way, times := range took {
		slices.Sort(times)
		b.ReportMetric(times[len(times)/2], way+"-ms")
	}
}

func commitLog(b *testing.B, db *idblog.Database, records, size int) func() error {
	log := openLog(b, db, "idblog")
	next := store.Position(1)
	data := make([]byte, size)
	return func() error {
		added, err := log.Commit(b.Context(), next, func([]store.Record) ([]store.Append, error) {
			appends := make([]store.Append, records)
			for i := range appends {
				appends[i] = store.Append{Span: 1, Data: data}
			}
			return appends, nil
		})
		if err == nil {
			next = added[len(added)-1].Next()
		}
		return err
	}
}

// script makes a commit, which reads the keys from the last one on first.
const script = `return new Promise((done, failed) => {
	const data = new Uint8Array(size);
	const t = db.transaction('records', 'readwrite', {durability});
	t.oncomplete = done;
	t.onabort = failed;
	const store = t.objectStore('records');
	store.getAllKeys(IDBKeyRange.bound(['js', next - 1], ['js', []])).onsuccess = e => {
		if (e.target.result.length > 1) failed(new Error('tail'));
		for (let r = 0; r < records; r++, next++) store.add(data, ['js', next, next, size, 1]);
		t.commit();
	};
})`

func commitJS(b *testing.B, db *idblog.Database, durability string, records, size int) func() error {
	run := js.Global().Get("Function").New("db", "durability", "records", "size", "next", script)
	next := 1
	return func() error {
		_, err := jsbridge.Await(b.Context(), run.Invoke(db.Connection(), durability, records, size, next))
		next += records
		return err
	}
}

func commitLibrary(b *testing.B, db *idblog.Database, durability string, records, size int) func() error {
	request, err := idb.Global().Open(context.Background(), db.Connection().Get("name").String(), 2, nil)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := request.Await(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	mode := idb.TransactionOptions{Mode: idb.TransactionReadWrite, Durability: idb.DurabilityRelaxed}
	if durability == string(store.Strict) {
		mode.Durability = idb.DurabilityStrict
	}
	next := 1
	return func() error { return commitOnce(conn, mode, &next, records, size) }
}

func commitOnce(conn *idb.Database, mode idb.TransactionOptions, next *int, records, size int) error {
	t, err := conn.TransactionWithOptions(mode, "records")
	if err != nil {
		return err
	}
	objects, err := t.ObjectStore("records")
	if err != nil {
		return err
	}
	keys, err := idb.NewKeyRangeBound(js.ValueOf([]any{"library", *next - 1}), js.ValueOf([]any{"library", []any{}}), false, false)
	if err != nil {
		return err
	}
	request, err := objects.GetAllKeysRange(keys, 0)
	if err != nil {
		return err
	}
	if _, err := request.Await(context.Background()); err != nil {
		return err
	}
	for range records {
		if _, err := objects.AddKey(js.ValueOf([]any{"library", *next, *next, size, 1}), jsbridge.Uint8Array(make([]byte, size))); err != nil {
			return err
		}
		*next++
	}
	if err := t.Commit(); err != nil {
		return err
	}
	return t.Await(context.Background())
}

// BenchmarkRead reads 10,000 entries of 200 bytes in blocks of 64 KB, and a log in which there is nothing new.
func BenchmarkRead(b *testing.B) {
	const blocks = 31
	db := open(b, fresh(b), nil)
	log := openLog(b, db, "docs")
	added, err := log.Commit(b.Context(), 1, func([]store.Record) (appends []store.Append, err error) {
		for range blocks {
			appends = append(appends, store.Append{Span: 322, Data: make([]byte, 64<<10)})
		}
		return appends, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("all", func(b *testing.B) {
		b.SetBytes(blocks * 64 << 10)
		for b.Loop() {
			if records, err := log.Read(b.Context(), 1, 1<<30); err != nil || len(records) != blocks {
				b.Fatal(len(records), err)
			}
		}
	})
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			if records, err := log.Read(b.Context(), added[blocks-1].Next(), 1<<20); err != nil || len(records) != 0 {
				b.Fatal(len(records), err)
			}
		}
	})
}
