package query

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/query/jsregexp"
)

// scanAll is the answer by looking at every document.
func scanAll(q *Query, docs map[string]*Doc) []string {
	var hits []*Doc
	for _, d := range docs {
		if q.Match(d.Body) {
			hits = append(hits, d)
		}
	}
	slices.SortFunc(hits, func(a, b *Doc) int { return q.Compare(a.ID, a.Body, b.ID, b.Body) })
	hits = hits[min(q.skip, len(hits)):]
	if q.limit >= 0 {
		hits = hits[:min(q.limit, len(hits))]
	}
	return idsOf(hits)
}

func idsOf(docs []*Doc) []string {
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	return ids
}

func (r random) schema() *Schema {
	s := &Schema{PrimaryPath: "id", Regexp: jsregexp.Compile}
	fields := []string{"a", "b", "c", "a.b", "a.0", "id"}
	for range r.IntN(4) {
		index := slices.Clone(fields[:])
		r.Shuffle(len(index), func(i, j int) { index[i], index[j] = index[j], index[i] })
		s.Indexes = append(s.Indexes, index[:1+r.IntN(3)])
	}
	return s
}

// indexable makes conditions that indexes can serve more often than selector does.
func (r random) indexable() map[string]any {
	m := map[string]any{}
	for range r.IntN(4) {
		field := pick(r, "a", "b", "c", "a.b", "a.0", "id")
		conditions := map[string]any{}
		for range 1 + r.IntN(2) {
			switch name := pick(r, "$eq", "$eq", "$in", "$gt", "$gte", "$lt", "$lte", "$exists", "$ne", "$nin", "$regex", "$not", "$type", "$mod", "$size"); name {
			case "$in", "$nin":
				conditions[name] = []any{r.value(0), r.value(0), r.id(), r.value(1)}[:r.IntN(5)]
			case "$exists":
				conditions[name] = r.IntN(2) == 0
			case "$regex":
				conditions[name] = pick(r, "^a", "^d00", "^", "b")
			case "$not":
				conditions[name] = map[string]any{pick(r, "$gt", "$eq", "$lte"): r.value(0)}
			case "$type":
				conditions[name] = pick(r, "null", "undefined", "int", "number", "string", "boolean")
			case "$mod":
				conditions[name] = []any{2, r.IntN(2)}
			case "$size":
				conditions[name] = r.IntN(2)
			default:
				conditions[name] = pick(r, r.value(0), r.value(1), any(r.id()))
			}
		}
		m[field] = conditions
	}
	if r.IntN(4) == 0 {
		m[pick(r, "$or", "$and", "$nor")] = []any{map[string]any{"a": r.value(0)}, map[string]any{pick(r, "a", "b"): map[string]any{"$gt": r.value(0)}}}
	}
	return m
}

func (r random) id() string { return fmt.Sprintf("d%04d", r.IntN(400)) }

func (r random) query(s *Schema) string {
	q := map[string]any{"selector": pick(r, r.indexable, func() map[string]any { return r.selector(2) })()}
	if r.IntN(4) > 0 {
		var sort []any
		for range r.IntN(3) {
			sort = append(sort, map[string]any{pick(r, "a", "b", "c", "a.b", "id"): pick(r, "asc", "desc")})
		}
		if len(s.Indexes) > 0 && r.IntN(2) == 0 { // what an index can serve
			direction := pick(r, "asc", "desc")
			sort = nil
			for _, field := range s.Indexes[r.IntN(len(s.Indexes))] {
				sort = append(sort, map[string]any{field: direction})
			}
		}
		if len(sort) > 0 {
			q["sort"] = sort
		}
	}
	if r.IntN(2) == 0 {
		q["limit"] = r.IntN(12)
	}
	if r.IntN(3) == 0 {
		q["skip"] = r.IntN(8)
	}
	if len(s.Indexes) > 0 && r.IntN(4) == 0 {
		q["index"] = s.Indexes[r.IntN(len(s.Indexes))]
	}
	return text(q)
}

