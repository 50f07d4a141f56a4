//go:build js

package idblog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall/js"
	"testing"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/idblog"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// writer commits to a log as a collection does: from where it last looked, which may be long ago.
type writer struct {
	t    *testing.T
	log  store.Log
	next store.Position
	tail []store.Record // of the last commit
}

func newWriter(t *testing.T, db *idblog.Database) *writer {
	return &writer{t: t, log: openLog(t, db, "a"), next: 1}
}

// twoTabs are writers of one log, each with a connection of its own.
func twoTabs(t *testing.T) (a, b *writer) {
	noLeak(t)
	name := fresh(t)
	return newWriter(t, open(t, name, nil)), newWriter(t, open(t, name, nil))
}

func (w *writer) commit(data ...string) {
	w.t.Helper()
	added, err := w.log.Commit(w.t.Context(), w.next, func(tail []store.Record) (appends []store.Append, err error) {
		w.tail = tail
		for _, d := range data {
			appends = append(appends, store.Append{Span: 1, Data: []byte(d)})
		}
		return appends, nil
	})
	if err != nil {
		w.t.Error(err)
		return
	}
	w.next = added[len(added)-1].Next()
}

// wantTail checks what the last commit was told of others.
func (w *writer) wantTail(want string) {
	w.t.Helper()
	var got []string
	for _, r := range w.tail {
		got = append(got, fmt.Sprintf("%s@%d+%d", r.Data, r.First, r.Span))
	}
	if strings.Join(got, " ") != want {
		w.t.Errorf("the tail was %q, want %q", strings.Join(got, " "), want)
	}
}

// marks returns how many marks the database holds.
func marks(t *testing.T, db *idblog.Database) int {
	t.Helper()
	array := js.Global().Get("Array")
	list := js.Global().Get("IDBKeyRange").Call("lowerBound", array.Call("of", array.Call("of", "")))
	request := db.Connection().Call("transaction", "records").Call("objectStore", "records").Call("count", list)
	counted := make(chan int, 1)
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any { counted <- request.Get("result").Int(); return nil })
	defer f.Release()
	request.Set("onsuccess", f.Value)
	return <-counted
}

// TestTurnTaken has a tab go on as if its own commit were still the last one.
func TestTurnTaken(t *testing.T) {
	a, b := twoTabs(t)
	a.commit("a1")
	a.commit("a2")
	b.commit("b1", "b2")
	b.wantTail("a1@1+1 a2@2+1")
	a.commit("a3")
	a.wantTail("b1@3+1 b2@4+1")
	b.commit("b3")
	b.wantTail("a3@5+1")
	b.commit("b4")
	b.wantTail("")
	a.commit("a4")
	a.wantTail("b3@6+1 b4@7+1")
	if got := read(t, a.log); got != "a1 a2 b1 b2 a3 b3 b4 a4" {
		t.Errorf("the log holds %q", got)
	}
}

