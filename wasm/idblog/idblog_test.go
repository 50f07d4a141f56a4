//go:build js

package idblog_test

import (
	"context"
	"errors"
	"fmt"
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
	for range 2 { // those who just came look at all logs once
		for len(log.Changed()) > 0 {
			<-log.Changed()
		}
		for len(bystander.Changed()) > 0 {
			<-bystander.Changed()
		}
		add(t, openLog(t, writer, "b"), "y")
		select {
		case <-bystander.Changed():
		case <-ctx.Done():
			t.Fatal("the other tab was not woken")
		}
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

// TestAlone listens to what a tab tells of its commits, before it knows of another and after.
func TestAlone(t *testing.T) {
	noLeak(t)
	name := fresh(t)
	channel := js.Global().Get("BroadcastChannel").New("shoal/" + name)
	defer channel.Call("close")
	heard := make(chan js.Value, 100)
	l := jsbridge.Listen(channel, "message", func(event js.Value) { heard <- event.Get("data") })
	defer l.Release()
	log := openLog(t, open(t, name, nil), "a")
	asked := <-heard
	if asked.Type() != js.TypeNumber || asked.Float() <= 0 {
		t.Fatalf("a tab that came said %v", asked)
	}
	add(t, log, "unheard")
	channel.Call("postMessage", -asked.Float())
	if got := <-heard; got.Type() != js.TypeNumber || got.Float() != 0 {
		t.Errorf("a tab that hears of another says %v, want 0, as it has written before", got)
	}
	channel.Call("postMessage", 7.5)
	if got := <-heard; got.Type() != js.TypeNumber || got.Float() != -7.5 {
		t.Errorf("a tab that is asked says %v", got)
	}
	add(t, log, "heard")
	if got := <-heard; got.Type() != js.TypeString || got.String() != "a" {
		t.Errorf("a tab that knows of another says %v of a commit", got)
	}
	for _, word := range []any{0, -asked.Float()} {
		for len(log.Changed()) > 0 {
			<-log.Changed()
		}
		channel.Call("postMessage", word)
		<-log.Changed() // ends with the test if it does not come
	}
}