// flatDocument has scalars in its fields more often than document.
func (r random) flatDocument(id string) *Doc {
	m := r.object(0, 1+r.IntN(4))
	if r.IntN(8) == 0 {
		m = r.object(3, 1+r.IntN(4))
	}
	if r.IntN(3) == 0 {
		m["a"] = map[string]any{"b": r.scalar()}
	}
	m["id"] = id
	return &Doc{ID: id, Body: []byte(text(m))}
}

func TestPlanEqualsScan(t *testing.T) {
	for seed := range uint64(25) {
		r := newRandom(t, seed)
		s := r.schema()
		x := NewIndexes(s)
		docs := map[string]*Doc{}
		for range r.IntN(300) {
			d := r.flatDocument(r.id())
			docs[d.ID] = d
		}
		x.Build(slices.Collect(maps.Values(docs)))
		for step := range 80 {
			r.change(x, docs)
			query := r.query(s)
			q := mustParseWith(t, query, s)
			p := x.Plan(q)
			got, want := idsOf(p.Find()), scanAll(q, docs)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %s with indexes %v:\n got %v\nwant %v\nplan %s", seed, step, query, s.Indexes, got, want, text(p.Explain()))
			}
			if count, want := x.Plan(q).Count(), len(scanAll(q.WithWindow(0, -1), docs)); count != want {
				t.Fatalf("seed %d, step %d: %s with indexes %v: count %d, want %d, plan %s", seed, step, query, s.Indexes, count, want, text(p.Explain()))
			}
		}
	}
}

// TestRunInSteps checks that a query answered in steps, between which documents change, gives the answer of its start.
func TestRunInSteps(t *testing.T) {
	for seed := range uint64(15) {
		r := newRandom(t, seed)
		s := r.schema()
		x := NewIndexes(s)
		docs := map[string]*Doc{}
		for range 400 {
			r.change(x, docs)
		}
		for step := range 60 {
			query := r.query(s)
			q := mustParseWith(t, query, s)
			p := x.Plan(q)
			want, count := p.Find(), p.Count()
			run, counting := p.Start(), p.StartCount()
			size, steps := 1+r.IntN(50), 1
			for run.Step(size) {
				r.change(x, docs)
				steps++
			}
			for counting.Step(size) {
				r.change(x, docs)
			}
			if !slices.Equal(run.Docs(), want) || counting.Count() != count {
				t.Fatalf("seed %d, step %d: %s with indexes %v by %d:\n got %v, %d\nwant %v, %d", seed, step, query, s.Indexes, size, idsOf(run.Docs()), counting.Count(), idsOf(want), count)
			}
			if least := p.way.size - len(p.way.index.odd); q.limit < 0 && steps*size < least/2 {
				t.Fatalf("seed %d, step %d: %s: %d steps of %d for %d candidates", seed, step, query, steps, size, least)
			}
		}
	}
}

// change inserts, changes or removes one document.
func (r random) change(x *Indexes, docs map[string]*Doc) Change {
	id := r.id()
	c := Change{Old: docs[id]}
	if c.Old == nil || r.IntN(3) > 0 {
		c.New = r.flatDocument(id)
		docs[id] = c.New
	} else {
		delete(docs, id)
	}
	x.Update(c)
	return c
}

// TestUpdateEqualsBuild checks that indexes after many updates hold what indexes built from the same documents hold.
func TestUpdateEqualsBuild(t *testing.T) {
	for seed := range uint64(10) {
		r := newRandom(t, seed)
		s := r.schema()
		x := NewIndexes(s)
		docs := map[string]*Doc{}
		for range 2000 {
			r.change(x, docs)
		}
		fresh := NewIndexes(s)
		fresh.Build(slices.Collect(maps.Values(docs)))
		if x.Len() != len(docs) {
			t.Errorf("seed %d: %d documents, want %d", seed, x.Len(), len(docs))
		}
		for i, ix := range x.list {
			keys, values := ix.tree.KeyValues()
			wantKeys, wantValues := fresh.list[i].tree.KeyValues()
			if !slices.Equal(keys, wantKeys) || !slices.Equal(values, wantValues) || !maps.Equal(ix.odd, fresh.list[i].odd) {
				t.Errorf("seed %d: index %v differs", seed, ix.names())
			}
		}
	}
}

