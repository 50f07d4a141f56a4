package query

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// mirror makes the edits on a copy of the result, as a user of them would.
func mirror(docs []*Doc, edits []Edit) []*Doc {
	for _, e := range edits {
		switch e.Kind {
		case Insert:
			docs = slices.Insert(docs, e.At, e.Doc)
		case Remove:
			docs = slices.Delete(docs, e.At, e.At+1)
		case Replace:
			docs[e.At] = e.Doc
		}
	}
	return docs
}

// liveCase is a live query beside the copy that its edits keep up to date.
type liveCase struct {
	query string
	q     *Query
	live  *Live
	copy  []*Doc
	count *LiveCount
}

func (c *liveCase) check(t *testing.T, seed uint64, step int, x *Indexes, docs map[string]*Doc, changes []Change) {
	t.Helper()
	edits := c.live.Apply(changes)
	before := slices.Clone(c.copy)
	c.copy = mirror(c.copy, edits)
	fresh := x.Plan(c.q).Find()
	where := fmt.Sprintf("seed %d, step %d: %s", seed, step, c.query)
	if got := c.live.Docs(); !slices.Equal(got, fresh) || c.live.Len() != len(fresh) {
		t.Fatalf("%s:\n got %v\nwant %v", where, idsOf(got), idsOf(fresh))
	}
	if !slices.Equal(c.copy, fresh) {
		t.Fatalf("%s: edits %v lead to\n     %v\nfrom %v\nwant %v", where, edits, idsOf(c.copy), idsOf(before), idsOf(fresh))
	}
	if step%16 == 0 {
		if want := scanAll(c.q, docs); !slices.Equal(idsOf(fresh), want) {
			t.Fatalf("%s: fresh %v, scan %v", where, idsOf(fresh), want)
		}
	}
	if len(changes) == 1 && len(edits) > 0 && slices.Equal(before, fresh) {
		t.Fatalf("%s: edits %v change nothing", where, edits)
	}
	if len(changes) == 1 && len(edits) > 4 {
		t.Fatalf("%s: %d edits for one change", where, len(edits))
	}
	counted, changed := c.count.Count(), c.count.Apply(changes)
	if now := x.Plan(c.q).Count(); c.count.Count() != now || changed != (counted != now) {
		t.Fatalf("%s: count %d, changed %v, fresh %d", where, c.count.Count(), changed, now)
	}
}

// TestLiveEqualsFresh checks after random changes, one by one and in batches, that a live result equals that of a fresh query, and
// that the edits lead to it.
func TestLiveEqualsFresh(t *testing.T) {
	for seed := range uint64(15) {
		r := newRandom(t, seed)
		s := r.schema()
		x := NewIndexes(s)
		docs := map[string]*Doc{}
		for range r.IntN(200) {
			d := r.flatDocument(r.id())
			docs[d.ID] = d
		}
		x.Build(slices.Collect(maps.Values(docs)))
		var cases []*liveCase
		for range 10 {
			query := r.query(s)
			q := mustParseWith(t, query, s)
			cases = append(cases, &liveCase{query, q, x.Live(q), x.Plan(q).Find(), x.LiveCount(q)})
		}
		for step := range 60 {
			var changes []Change
			for range 1 + r.IntN(4)*r.IntN(2)*r.IntN(20) {
				changes = append(changes, r.change(x, docs))
			}
			for _, c := range cases {
				c.check(t, seed, step, x, docs, changes)
			}
		}
	}
}

// TestLiveShrinksAndGrows takes a limited result through the end of what it holds in reserve, and back.
func TestLiveShrinksAndGrows(t *testing.T) {
	s := &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}}}
	x := NewIndexes(s)
	docs := map[string]*Doc{}
	for _, d := range people(500) {
		docs[d.ID] = d
	}
	x.Build(slices.Collect(maps.Values(docs)))
	query := `{"selector":{"active":true},"sort":[{"age":"desc"}],"skip":3,"limit":10}`
	q := mustParseWith(t, query, s)
	c := &liveCase{query, q, x.Live(q), x.Plan(q).Find(), x.LiveCount(q)}
	takeFirst := func() {
		for step := 0; c.live.Len() > 0; step++ {
			change := Change{Old: c.live.Docs()[0]}
			delete(docs, change.Old.ID)
			x.Update(change)
			c.check(t, 0, step, x, docs, []Change{change})
		}
	}
	takeFirst()
	for step, d := range people(500) {
		change := Change{Old: docs[d.ID], New: d}
		docs[d.ID] = d
		x.Update(change)
		c.check(t, 0, step, x, docs, []Change{change})
	}
	takeFirst()
}

// TestLiveHealsWhenToldWrong checks that a change whose old version is not what is held leads to a fresh result.
func TestLiveHealsWhenToldWrong(t *testing.T) {
	s := &Schema{PrimaryPath: "id"}
	x := NewIndexes(s)
	doc := func(id, body string) *Doc { return &Doc{ID: id, Body: []byte(body)} }
	a, b := doc("a", `{"n":1}`), doc("b", `{"n":2}`)
	x.Build([]*Doc{a, b})
	l := x.Live(mustParseWith(t, `{"selector":{"n":{"$gt":0}},"sort":[{"n":"asc"}]}`, s))
	was := l.Docs()
	newB := doc("b", `{"n":0.5}`)
	x.Update(Change{Old: b, New: newB})
	edits := l.Apply([]Change{{Old: doc("b", `{"n":7}`), New: newB}})
	if got := idsOf(mirror(was, edits)); !slices.Equal(got, []string{"b", "a"}) || !slices.Equal(idsOf(l.Docs()), got) {
		t.Errorf("got %v, %v", got, idsOf(l.Docs()))
	}
}

func TestLiveEdits(t *testing.T) {
	s := &Schema{PrimaryPath: "id"}
	x := NewIndexes(s)
	docs := map[string]*Doc{}
	set := func(id string, n int) Change {
		c := Change{Old: docs[id], New: &Doc{ID: id, Body: fmt.Appendf(nil, `{"n":%d}`, n)}}
		docs[id] = c.New
		x.Update(c)
		return c
	}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		set(id, i)
	}
	l := x.Live(mustParseWith(t, `{"selector":{"n":{"$lt":100}},"sort":[{"n":"asc"}],"skip":1,"limit":3}`, s)) // b c d
	for _, c := range []struct {
		what   string
		change Change
		want   string
	}{
		{"new version in place", set("c", 2), "[{3 1 c}]"},
		{"new version of one that is skipped", set("a", 0), "[]"},
		{"new version of one beyond the limit", set("e", 4), "[]"},
		{"move inside", set("b", 10), "[{2 0 } {1 2 e}]"}, // a c d e b
		{"back", set("b", 1), "[{2 2 } {1 0 b}]"},
		{"one before", set("z", -1), "[{2 2 } {1 0 a}]"}, // z a b c d e
		{"gone from the selector", set("z", 100), "[{2 0 } {1 2 d}]"},
		{"beyond the limit", set("y", 50), "[]"},
		{"swap of what is skipped", set("a", -5), "[]"},
		{"move of the first beyond the limit", set("e", 60), "[]"},
	} {
		got := "["
		for i, e := range l.Apply([]Change{c.change}) {
			if i > 0 {
				got += " "
			}
			id := ""
			if e.Doc != nil {
				id = e.Doc.ID
			}
			got += fmt.Sprintf("{%d %d %s}", e.Kind, e.At, id)
		}
		if got += "]"; got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
