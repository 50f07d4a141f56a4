//go:build js

package idblog_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/idblog"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// TestConnectionLost closes the connection under a database, as browsers do to tabs in the background.
func TestConnectionLost(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	log := openLog(t, db, "a")
	add(t, log, "x")
	lose := map[string]func(){
		"closed":      func() { db.Connection().Call("close") },
		"close event": func() { db.Connection().Call("dispatchEvent", js.Global().Get("Event").New("close")) },
	}
	n := 0
	for what, lose := range lose {
		for op, try := range map[string]func() error{
			"commit": func() error { n++; _, err := commit(t.Context(), log, 1, fmt.Sprint(n)); return err },
			"read":   func() error { _, err := log.Read(t.Context(), 1, 1); return err },
			"replace": func() error {
				return log.Replace(t.Context(), []store.Record{{First: 1, Span: 1, Data: []byte("x")}}, []byte("x"))
			},
			"names": func() error { _, err := db.Names(t.Context()); return err },
			"drop":  func() error { return db.Drop(t.Context(), "other") },
		} {
			before := db.Connection()
			lose()
			if err := try(); err != nil {
				t.Errorf("%s with a connection that is lost (%s): %v", op, what, err)
			}
			if db.Connection().Equal(before) {
				t.Errorf("%s left the connection as it was (%s)", op, what)
			}
		}
	}
	select {
	case <-log.Changed():
	default:
		t.Error("the log was not woken after it was cut off")
	}
	if got := read(t, log); got != "x 1 2" {
		t.Errorf("the log holds %q", got)
	}
}

// TestAborted has the browser abort commits in the middle, and lose the word of others that are complete.
func TestAborted(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	broken := 0 // how many attempts are to fail
	var at string
	db, err := idblog.OpenHooked(t.Context(), name, nil, func(stage string, txn js.Value) error {
		if stage != at || broken == 0 {
			return nil
		}
		broken--
		if txn.Truthy() {
			txn.Call("abort")
			return nil
		}
		return idblog.ErrAgain
	})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	log := openLog(t, db, "a")
	want := ""
	for _, at = range []string{"before append", "after append"} {
		for n := 1; n <= 3; n++ {
			broken = n
			data := fmt.Sprint(at[:1], n)
			added, err := commit(t.Context(), log, 1, data, data+"'")
			if err != nil || len(added) != 2 || broken != 0 {
				t.Fatalf("commit with %d attempts that fail %s: %v, %v", n, at, added, err)
			}
			want = strings.TrimSpace(want + " " + data + " " + data + "'")
			if got := read(t, log); got != want {
				t.Fatalf("the log holds %q, want %q", got, want)
			}
			if got, err := log.Read(t.Context(), added[0].First, 1<<20); err != nil || !store.Same(got, added) {
				t.Fatalf("commit returned %v, the log holds %v, %v", added, got, err)
			}
		}
	}
	at, broken = "before append", 100
	if _, err := commit(t.Context(), log, 1, "never"); err == nil || errors.Is(err, store.ErrUncertain) {
		t.Errorf("commit that always fails: %v, want an error that is certain", err)
	}
	at, broken = "after append", 100
	if _, err := commit(t.Context(), log, 1, "unknown"); !errors.Is(err, store.ErrUncertain) {
		t.Errorf("commit without an answer: %v, want ErrUncertain", err)
	}
	broken = 0
	if got := read(t, log); got != want+" unknown" {
		t.Errorf("the log holds %q, want %q", got, want+" unknown")
	}
}

