package finder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

const schemaText = `{"version":0,"primaryKey":"id","type":"object","properties":{
	"id":{"type":"string"},"n":{"type":"number"},"city":{"type":"string"},"tags":{"type":"array"}},
	"indexes":["n",["city","n"]]}`

func mustSchema(t testing.TB) *query.Schema {
	t.Helper()
	s, err := query.ParseSchema([]byte(schemaText))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a collection on a disk, as one tab of several, with its Finder.
func open(t testing.TB, disk *memlog.Disk, opts *Options, before ...func([]collection.Change)) (*collection.Collection, *Finder) {
	t.Helper()
	db := disk.Open(nil)
	log, err := db.Log(context.Background(), "people")
	if err != nil {
		t.Fatal(err)
	}
	c, err := collection.Open(context.Background(), "people", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tell := range before {
		c.Subscribe(tell)
	}
	f := New(c, mustSchema(t), opts)
	t.Cleanup(func() {
		f.Close()
		if err := errors.Join(c.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, f
}

func (f *Finder) mustParse(t testing.TB, text string) *query.Query {
	t.Helper()
	q, err := f.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (f *Finder) mustFind(t testing.TB, q *query.Query) []*document.Entry {
	t.Helper()
	docs, err := f.Find(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func idsOf(docs []*document.Entry) string {
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	return strings.Join(ids, " ")
}

// scanned answers q without any index.
func scanned(c *collection.Collection, q *query.Query) string {
	var docs []collection.Document
	for d := range c.All() {
		if q.Match(d.Body) {
			docs = append(docs, d)
		}
	}
	slices.SortFunc(docs, func(a, b collection.Document) int { return q.Compare(a.ID, a.Body, b.ID, b.Body) })
	docs = docs[min(q.Skip(), len(docs)):]
	if n, ok := q.Limit(); ok {
		docs = docs[:min(n, len(docs))]
	}
	ids := make([]string, len(docs))
	for i := range docs {
		ids[i] = docs[i].ID
	}
	return strings.Join(ids, " ")
}

// mirror is what somebody has who is told of a live result.
type mirror struct {
	mu   sync.Mutex // guards the following field
	docs []*document.Entry
}

func (m *mirror) first(docs []*document.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.docs = docs
}

func (m *mirror) next(edits []query.Edit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range edits {
		switch e.Kind {
		case query.Insert:
			m.docs = slices.Insert(m.docs, e.At, e.Doc)
		case query.Remove:
			m.docs = slices.Delete(m.docs, e.At, e.At+1)
		case query.Replace:
			m.docs[e.At] = e.Doc
		}
	}
}

func (m *mirror) get() []*document.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.docs)
}

// randomWrites returns writes of all kinds, some of which fail.
func randomWrites(r *rand.Rand) []collection.Write {
	writes := make([]collection.Write, 1+r.IntN(2)*r.IntN(300))
	for i := range writes {
		id := fmt.Sprintf("p%03d", r.IntN(200))
		body := fmt.Sprintf(`{"id":%q,"n":%d,"city":"c%d","tags":["t%d"]}`, id, r.IntN(50), r.IntN(5), r.IntN(3))
		w := collection.Write{Kind: []collection.WriteKind{collection.WriteInsert, collection.WriteUpsert, collection.WritePatch, collection.WriteRemove}[r.IntN(4)], ID: id}
		switch w.Kind {
		case collection.WriteInsert, collection.WriteUpsert:
			w.Body = []byte(body)
		case collection.WritePatch:
			w.Body = fmt.Appendf(nil, `{"n":%d}`, r.IntN(50))
		}
		writes[i] = w
	}
	return writes
}

func tailOf(c *collection.Collection) (p store.Position) {
	c.View(func(v collection.View) { p = v.Tail() })
	return p
}

// meet blocks until both have read the same log.
func meet(t *testing.T, a, b *collection.Collection) {
	t.Helper()
	changed := make(chan struct{}, 1)
	note := func([]collection.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	defer a.Subscribe(note)()
	defer b.Subscribe(note)()
	for tailOf(a) != tailOf(b) {
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the tabs never met")
		}
	}
	a.Write(t.Context(), nil) // returns when all before it has been announced
}

// watched is a query, with what is told of its result.
type watched struct {
	q     *query.Query
	live  mirror
	count atomic.Int64
}

var queries = []string{
	`{}`,
	`{"selector":{"n":{"$gte":10,"$lt":30}}}`,
	`{"selector":{"city":"c1"},"sort":[{"n":"desc"}]}`,
	`{"selector":{"tags":"t1"},"sort":[{"city":"asc"},{"n":"desc"}],"skip":3,"limit":10}`,
	`{"sort":[{"n":"asc"}],"limit":5}`,
	`{"selector":{"$or":[{"n":7},{"city":"c3"}]}}`,
	`{"selector":{"id":"p007"}}`,
}

// TestLiveEqualsFresh writes at random in two tabs, one of which has live queries. Those equal fresh ones, and a scan, whatever happened.
func TestLiveEqualsFresh(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		disk := memlog.New(nil)
		a, f := open(t, disk, &Options{Pause: func(context.Context) error { return nil }})
		b, _ := open(t, disk, nil)
		a.Write(t.Context(), randomWrites(r))
		var all []*watched
		for step := range 25 {
			if step%8 == 0 {
				w := &watched{q: f.mustParse(t, queries[r.IntN(len(queries))])}
				all = append(all, w)
				live, err := f.Live(t.Context(), w.q, w.live.first, w.live.next)
				if err != nil {
					t.Fatal(err)
				}
				count, err := f.LiveCount(t.Context(), w.q, func(n int) { w.count.Store(int64(n)) })
				if err != nil {
					t.Fatal(err)
				}
				defer live.Stop()
				defer count.Stop()
			}
			tab := []*collection.Collection{a, b}[r.IntN(2)]
			tab.Write(t.Context(), randomWrites(r))
			meet(t, a, b)
			for i, w := range all {
				fresh := f.mustFind(t, w.q) // what is watched is up to date afterwards
				if want := scanned(a, w.q); idsOf(fresh) != want {
					t.Fatalf("seed %d, step %d, query %d: found %s, want %s", seed, step, i, idsOf(fresh), want)
				}
				if got := w.live.get(); !slices.Equal(got, fresh) {
					t.Fatalf("seed %d, step %d, query %d: live %s, fresh %s", seed, step, i, idsOf(got), idsOf(fresh))
				}
				n, err := f.Count(t.Context(), w.q)
				if err != nil || n != len(f.mustFind(t, w.q.WithWindow(0, -1))) || w.count.Load() != int64(n) {
					t.Fatalf("seed %d, step %d, query %d: counted %d, live %d, %v", seed, step, i, n, w.count.Load(), err)
				}
			}
		}
	}
}

// TestWritersWhileQueried has writers and readers at the same time, for the race detector, and checks that results are of one moment: the
// documents of a commit are all there or none.
func TestWritersWhileQueried(t *testing.T) {
	c, f := open(t, memlog.New(nil), nil)
	q := f.mustParse(t, `{"selector":{"n":{"$gte":0}},"sort":[{"city":"asc"}]}`)
	var m mirror
	live, err := f.Live(t.Context(), q, m.first, m.next)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := range 40 {
				var writes []collection.Write
				for k := range 10 {
					id := fmt.Sprintf("g%d-%02d", g, k)
					writes = append(writes, collection.Write{Kind: collection.WriteUpsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d,"city":"c%d"}`, id, i, k)})
				}
				c.Write(t.Context(), writes)
			}
		})
	}
	for range 60 {
		docs := f.mustFind(t, q)
		if len(docs)%10 != 0 {
			t.Fatalf("%d documents", len(docs))
		}
	}
	wg.Wait()
	if got, want := m.get(), f.mustFind(t, q); len(want) != 30 || !slices.Equal(got, want) && !slices.Equal(m.get(), want) {
		t.Errorf("live %s, want %s", idsOf(got), idsOf(want))
	}
	live.Stop()
}

// TestForgottenIndexes writes more between two queries than is worth noting.
func TestForgottenIndexes(t *testing.T) {
	c, f := open(t, memlog.New(nil), nil)
	q := f.mustParse(t, `{"selector":{"n":{"$lt":3}}}`)
	if len(f.mustFind(t, q)) != 0 {
		t.Fatal("found something")
	}
	for round := range 3 {
		writes := make([]collection.Write, forgetAt)
		for i := range writes {
			id := fmt.Sprintf("%d-%d", round, i)
			writes[i] = collection.Write{Kind: collection.WriteInsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, i)}
		}
		c.Write(t.Context(), writes)
	}
	f.mu.Lock()
	noting, pending := f.noting, len(f.pending)
	f.mu.Unlock()
	if noting || pending > 0 {
		t.Errorf("noting: %v, %d changes wait", noting, pending)
	}
	if got, want := idsOf(f.mustFind(t, q)), scanned(c, q); got != want || len(strings.Fields(got)) != 9 {
		t.Errorf("found %s, want %s", got, want)
	}
}

// TestManyChangesWhileLiveBegins has more come than is worth noting while the first result of a live query is made. It gets all of that.
func TestManyChangesWhileLiveBegins(t *testing.T) {
	c, f := open(t, memlog.New(nil), nil)
	q := f.mustParse(t, `{"selector":{"n":{"$gte":0}}}`)
	flood := func(prefix string) {
		writes := make([]collection.Write, forgetAt+1)
		for i := range writes {
			id := fmt.Sprintf("%s%d", prefix, i)
			writes[i] = collection.Write{Kind: collection.WriteInsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, i)}
		}
		c.Write(t.Context(), writes)
	}
	var m mirror
	live, err := f.Live(t.Context(), q, func(docs []*document.Entry) { m.first(docs); flood("a") }, m.next)
	if err != nil {
		t.Fatal(err)
	}
	fresh := f.mustFind(t, q) // what is watched is up to date afterwards
	if got := m.get(); len(fresh) != forgetAt+1 || !slices.Equal(got, fresh) {
		t.Errorf("live result of %d documents, fresh one of %d", len(got), len(fresh))
	}
	live.Stop()

	flood("b") // nobody watches: the indexes are given up
	last := 0
	count, err := f.LiveCount(t.Context(), q, func(n int) {
		if last = n; n == 2*(forgetAt+1) {
			flood("c")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f.mustFind(t, q)
	if last != 3*(forgetAt+1) {
		t.Errorf("live count %d", last)
	}
	count.Stop()
}

// TestChangesThatIndexesHaveAlready makes the indexes between the moment at which the collection holds a commit and the one at which the
// Finder is told of it.
func TestChangesThatIndexesHaveAlready(t *testing.T) {
	var f *Finder
	var counts []int
	c, f := open(t, memlog.New(nil), nil, func([]collection.Change) {
		if len(counts) > 0 {
			return
		}
		if _, err := f.LiveCount(context.Background(), f.mustParse(t, `{"selector":{"n":1}}`), func(n int) { counts = append(counts, n) }); err != nil {
			t.Error(err)
		}
	})
	if r := c.Write(t.Context(), []collection.Write{
		{Kind: collection.WriteInsert, ID: "a", Body: []byte(`{"id":"a","n":1}`)},
		{Kind: collection.WriteInsert, ID: "b", Body: []byte(`{"id":"b","n":1,"tags":[]}`)},
	}); r[0].Err != nil || r[1].Err != nil {
		t.Fatal(r)
	}
	if _, err := c.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Count(t.Context(), f.mustParse(t, `{"selector":{"n":1}}`)); n != 1 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	if !slices.Equal(counts, []int{2, 1}) {
		t.Errorf("live counts were %v", counts)
	}
}

// TestUnindexed asks for all documents before there are indexes, in logs that have them in order and that do not.
func TestUnindexed(t *testing.T) {
	for _, keys := range []string{"a b c d", "b a d c", "a \U0001F41F \uE000", "a \uE000 \U0001F41F"} {
		c, f := open(t, memlog.New(nil), nil)
		for _, key := range strings.Fields(keys) {
			if _, err := c.Insert(t.Context(), fmt.Appendf(nil, `{"id":"%s","n":1}`, key)); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range []string{`{"sort":[{"id":"asc"}]}`, `{"sort":[{"id":"desc"}]}`, `{"sort":[{"id":"asc"}],"skip":1,"limit":1}`, `{"sort":[{"id":"asc"}],"skip":9}`} {
			q := f.mustParse(t, text)
			first := idsOf(f.mustFind(t, q))
			if want := scanned(c, q); first != want {
				t.Errorf("%s, %s: found %s, want %s", keys, text, first, want)
			}
		}
		f.mustFind(t, f.mustParse(t, `{"selector":{"n":1}}`)) // makes the indexes
		if got, want := idsOf(f.mustFind(t, f.mustParse(t, `{"sort":[{"id":"asc"}]}`))), scanned(c, f.mustParse(t, `{"sort":[{"id":"asc"}]}`)); got != want {
			t.Errorf("%s: found %s by the index, want %s", keys, got, want)
		}
	}
}

func TestExplainNamesTheIndex(t *testing.T) {
	c, f := open(t, memlog.New(nil), nil)
	for i := range 100 {
		if _, err := c.Insert(t.Context(), fmt.Appendf(nil, `{"id":"p%d","n":%d,"city":"c%d"}`, i, i, i%4)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := f.Explain(t.Context(), f.mustParse(t, `{"selector":{"city":"c1","n":{"$gt":90}}}`))
	if err != nil || !slices.Equal(e.Index, []string{"city", "n", "id"}) || e.Examined != 2 || !e.Settled {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestClosedFinder(t *testing.T) {
	c, f := open(t, memlog.New(nil), nil)
	q := f.mustParse(t, `{"selector":{"n":1}}`)
	told := 0
	if _, err := f.Live(t.Context(), q, func([]*document.Entry) { told++ }, func([]query.Edit) { told++ }); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := c.Insert(t.Context(), []byte(`{"id":"a","n":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Find(t.Context(), q); !errors.Is(err, net.ErrClosed) {
		t.Errorf("find: %v", err)
	}
	if _, err := f.Count(t.Context(), q); !errors.Is(err, net.ErrClosed) {
		t.Errorf("count: %v", err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, g := open(t, memlog.New(nil), nil)
	if _, err := g.Find(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("find with a context that has ended: %v", err)
	}
}
