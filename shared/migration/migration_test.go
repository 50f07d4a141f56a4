package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// openLog opens a version of the collection; whatever it was, the error of closing it does not matter to these tests.
func openLog(t *testing.T, db store.Database, version uint32) *collection.Collection {
	t.Helper()
	c, err := tryOpen(t, db, version)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryOpen(t *testing.T, db store.Database, version uint32) (*collection.Collection, error) {
	log, err := db.Log(t.Context(), LogName("todos", version))
	if err != nil {
		return nil, err
	}
	c, err := collection.Open(t.Context(), "todos", log, &collection.Options{SchemaVersion: version})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func openDisk(t *testing.T, disk *memlog.Disk, hook memlog.Hook) *memlog.Database {
	t.Helper()
	db := disk.Open(hook)
	t.Cleanup(func() { db.Close() })
	return db
}

// filled returns a disk with n documents of version 0, every tenth of them removed, every seventh changed.
func filled(t *testing.T, n int) *memlog.Disk {
	t.Helper()
	disk := memlog.New(nil)
	c := openLog(t, openDisk(t, disk, nil), 0)
	var writes []collection.Write
	for i := range n {
		id := fmt.Sprintf("%04d", i)
		writes = append(writes, collection.Write{Kind: collection.WriteInsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, i)})
	}
	for i := range n {
		switch id := fmt.Sprintf("%04d", i); {
		case i%10 == 0:
			writes = append(writes, collection.Write{Kind: collection.WriteRemove, ID: id})
		case i%7 == 0:
			writes = append(writes, collection.Write{Kind: collection.WritePatch, ID: id, Body: fmt.Appendf(nil, `{"n":%d}`, -i)})
		}
	}
	for part := range slices.Chunk(writes, 50) { // several records
		for _, r := range c.Write(t.Context(), part) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

// double doubles n and names the versions; it gives up documents of which n is 13.
func double(count *int) Transform {
	return func(_ context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error) {
		*count += len(docs)
		out := make([]json.RawMessage, len(docs))
		for i, d := range docs {
			var v struct {
				ID   string   `json:"id"`
				N    int      `json:"n"`
				From []uint32 `json:"from"`
			}
			if err := json.Unmarshal(d.Body, &v); err != nil {
				return nil, err
			}
			if v.N == 13 {
				continue
			}
			v.N *= 2
			v.From = append(v.From, from)
			var err error
			if out[i], err = json.Marshal(v); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

func content(c *collection.Collection) map[string]string {
	m := make(map[string]string)
	for d := range c.All() {
		m[d.ID] = string(d.Body)
	}
	return m
}

// wanted is what filled and double make.
func wanted(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		v := i
		if i%7 == 0 {
			v = -i
		}
		if id := fmt.Sprintf("%04d", i); i%10 != 0 && v != 13 {
			m[id] = fmt.Sprintf(`{"id":%q,"n":%d,"from":[0]}`, id, 2*v)
		}
	}
	return m
}

func mustEqual(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Fatalf("%s: %d documents, want %d\n%v", what, len(got), len(want), got)
	}
}

func known(c *collection.Collection) (k *document.Knowledge) {
	c.View(func(v collection.View) { k = v.Known() })
	return k
}

func TestRun(t *testing.T) {
	disk := filled(t, 300)
	db := openDisk(t, disk, nil)
	beside, err := db.Log(t.Context(), LogName("todos", 0)+"/more")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := beside.Commit(t.Context(), 1, func([]store.Record) ([]store.Append, error) { return []store.Append{{Span: 1, Data: []byte{1}}}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	to := openLog(t, db, 1)
	count := 0
	var told []Progress
	if err := Run(t.Context(), db, to, 1, double(&count), &Options{BatchSize: 40, Progress: func(p Progress) { told = append(told, p) }}); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "migrated", content(to), wanted(300))
	if count != 270 {
		t.Errorf("%d documents were transformed", count)
	}
	if len(told) < 8 || told[0] != (Progress{300, 0}) || told[len(told)-1] != (Progress{300, 300}) ||
		!slices.IsSortedFunc(told, func(a, b Progress) int { return a.Handled - b.Handled }) {
		t.Errorf("progress was %v", told)
	}
	if names, err := db.Names(t.Context()); err != nil || !slices.Equal(names, []string{"todos/1"}) {
		t.Errorf("logs are %v, %v", names, err)
	}
	to.Close()
	mustEqual(t, "opened again", content(openLog(t, db, 1)), wanted(300))
	if _, err := Pending(t.Context(), db, "todos", 0); !errors.Is(err, ErrNewer) {
		t.Errorf("the older version: %v", err)
	}
}

// TestCrashes ends the process at each step of a migration, starts anew, and does so again.
func TestCrashes(t *testing.T) {
	for at := 0; ; at++ {
		disk := filled(t, 120)
		total := 0
		crashes := 0
		for {
			steps := 0
			db := openDisk(t, disk, func(memlog.Step) error {
				if steps++; steps > at && crashes < 2 {
					return memlog.ErrCrashed
				}
				return nil
			})
			to, err := tryOpen(t, db, 1)
			if err == nil {
				err = Run(t.Context(), db, to, 1, double(&total), &Options{BatchSize: 25})
			}
			if err == nil {
				mustEqual(t, fmt.Sprintf("crash at step %d", at), content(to), wanted(120))
				if older, err := Pending(t.Context(), db, "todos", 1); err != nil || len(older) > 0 {
					t.Fatalf("crash at step %d: still there: %v, %v", at, older, err)
				}
				break
			}
			if crashes++; crashes > 2 {
				t.Fatalf("crash at step %d: without one, %v", at, err)
			}
		}
		if total < 108 || total > 108+crashes*25 { // nothing that was stored is done again
			t.Errorf("crash at step %d: %d documents were transformed", at, total)
		}
		if crashes == 0 {
			t.Logf("%d steps", at)
			if at < 8 {
				t.Error("the migration had too few steps")
			}
			return
		}
	}
}

// TestReplicas migrates the same documents in two replicas. Afterwards neither has anything for the other.
func TestReplicas(t *testing.T) {
	disk := filled(t, 100)
	a := openDisk(t, disk, nil)
	other := openDisk(t, memlog.New(nil), nil)
	from, old := openLog(t, a, 0), openLog(t, other, 0)
	send := func(from, to *collection.Collection) collection.Accepted {
		t.Helper()
		var in collection.Incoming
		from.View(func(v collection.View) {
			for e := range v.Since(1) {
				if !e.Beaten {
					in.Entries = append(in.Entries, *e.Entry)
				}
			}
			in.Seen, in.Claim = v.Known(), v.Known()
		})
		got, err := to.Accept(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	send(from, old)
	from.Close()
	old.Close()
	var migrated []*collection.Collection
	for _, db := range []store.Database{a, other} {
		c, count := openLog(t, db, 1), 0
		if err := Run(t.Context(), db, c, 1, double(&count), nil); err != nil {
			t.Fatal(err)
		}
		migrated = append(migrated, c)
	}
	if !known(migrated[0]).CoversAll(known(migrated[1])) || !known(migrated[1]).CoversAll(known(migrated[0])) {
		t.Error("what they know differs")
	}
	if got := send(migrated[0], migrated[1]); got.Taken != 0 || len(got.Clashes) != 0 {
		t.Errorf("%d documents were taken, %d conflicts", got.Taken, len(got.Clashes))
	}
	if _, err := migrated[0].Patch(t.Context(), "0001", []byte(`{"n":0}`)); err != nil {
		t.Fatal(err)
	}
	if got := send(migrated[0], migrated[1]); got.Taken != 1 || len(got.Clashes) != 0 {
		t.Errorf("after a write %d documents were taken, %d conflicts", got.Taken, len(got.Clashes))
	}
}

// TestOldTab has a tab that still writes with the older schema: what it could write comes along, and then it is told.
func TestOldTab(t *testing.T) {
	disk := filled(t, 100)
	old := openLog(t, openDisk(t, disk, nil), 0)
	db := openDisk(t, disk, nil)
	to := openLog(t, db, 1)
	written, count := 0, 0
	transform := double(&count)
	err := Run(t.Context(), db, to, 1, func(ctx context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error) {
		if written < 5 {
			if _, err := old.Insert(ctx, fmt.Appendf(nil, `{"id":"late %d","n":%d}`, written, written)); err != nil {
				t.Error(err)
			}
			written++
		}
		return transform(ctx, from, docs)
	}, &Options{BatchSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	want := wanted(100)
	for i := range written {
		id := fmt.Sprintf("late %d", i)
		want[id] = fmt.Sprintf(`{"id":%q,"n":%d,"from":[0]}`, id, 2*i)
	}
	mustEqual(t, "migrated", content(to), want)
	if _, err := old.Insert(t.Context(), []byte(`{"id":"too late"}`)); !errors.Is(err, collection.ErrSealed) && !errors.Is(err, store.ErrLost) {
		t.Errorf("a write afterwards: %v", err)
	}
}

// TestTwoTabs migrates in several tabs at once, of which those that are through change documents.
func TestTwoTabs(t *testing.T) {
	for range 10 {
		disk := filled(t, 200)
		var wg sync.WaitGroup
		tabs := make([]*collection.Collection, 3)
		for i := range tabs {
			db := openDisk(t, disk, nil)
			tabs[i] = openLog(t, db, 1)
			wg.Go(func() {
				count := 0
				if err := Run(t.Context(), db, tabs[i], 1, double(&count), &Options{BatchSize: 7}); err != nil {
					t.Error(err)
				}
				if _, err := tabs[i].Patch(t.Context(), fmt.Sprintf("%04d", i+1), []byte(`{"mine":true}`)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		want := wanted(200)
		for i := range tabs {
			id := fmt.Sprintf("%04d", i+1)
			want[id] = string(bytes.Replace([]byte(want[id]), []byte("}"), []byte(`,"mine":true}`), 1))
		}
		for _, c := range tabs {
			c.Write(t.Context(), nil) // takes in what the others wrote
			mustEqual(t, "tab", content(c), want)
		}
	}
}

// TestVersionsInBetween has logs of two older versions, as when a migration to the second was broken off for good.
func TestVersionsInBetween(t *testing.T) {
	disk := filled(t, 30)
	db := openDisk(t, disk, nil)
	second := openLog(t, db, 1)
	stop := errors.New("stop")
	count := 0
	transform := double(&count)
	err := Run(t.Context(), db, second, 1, func(ctx context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error) {
		if count >= 10 {
			return nil, stop
		}
		return transform(ctx, from, docs)
	}, &Options{BatchSize: 5})
	if !errors.Is(err, stop) {
		t.Fatalf("%v, want the error of the transform", err)
	}
	if _, err := second.Patch(t.Context(), "0002", []byte(`{"n":1000}`)); err != nil {
		t.Fatal(err)
	}
	second.Close()
	third := openLog(t, db, 2)
	from := make(map[uint32]int)
	if err := Run(t.Context(), db, third, 2, func(_ context.Context, v uint32, docs []collection.Document) ([]json.RawMessage, error) {
		from[v] += len(docs)
		out := make([]json.RawMessage, len(docs))
		for i, d := range docs {
			out[i] = d.Body
		}
		return out, nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	d, _ := third.Get("0002")
	if n := len(content(third)); n != 27 || from[1] != 10 || from[0] != 17 || !bytes.Contains(d.Body, []byte(`"n":1000`)) {
		t.Errorf("%d documents, transformed %v, 0002 is %s", n, from, d.Body)
	}
}

func TestErrors(t *testing.T) {
	disk := filled(t, 30)
	db := openDisk(t, disk, nil)
	to := openLog(t, db, 1)
	for name, transform := range map[string]Transform{
		"too few": func(context.Context, uint32, []collection.Document) ([]json.RawMessage, error) { return nil, nil },
		"another key": func(_ context.Context, _ uint32, docs []collection.Document) ([]json.RawMessage, error) {
			return all(docs, `{"id":"x"}`), nil
		},
		"not an object": func(_ context.Context, _ uint32, docs []collection.Document) ([]json.RawMessage, error) {
			return all(docs, `7`), nil
		},
		"not JSON at all": func(_ context.Context, _ uint32, docs []collection.Document) ([]json.RawMessage, error) {
			return all(docs, `{`), nil
		},
	} {
		if err := Run(t.Context(), db, to, 1, transform, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(content(to)) != 0 {
		t.Error("something was stored")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(net.ErrClosed)
	count := 0
	if err := Run(ctx, db, to, 1, double(&count), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if err := Run(t.Context(), db, to, 1, double(&count), nil); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, "after all these errors", content(to), wanted(30))
}

func all(docs []collection.Document, body string) []json.RawMessage {
	out := make([]json.RawMessage, len(docs))
	for i := range out {
		out[i] = json.RawMessage(body)
	}
	return out
}
