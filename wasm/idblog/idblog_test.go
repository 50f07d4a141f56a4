//go:build js

package idblog_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/logtest"
	"github.com/shoaldb/shoal/wasm/idblog"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// inBrowser skips the test where there is no IndexedDB.
func inBrowser(t testing.TB) {
	t.Helper()
	if os.Getenv("BROWSERTEST") == "" {
		t.Skip("needs a browser: see internal/browsertest")
	}
}

// noLeak fails the test when it ends with callbacks that were not released.
func noLeak(t *testing.T) {
	t.Helper()
	before := jsbridge.LiveFuncs()
	t.Cleanup(func() {
		if n := jsbridge.LiveFuncs() - before; n != 0 {
			t.Errorf("%d callbacks were not released", n)
		}
	})
}

// fresh returns the name of a database that does not exist, and deletes it when the test is over.
func fresh(t testing.TB) string {
	t.Helper()
	inBrowser(t)
	name := fmt.Sprint(t.Name(), time.Now().UnixNano())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := idblog.Delete(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func open(t testing.TB, name string, opts *idblog.Options) *idblog.Database {
	t.Helper()
	db, err := idblog.Open(t.Context(), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, db)
}

func closing(t testing.TB, db *idblog.Database) *idblog.Database {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openLog(t testing.TB, db store.Database, name string) store.Log {
	t.Helper()
	log, err := db.Log(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func commit(ctx context.Context, log store.Log, from store.Position, data ...string) ([]store.Record, error) {
	return log.Commit(ctx, from, func([]store.Record) ([]store.Append, error) {
		var appends []store.Append
		for _, d := range data {
			appends = append(appends, store.Append{Span: 1, Data: []byte(d)})
		}
		return appends, nil
	})
}

func add(t testing.TB, log store.Log, data ...string) {
	t.Helper()
	if _, err := commit(t.Context(), log, 1, data...); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, log store.Log) string {
	t.Helper()
	records, err := log.Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, r := range records {
		data = append(data, string(r.Data))
	}
	return strings.Join(data, " ")
}

var errCrashed = errors.New("crashed")

func TestConformance(t *testing.T) {
	inBrowser(t)
	for _, durability := range []store.Durability{store.Relaxed, store.Strict} {
		t.Run(string(durability), func(t *testing.T) {
			logtest.Run(t, func(t *testing.T) *logtest.Medium { return medium(t, &idblog.Options{Durability: durability}) })
		})
	}
}

func medium(t *testing.T, opts *idblog.Options) *logtest.Medium {
	noLeak(t)
	name := fresh(t)
	return &logtest.Medium{
		Open: func(t *testing.T) store.Database {
			db, err := idblog.Open(t.Context(), name, opts)
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
		Shared: true,
		// The browser aborts the transactions of a tab that is gone.
		CrashAt: func(t *testing.T, stage logtest.Stage) store.Database {
			crashed := new(bool)
			db, err := idblog.OpenHooked(t.Context(), name, opts, func(s string, txn js.Value) error {
				if s != string(stage) {
					return nil
				}
				*crashed = true
				if txn.Truthy() {
					txn.Call("abort")
				}
				return errCrashed
			})
			if err != nil {
				t.Fatal(err)
			}
			return crashing{db, crashed}
		},
	}
}

// crashing is a database that answers errors once its hook has said so.
type crashing struct {
	store.Database
	crashed *bool
}

type crashingLog struct {
	store.Log
	crashed *bool
}

func (db crashing) Log(ctx context.Context, name string) (store.Log, error) {
	log, err := db.Database.Log(ctx, name)
	return crashingLog{log, db.crashed}, err
}

func (l crashingLog) Read(ctx context.Context, from store.Position, limit int) ([]store.Record, error) {
	if *l.crashed {
		return nil, errCrashed
	}
	return l.Log.Read(ctx, from, limit)
}

func TestUnsupported(t *testing.T) {
	if os.Getenv("BROWSERTEST") != "" {
		t.Skip("there is IndexedDB here")
	}
	for what, err := range map[string]error{
		"open":    func() error { _, err := idblog.Open(t.Context(), "a", nil); return err }(),
		"delete":  idblog.Delete(t.Context(), "a"),
		"persist": func() error { _, err := idblog.Persist(t.Context()); return err }(),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want errors.ErrUnsupported", what, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for field, opts := range map[string]idblog.Options{
		"Durability": {Durability: "sometimes"}, "OpenTimeout": {OpenTimeout: -1}, "StallTimeout": {StallTimeout: -1},
	} {
		if _, err := idblog.Open(t.Context(), "a", &opts); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("open with a bad %s: %v, want an error that names it", field, err)
		}
	}
}

func TestPersist(t *testing.T) {
	inBrowser(t)
	noLeak(t)
	granted, err := idblog.Persist(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	promise := js.Global().Get("navigator").Get("storage").Call("persisted")
	if persisted, err := jsbridge.Await(t.Context(), promise); err != nil || persisted.Bool() != granted {
		t.Errorf("persist told %v, the browser says %v, %v", granted, persisted, err)
	}
}

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
	request := js.Global().Get("indexedDB").Call("open", "shoal/"+name, 2)
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

// TestBroadcast wakes a log of another database object, which stands for another tab.
func TestBroadcast(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	writer, reader, other := open(t, name, nil), open(t, name, nil), open(t, name, nil)
	log, bystander := openLog(t, reader, "a"), openLog(t, other, "b")
	add(t, openLog(t, writer, "a"), "x")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-log.Changed():
	case <-ctx.Done():
		t.Fatal("the other tab was not woken")
	}
	add(t, openLog(t, writer, "b"), "y")
	select {
	case <-bystander.Changed():
	case <-ctx.Done():
		t.Fatal("the other tab was not woken")
	}
	select {
	case <-log.Changed():
		t.Error("a log was woken by a commit to another one")
	default:
	}
	js.Global().Call("dispatchEvent", js.Global().Get("Event").New("pageshow")) // after a freeze, in which words are lost
	select {
	case <-log.Changed():
	default:
		t.Error("the log was not woken when the page was shown again")
	}
}

// TestManyRecords reads more keys than go into one request.
func TestManyRecords(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	log := openLog(t, open(t, name, nil), "a")
	for _, n := range []int{511, 1, 1, 512, 300} {
		if _, err := log.Commit(t.Context(), 1, func(tail []store.Record) (appends []store.Append, err error) {
			for i := range n {
				appends = append(appends, store.Append{Span: 2, Data: fmt.Append(nil, len(tail)+i)})
			}
			return appends, nil
		}); err != nil {
			t.Fatal(err)
		}
		records, err := log.Read(t.Context(), 1, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if string(r.Data) != fmt.Sprint(i) || r.First != store.Position(2*i+1) {
				t.Fatalf("record %d is %q at %d", i, r.Data, r.First)
			}
		}
		last := records[len(records)-1]
		if again, err := log.Read(t.Context(), last.First, 0); err != nil || !store.Same(again, []store.Record{last}) {
			t.Fatalf("the last of %d records: %v, %v", len(records), again, err)
		}
	}
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