// TestQuota has the browser refuse commits in the two ways that it can: when the request is made, and when the transaction
// ends.
func TestQuota(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	full := js.Global().Get("DOMException").New("full", "QuotaExceededError")
	refuse := func(js.Value) {}
	db, err := idblog.OpenHooked(t.Context(), name, nil, func(stage string, txn js.Value) error {
		if txn.Truthy() {
			refuse(txn)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	log := openLog(t, db, "a")
	old, err := commit(t.Context(), log, 1, "x")
	if err != nil {
		t.Fatal(err)
	}
	before := db.Connection()
	for way, how := range map[string]func(txn js.Value){
		"on end": func(txn js.Value) {
			js.Global().Get("Object").Call("defineProperty", txn, "error", map[string]any{"value": full})
			txn.Call("abort")
		},
		"on request": func(js.Value) {
			db.SetAdd(js.Global().Get("Function").New("e", "return () => { throw e }").Invoke(full))
		},
	} {
		refuse = how
		if _, err := commit(t.Context(), log, 1, "y"); !errors.Is(err, store.ErrQuota) || errors.Is(err, store.ErrUncertain) {
			t.Errorf("commit refused %s: %v, want ErrQuota", way, err)
		}
		if err := log.Replace(t.Context(), old, []byte("longer")); !errors.Is(err, store.ErrQuota) {
			t.Errorf("replace refused %s: %v, want ErrQuota", way, err)
		}
		refuse = func(js.Value) {}
		db.SetAdd(js.Undefined())
		if got := read(t, log); got != "x" {
			t.Errorf("the log holds %q after commits were refused %s", got, way)
		}
	}
	add(t, log, "y")
	if got := read(t, log); got != "x y" || !db.Connection().Equal(before) {
		t.Errorf("the log holds %q, on the same connection: %t", got, db.Connection().Equal(before))
	}
}

// TestUncertainThenJoined loses the word of a commit, whose records another tab then joins with those before them.
func TestUncertainThenJoined(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	other := openLog(t, open(t, name, nil), "a")
	add(t, other, "first")
	broken := 1
	db, err := idblog.OpenHooked(t.Context(), name, nil, func(stage string, _ js.Value) error {
		if stage != "after append" || broken == 0 {
			return nil
		}
		broken--
		all, err := other.Read(t.Context(), 1, 1<<20)
		if err != nil {
			return err
		}
		if err := other.Replace(t.Context(), all[:2], []byte("first x")); err != nil {
			return err
		}
		return idblog.ErrAgain
	})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	added, err := commit(t.Context(), openLog(t, db, "a"), 1, "x", "y")
	want := []store.Record{{First: 2, Span: 1, Data: []byte("x")}, {First: 3, Span: 1, Data: []byte("y")}}
	if err != nil || !store.Same(added, want) {
		t.Errorf("commit: %v, %v, want %v", added, err, want)
	}
	if got := read(t, other); got != "first x y" {
		t.Errorf("the log holds %q", got)
	}
}

// TestReplaceAgain loses the word of a replacement.
func TestReplaceAgain(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	broken := 2
	db, err := idblog.OpenHooked(t.Context(), name, nil, func(stage string, _ js.Value) error {
		if stage == "after replace" && broken > 0 {
			broken--
			return idblog.ErrAgain
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	log := openLog(t, db, "a")
	old, err := commit(t.Context(), log, 1, "x", "y")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Replace(t.Context(), old, []byte("xy")); err != nil || broken != 0 {
		t.Errorf("replace: %v, with %d attempts left", err, broken)
	}
	if got := read(t, log); got != "xy" {
		t.Errorf("the log holds %q", got)
	}
}

// TestStalled holds a commit up with a transaction that another tab does not end.
func TestStalled(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	blocker := open(t, name, nil)
	db := open(t, name, &idblog.Options{StallTimeout: 100 * time.Millisecond})
	log := openLog(t, db, "a")
	txn := blocker.Connection().Call("transaction", "records", "readwrite")
	spinning := true
	var spin *jsbridge.Func
	spin = jsbridge.NewFunc(func(js.Value, []js.Value) any {
		if spinning {
			txn.Call("objectStore", "records").Call("count").Set("onsuccess", spin.Value)
		}
		return nil
	})
	defer spin.Release()
	spin.Invoke()
	if _, err := commit(t.Context(), log, 1, "x"); err == nil || !strings.Contains(err.Error(), "does not answer") || errors.Is(err, store.ErrUncertain) {
		t.Errorf("commit behind a transaction that does not end: %v", err)
	}
	cause := errors.New("had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(cause)
	patient := openLog(t, open(t, name, nil), "a")
	if _, err := commit(ctx, patient, 1, "x"); !errors.Is(err, cause) {
		t.Errorf("commit with a context that ends, behind the same: %v, want its cause", err)
	}
	done := make(chan error, 1)
	go func() { _, err := commit(t.Context(), patient, 1, "y"); done <- err }()
	spinning = false
	if err := <-done; err != nil {
		t.Errorf("commit behind a transaction that ends: %v", err)
	}
	if got := read(t, patient); got != "y" {
		t.Errorf("the log holds %q", got)
	}
}

func TestDeleted(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	log := openLog(t, db, "a")
	add(t, log, "x")
	if err := idblog.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	wantLost(t, db, log)
	again := open(t, name, nil)
	if got := read(t, openLog(t, again, "a")); got != "" {
		t.Errorf("the deleted database holds %q", got)
	}
	add(t, openLog(t, again, "a"), "new", "newer")
	wantLost(t, db, log)
}

func wantLost(t *testing.T, db *idblog.Database, log store.Log) {
	t.Helper()
	_, commitErr := commit(t.Context(), log, 1, "y")
	_, readErr := log.Read(t.Context(), 1, 1)
	_, namesErr := db.Names(t.Context())
	for what, err := range map[string]error{"commit": commitErr, "read": readErr, "names": namesErr} {
		if !errors.Is(err, store.ErrLost) {
			t.Errorf("%s after the database was deleted: %v, want ErrLost", what, err)
		}
	}
}

// TestEvicted replaces the database by another one, which a tab that was cut off cannot tell by positions.
func TestEvicted(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	log := openLog(t, db, "a")
	add(t, log, "x")
	db.Connection().Call("close") // before the deletion, so that no versionchange event tells of it
	if err := idblog.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	add(t, openLog(t, open(t, name, nil), "a"), "other")
	wantLost(t, db, log)
}

// TestLaterVersion opens the database as a later version of the page would.
func TestLaterVersion(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	log := openLog(t, db, "a")
	add(t, log, "x")
	request := js.Global().Get("indexedDB").Call("open", "shoal/"+name, 3)
	opened := make(chan struct{}, 1)
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any { opened <- struct{}{}; return nil })
	defer f.Release()
	request.Set("onsuccess", f.Value)
	<-opened // it waited for our connection to close
	request.Get("result").Call("close")
	if _, err := commit(t.Context(), log, 1, "y"); err == nil || !strings.Contains(err.Error(), "reload the page") {
		t.Errorf("commit: %v, want an error that says to reload", err)
	}
}

func TestForeignDatabase(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	request := js.Global().Get("indexedDB").Call("open", "shoal/"+name, 1)
	opened := make(chan struct{}, 1)
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any { opened <- struct{}{}; return nil })
	defer f.Release()
	request.Set("onsuccess", f.Value)
	<-opened
	request.Get("result").Call("close")
	if _, err := idblog.Open(t.Context(), name, nil); err == nil {
		t.Error("a database without our object stores could be opened")
	}
}

// TestOpenBlocked opens while a deletion waits for somebody who does not let go.
func TestOpenBlocked(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	request := js.Global().Get("indexedDB").Call("open", "shoal/"+name, 1)
	opened := make(chan struct{}, 1)
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any { opened <- struct{}{}; return nil })
	defer f.Release()
	request.Set("onsuccess", f.Value)
	<-opened
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := idblog.Delete(ctx, name); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another tab") {
		t.Errorf("delete: %v, want the deadline and a hint", err)
	}
	_, err := idblog.Open(t.Context(), name, &idblog.Options{OpenTimeout: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "close the other tabs") {
		t.Errorf("open: %v, want the deadline and a hint", err)
	}
	request.Get("result").Call("close")
	add(t, openLog(t, open(t, name, nil), "a"), "x")
}

func TestCloseWhileOpening(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	db := open(t, name, nil)
	log := openLog(t, db, "a")
	db.Connection().Call("close")
	done := make(chan error, 1)
	go func() { _, err := commit(context.Background(), log, 1, "x"); done <- err }()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("commit while the database was closed: %v, want none or net.ErrClosed", err)
	}
}