// TestTurnStale has a tab go on after another has written much, and joined what stood where it left off with what was before and after that.
func TestTurnStale(t *testing.T) {
	for _, commits := range []int{1, 2, 63, 64, 65, 200} {
		t.Run(fmt.Sprint(commits), func(t *testing.T) {
			a, b := twoTabs(t)
			a.commit("a1")
			a.commit("a2")
			for i := range commits {
				b.commit(fmt.Sprint("b", i))
			}
			all, err := b.log.Read(t.Context(), 1, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.log.Replace(t.Context(), all, []byte("joined")); err != nil {
				t.Fatal(err)
			}
			a.commit("a3")
			a.wantTail(fmt.Sprintf("joined@1+%d", commits+2))
			b.commit("b")
			b.wantTail(fmt.Sprintf("a3@%d+1", commits+3))
			if got := read(t, b.log); got != "joined a3 b" {
				t.Errorf("the log holds %q", got)
			}
		})
	}
}

// TestTurnRace has tabs commit at once, from where their own last commits ended.
func TestTurnRace(t *testing.T) {
	noLeak(t)
	const tabs, commits = 4, 60
	name := fresh(t)
	reader := openLog(t, open(t, name, nil), "a")
	var wg sync.WaitGroup
	for i := range tabs {
		w := newWriter(t, open(t, name, nil))
		wg.Go(func() {
			for n := range commits {
				w.commit(fmt.Sprintf("%d-%d", i, n))
				if n%(10+i) == 9 { // let nobody in for a while
					continue
				}
				if all, err := w.log.Read(t.Context(), 1, 1<<20); err == nil && len(all) > 3 && n%7 == i {
					_ = w.log.Replace(t.Context(), all[len(all)-3:len(all)-1], fmt.Append(nil, string(all[len(all)-3].Data), " ", string(all[len(all)-2].Data)))
				}
			}
		})
	}
	wg.Wait()
	records, err := reader.Read(t.Context(), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	next, held := store.Position(1), make([]int, tabs)
	for _, r := range records {
		if r.First != next {
			t.Fatalf("a record begins at %d, want %d", r.First, next)
		}
		next = r.Next()
		for _, text := range strings.Fields(string(r.Data)) {
			var tab, n int
			if _, err := fmt.Sscanf(text, "%d-%d", &tab, &n); err != nil || n != held[tab] {
				t.Fatalf("%q, want commit %d of that tab", text, held[tab])
			}
			held[tab]++
		}
	}
	if next != tabs*commits+1 {
		t.Errorf("the log ends before %d, want %d: %v", next, tabs*commits+1, held)
	}
}

// TestTurnDropped has a tab go on in a log that another has dropped.
func TestTurnDropped(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	other := open(t, name, nil)
	a := newWriter(t, open(t, name, nil))
	a.commit("a1")
	a.commit("a2")
	if err := other.Drop(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(t.Context(), a.log, a.next, "a3"); !errors.Is(err, store.ErrLost) {
		t.Errorf("commit to a dropped log: %v, want ErrLost", err)
	}
	if names, err := other.Names(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("there are logs %q, %v", names, err)
	}
}

// TestTurnUncertain loses the word of a commit that was written without reading, once when it was written and once when it was not.
func TestTurnUncertain(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	broken := ""
	db, err := idblog.OpenHooked(t.Context(), name, nil, func(stage string, txn js.Value) error {
		if stage != broken {
			return nil
		}
		broken = ""
		return idblog.ErrAgain
	})
	if err != nil {
		t.Fatal(err)
	}
	a := newWriter(t, closing(t, db))
	a.commit("a1")
	for i, stage := range []string{"after append", "before append"} {
		broken = stage
		a.commit(fmt.Sprint("x", i))
		a.commit(fmt.Sprint("y", i))
	}
	if got := read(t, a.log); got != "a1 x0 y0 x1 y1" || a.next != 6 {
		t.Errorf("the log holds %q, the last commit ends before %d", got, a.next)
	}
}

// TestTurnRefused has a build refuse, and one that has nothing to write, which must have seen what others wrote.
func TestTurnRefused(t *testing.T) {
	a, b := twoTabs(t)
	a.commit("a1")
	b.commit("b1")
	refused := errors.New("refused")
	for _, want := range []error{refused, nil} {
		seen := 0
		_, err := a.log.Commit(t.Context(), a.next, func(tail []store.Record) ([]store.Append, error) {
			seen = len(tail)
			return nil, want
		})
		if !errors.Is(err, want) || seen != 1 {
			t.Errorf("commit: %v, want %v; build saw %d records", err, want, seen)
		}
	}
	a.commit("a2")
	a.wantTail("b1@2+1")
}

// TestTurnReadsNothing counts what a tab that is alone asks the storage for, and what is left of its marks.
func TestTurnReadsNothing(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	reads := db.CountReads()
	for range 3 {
		w := newWriter(t, db)
		w.commit("first")
		before := reads()
		for i := range 200 {
			w.commit(fmt.Sprint(i))
		}
		if n := reads() - before; n != 0 {
			t.Errorf("200 commits of one handle read %d times", n)
		}
		if n := marks(t, db); n == 0 || n > 70 {
			t.Errorf("there are %d marks", n)
		}
	}
	newWriter(t, db).commit("last")
	if n := marks(t, db); n != 3 {
		t.Errorf("there are %d marks when all but the last writer have gone, want 3, one for each", n)
	}
}

// TestUpgrade opens a database of version 1, which another tab has open.
func TestUpgrade(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	script := `return new Promise((done, failed) => {
		const request = indexedDB.open(name, 1);
		request.onerror = failed;
		request.onupgradeneeded = () => {
			const records = request.result.createObjectStore('records');
			request.result.createObjectStore('meta').put('abc', 'id');
			records.add(new TextEncoder().encode('old'), ['a', 2, 1, 3, 123]);
		};
		request.onsuccess = () => {
			request.result.onversionchange = () => request.result.close();
			done();
		};
	})`
	make := js.Global().Get("Function").New("name", script)
	if _, err := jsbridge.Await(t.Context(), make.Invoke("shoal/"+name)); err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, open(t, name, nil))
	w.commit("new")
	w.wantTail("old@1+2")
	w.commit("newer")
	if got := read(t, newWriter(t, open(t, name, nil)).log); got != "old new newer" {
		t.Errorf("the log holds %q", got)
	}
	_, err := jsbridge.Await(t.Context(), js.Global().Get("Function").New("name", `return new Promise((done, failed) => {
		const request = indexedDB.open(name, 1);
		request.onsuccess = done;
		request.onerror = () => failed(request.error);
	})`).Invoke("shoal/"+name))
	if !jsbridge.IsNamed(err, "VersionError") {
		t.Errorf("a program that leaves no marks opened the database: %v", err)
	}
}