// TestBuildInSteps checks that a build in small pieces holds what updates make, over the ends of runs.
func TestBuildInSteps(t *testing.T) {
	s := &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}, {"city", "age"}}}
	for _, n := range []int{0, 1, runSize - 1, runSize, runSize + 1, 2*runSize + 1234} {
		docs := people(n)
		x, want := NewIndexes(s), NewIndexes(s)
		b := x.StartBuild(n)
		for chunk := range slices.Chunk(docs, 999) {
			b.Add(chunk...)
		}
		steps := 1
		for b.Step(500) {
			steps++
		}
		if least := 3 * n / 500; steps < least {
			t.Errorf("%d documents: %d steps, want at least %d", n, steps, least)
		}
		for _, d := range docs {
			want.Update(Change{New: d})
		}
		for i, ix := range x.list {
			keys, values := ix.tree.KeyValues()
			wantKeys, wantValues := want.list[i].tree.KeyValues()
			if !slices.Equal(keys, wantKeys) || !slices.Equal(values, wantValues) || len(keys) != n {
				t.Errorf("%d documents: index %v differs", n, ix.names())
			}
		}
	}
}

func people(n int) []*Doc {
	docs := make([]*Doc, n)
	for i := range docs {
		id := fmt.Sprintf("p%05d", i*7919%n)
		body := fmt.Sprintf(`{"id":%q,"name":"name %d","age":%d,"city":"city %d","active":%t,"note":"%s"}`, id, i%1000, i%90, i%50, i%3 == 0, strings.Repeat("x", 60))
		docs[i] = &Doc{ID: id, Body: []byte(body)}
	}
	return docs
}

