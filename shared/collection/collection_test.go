package collection

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// open opens a collection on disk, as one tab of a replica, and closes it after the test.
func open(t *testing.T, disk *memlog.Disk, opts *Options) *Collection {
	t.Helper()
	c, err := tryOpen(t, disk, nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tryOpen(t *testing.T, disk *memlog.Disk, hook memlog.Hook, opts *Options) (*Collection, error) {
	t.Helper()
	db := disk.Open(hook)
	t.Cleanup(func() { db.Close() })
	log, err := db.Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), "todos", log, opts)
}

func todo(id, title string) []byte { return fmt.Appendf(nil, `{"id":%q,"title":%q}`, id, title) }

// content returns what c holds, by id.
func content(c *Collection) map[string]string {
	m := make(map[string]string)
	for d := range c.All() {
		m[d.ID] = string(d.Body)
	}
	return m
}

func mustContent(t *testing.T, c *Collection, want map[string]string) {
	t.Helper()
	if got := content(c); !maps.Equal(got, want) {
		t.Fatalf("holds %v, want %v", got, want)
	}
	if c.Count() != len(want) {
		t.Fatalf("counts %d, want %d", c.Count(), len(want))
	}
}

func TestWrites(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	ctx := t.Context()
	if _, err := c.Insert(ctx, todo("b", "Milk")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Insert(ctx, todo("b", "Milk")); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), `"b"`) {
		t.Fatalf("insert twice: %v", err)
	}
	if _, err := c.Upsert(ctx, todo("b", "Bread")); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Patch(ctx, "b", []byte(`{"done":true, "title":"Rye"}`)); err != nil || string(d.Body) != `{"id":"b","title":"Rye","done":true}` {
		t.Fatalf("patch: %s, %v", d.Body, err)
	}
	if _, err := c.Patch(ctx, "b", []byte(`{"id":"c"}`)); !errors.Is(err, ErrInvalid) {
		t.Fatalf("patch of the key: %v", err)
	}
	if _, err := c.Insert(ctx, todo("a", "Eggs")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Modify(ctx, "a", func(b json.RawMessage) (json.RawMessage, error) {
		return []byte(strings.Replace(string(b), "Eggs", "Six eggs", 1)), nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(ctx, "x"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("remove of nothing: %v", err)
	}
	want := map[string]string{"a": string(todo("a", "Six eggs")), "b": `{"id":"b","title":"Rye","done":true}`}
	mustContent(t, c, want)
	if ids := slices.Collect(func(yield func(string) bool) {
		for d := range c.All() {
			if !yield(d.ID) {
				return
			}
		}
	}); !slices.Equal(ids, []string{"a", "b"}) {
		t.Fatalf("order %v", ids)
	}
	if _, err := c.Remove(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("b"); ok {
		t.Fatal("removed document is there")
	}
	if _, err := c.Patch(ctx, "b", []byte(`{}`)); !errors.Is(err, ErrNotFound) {
		t.Fatalf("patch of a removed document: %v", err)
	}
	delete(want, "b")
	mustContent(t, open(t, disk, nil), want)
	if _, err := c.Insert(ctx, todo("b", "Again")); err != nil {
		t.Fatalf("insert after remove: %v", err)
	}
}

func TestInvalidDocuments(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	for name, body := range map[string]string{
		"not JSON":          `{"id":"a"`,
		"two values":        `{"id":"a"} {}`,
		"no object":         `["a"]`,
		"no key":            `{"title":"x"}`,
		"key no string":     `{"id":7}`,
		"empty key":         `{"id":""}`,
		"long key":          `{"id":"` + strings.Repeat("k", block.MaxID+1) + `"}`,
		"nested too deeply": `{"id":"a","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
		"too large":         `{"id":"a","x":"` + strings.Repeat("x", block.MaxBody) + `"}`,
	} {
		if _, err := c.Insert(t.Context(), []byte(body)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustContent(t, c, map[string]string{})
	// What JavaScript reads is what counts: the last of two fields, escapes resolved.
	if d, err := c.Insert(t.Context(), []byte(`{"id":"a","\u0069d":"b\u00e4"}`)); err != nil || d.ID != "bä" {
		t.Errorf("key %q, %v", d.ID, err)
	}
}

func TestBulkInsertTakesWhatItCan(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	if _, err := c.Insert(t.Context(), todo("3", "old")); err != nil {
		t.Fatal(err)
	}
	var bodies [][]byte
	want := map[string]string{"3": string(todo("3", "old"))}
	for i := range 3000 { // several batches
		id := fmt.Sprint(i)
		body := todo(id, strings.Repeat("x", 100))
		if i == 7 {
			body = []byte("{")
		} else if i != 3 {
			want[id] = string(body)
		}
		bodies = append(bodies, body)
	}
	for i, r := range c.BulkInsert(t.Context(), bodies) {
		switch {
		case i == 3 && errors.Is(r.Err, ErrExists), i == 7 && errors.Is(r.Err, ErrInvalid):
		case r.Err != nil || r.Document.ID != fmt.Sprint(i):
			t.Fatalf("document %d: %+v", i, r)
		}
	}
	mustContent(t, c, want)
	mustContent(t, open(t, disk, nil), want)
}

// Tabs write to the same documents at once: each ends with the same, nothing that was acknowledged is lost, and the dots of
// the replica, which all tabs use, are used once.
func TestTabsShareOneLog(t *testing.T) {
	disk := memlog.New(nil)
	first := open(t, disk, nil)
	if _, err := first.Insert(t.Context(), []byte(`{"id":"n","n":0}`)); err != nil {
		t.Fatal(err)
	}
	const tabs, writes = 4, 50
	var wg sync.WaitGroup
	all := []*Collection{first}
	for range tabs - 1 {
		all = append(all, open(t, disk, nil))
	}
	for i, c := range all {
		wg.Go(func() {
			for k := range writes {
				if _, err := c.Modify(t.Context(), "n", func(b json.RawMessage) (json.RawMessage, error) {
					var doc struct {
						ID string `json:"id"`
						N  int    `json:"n"`
					}
					if err := json.Unmarshal(b, &doc); err != nil {
						return nil, err
					}
					doc.N++
					return json.Marshal(doc)
				}); err != nil {
					t.Error(err)
				}
				if _, err := c.Insert(t.Context(), todo(fmt.Sprint(i, "-", k), "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	last := open(t, disk, nil)
	if d, _ := last.Get("n"); string(d.Body) != fmt.Sprintf(`{"id":"n","n":%d}`, tabs*writes) {
		t.Fatalf("lost updates: %s", d.Body)
	}
	want := content(last)
	dots := map[document.Dot]string{}
	for _, c := range all {
		await(t, c, func(v View) bool { return v.Tail() == last.mem.next })
		mustContent(t, c, want)
		c.View(func(v View) {
			if v.Replica() != last.mem.self || v.Known().String() != last.mem.known.String() {
				t.Errorf("replica %v knows %v, want %v and %v", v.Replica(), v.Known(), last.mem.self, last.mem.known)
			}
			for p := range v.Since(1) {
				if id, ok := dots[p.Dot]; ok && id != p.ID {
					t.Errorf("%v names a write of %q and of %q", p.Dot, id, p.ID)
				}
				dots[p.Dot] = p.ID
			}
		})
	}
}

// await blocks until the collection is as cond wants it.
func await(t *testing.T, c *Collection, cond func(v View) bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	defer c.Subscribe(func([]Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		ok := false
		c.View(func(v View) { ok = cond(v) })
		if ok {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("never came about")
		}
	}
}

func TestSubscribe(t *testing.T) {
	disk := memlog.New(nil)
	a, b := open(t, disk, nil), open(t, disk, nil)
	var got []string
	stop := b.Subscribe(func(changes []Change) {
		for _, c := range changes {
			before := "-"
			if c.Before != nil {
				before = string(c.Before.Body)
			}
			got = append(got, fmt.Sprintf("%s>%s %v", before, c.After.Body, c.After.Deleted))
		}
	})
	steps := []func() error{
		func() error { _, err := a.Insert(t.Context(), []byte(`{"id":"1"}`)); return err },
		func() error { _, err := b.Patch(t.Context(), "1", []byte(`{"x":1}`)); return err },
		func() error { _, err := b.Remove(t.Context(), "1"); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if _, err := b.Insert(t.Context(), []byte(`{"id":"2"}`)); err != nil {
		t.Fatal(err)
	}
	want := []string{`->{"id":"1"} false`, `{"id":"1"}>{"id":"1","x":1} false`, `{"id":"1","x":1}> true`}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestClose(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	if _, err := c.Insert(t.Context(), todo("a", "x")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Insert(t.Context(), todo("b", "x")); err == nil {
		t.Fatal("wrote to a closed collection")
	}
	mustContent(t, c, map[string]string{"a": string(todo("a", "x"))})
}