func TestExplain(t *testing.T) {
	s := &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}, {"city", "age"}, {"active", "name"}}, Regexp: jsregexp.Compile}
	x := NewIndexes(s)
	x.Build(people(9000))
	x.Update(Change{New: &Doc{ID: "odd", Body: []byte(`{"id":"odd","age":[1,2],"city":"city 1"}`)}})
	for _, c := range []struct {
		query                                            string
		index                                            string
		bounds                                           string
		settled                                          bool
		sort                                             string
		candidates, unordered, found, examined, counting int
	}{
		{`{"selector":{"id":"p00003"}}`, "id", `id: "p00003"`, true, "memory", 1, 0, 1, 1, 0},
		{`{"selector":{"id":"p00003"},"sort":[{"id":"asc"}]}`, "id", `id: "p00003"`, true, "index", 1, 0, 1, 1, 0},
		{`{"selector":{"id":{"$in":["p00003","p00001","nobody"]}},"sort":[{"id":"asc"}]}`, "id", `id: "nobody", "p00001", "p00003"`, true, "index", 2, 0, 2, 2, 0},
		{`{"selector":{"age":{"$gte":30,"$lt":32}}}`, "age,id", `age: [30, 32)`, true, "index", 201, 1, 200, 201, 1},
		{`{"selector":{"city":"city 7","age":{"$gt":60}},"sort":[{"age":"asc"}]}`, "city,age,id", `city: "city 7"; age: (60, end of numbers)`, true, "index", 61, 1, 60, 61, 1},
		{`{"selector":{"city":"city 7","age":{"$gt":60}},"sort":[{"age":"desc"}],"limit":5}`, "city,age,id", `city: "city 7"; age: (60, end of numbers)`, true, "index", 61, 1, 5, 0, 1},
		{`{"selector":{"city":"city 7","name":{"$regex":"^name 1"}},"sort":[{"name":"asc"}]}`, "city,age,id", `city: "city 7"`, false, "memory", 181, 1, 0, 0, 0},
		{`{"selector":{"active":true,"name":{"$regex":"^name 99"}},"sort":[{"name":"asc"}]}`, "active,name,id", `active: true; name: ["name 99", "name 9:")`, false, "index", 33, 0, 33, 33, 33},
		{`{"selector":{"name":"name 5"},"sort":[{"id":"asc"}],"limit":2}`, "id", ``, false, "index", 9001, 0, 2, 0, 0},
		{`{"selector":{"name":"name 5"},"sort":[{"note":"asc"}]}`, "id", ``, false, "memory", 9001, 0, 9, 9001, 9001},
		{`{"selector":{"city":"city 7","name":"name 7"},"sort":[{"age":"asc"}],"limit":5}`, "city,age,id", `city: "city 7"`, false, "index", 181, 1, 5, 0, 181},
		{`{"selector":{"id":{"$gt":"p08900"},"name":"name 7"},"sort":[{"age":"asc"}],"limit":5}`, "id", `id: ("p08900", end of strings)`, false, "memory", 99, 0, 0, 99, 99},
		{`{"sort":[{"age":"desc"}],"limit":3}`, "age,id", ``, true, "index", 9001, 1, 3, 0, 1},
		{`{"selector":{"age":null}}`, "age,id", `age: missing, null`, true, "index", 1, 1, 0, 1, 1},
		{`{"selector":{"age":{"$ne":5}},"index":"age"}`, "age,id", `age: [first, 5), (5, last)`, true, "index", 8901, 1, 8901, 8901, 1},
		{`{"selector":{"age":{"$elemMatch":{"$gt":1}}}}`, "age,id", `age: nothing`, true, "index", 1, 1, 1, 1, 1},
	} {
		q := mustParseWith(t, c.query, s)
		p := x.Plan(q)
		found := len(p.Find())
		e := p.Explain()
		if got := strings.Join(e.Index, ","); got != c.index {
			t.Errorf("%s: index %s, want %s (%s)", c.query, got, c.index, text(e))
			continue
		}
		if got := strings.Join(e.Bounds, "; "); got != c.bounds || e.Settled != c.settled || e.Sort != c.sort || e.Candidates != c.candidates || e.Unordered != c.unordered {
			t.Errorf("%s: %s", c.query, text(e))
		}
		if c.found > 0 && found != c.found || c.examined > 0 && e.Examined != c.examined {
			t.Errorf("%s: found %d, examined %d", c.query, found, e.Examined)
		}
		if p := x.Plan(q); c.counting > 0 {
			if n := p.Count(); p.Explain().Examined != c.counting {
				t.Errorf("%s: count %d examined %d", c.query, n, p.Explain().Examined)
			}
		}
		if e.Reason == "" || !json.Valid([]byte(text(e))) {
			t.Errorf("%s: %s", c.query, text(e))
		}
	}
}

// TestLimitStopsEarly checks that a limit in the order of an index looks at little more than it returns.
func TestLimitStopsEarly(t *testing.T) {
	s := &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}}}
	x := NewIndexes(s)
	x.Build(people(9000))
	for _, c := range []struct {
		query string
		most  int
	}{
		{`{"sort":[{"age":"asc"}],"limit":10}`, 10},
		{`{"sort":[{"age":"desc"}],"limit":10}`, 10},
		{`{"sort":[{"id":"asc"}],"skip":5,"limit":10}`, 15},
		{`{"selector":{"active":true},"sort":[{"age":"desc"}],"limit":10}`, 220},
		{`{"sort":[{"age":"asc"},{"name":"asc"}],"limit":10}`, 101},
	} {
		p := x.Plan(mustParseWith(t, c.query, s))
		if n := len(p.Find()); n != 10 || p.Explain().Examined > c.most {
			t.Errorf("%s: %d found, %s", c.query, n, text(p.Explain()))
		}
	}
}
