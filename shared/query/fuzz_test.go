package query

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/shoaldb/shoal/shared/query/jsregexp"
)

// FuzzParse checks that no query makes Parse, or what it returns, panic or run on.
func FuzzParse(f *testing.F) {
	schema := &Schema{PrimaryPath: "id", Indexes: [][]string{{"a"}, {"a.b", "b"}}, Regexp: jsregexp.Compile}
	var docs []*Doc
	for i, body := range []string{
		``, `,"a":1,"b":"x"`, `,"a":{"b":[1,{"c":2}]},"b":null`, `,"a":[[1,2],{"b":{"c":"\ud83d"}},"abc"],"b":true`, `,"a":"😀","b":-0`, `,"a":{"b":1.5e300}`,
	} {
		id := string(rune('a' + i))
		docs = append(docs, &Doc{ID: id, Body: []byte(`{"id":"` + id + `"` + body + `}`)})
	}
	x := NewIndexes(schema)
	x.Build(docs)
	byID := map[string]*Doc{}
	for _, d := range docs {
		byID[d.ID] = d
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := Parse(text, schema)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		p := x.Plan(q)
		got, want := idsOf(p.Find()), scanAll(q, byID)
		if len(got) != len(want) {
			t.Fatalf("found %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("found %v, want %v", got, want)
			}
		}
		p.Explain()
		p.Count()
	})
}

// FuzzMatch checks that no document makes Match, Compare or an index panic or run on, and that a valid one means the same as
// what encoding/json reads and writes of it.
func FuzzMatch(f *testing.F) {
	schema := &Schema{PrimaryPath: "id", Indexes: [][]string{{"a"}, {"a.b", "b"}}}
	queries := []*Query{}
	for _, selector := range []string{
		`{"a":1}`, `{"a":null}`, `{"a":"x"}`, `{"a":[1,2]}`, `{"a":{"b":1}}`, `{"a.b":{"$exists":true}}`, `{"a.b.c":{"$gt":0}}`, `{"a.0":{"$ne":1}}`, `{"a":{"$gte":"é"}}`, `{"a":{"$lt":[3]}}`, `{"a":{"$gt":{"b":0}}}`, `{"a":{"$in":[1,"x",null,[1],{"b":1}]}}`,
		`{"a":{"$regex":"^x.*\\s"}}`, `{"a":{"$size":2}}`, `{"a":{"$type":["int","object"]}}`, `{"a":{"$mod":[3,1]}}`, `{"a":{"$elemMatch":{"b":{"$gt":1}}}}`, `{"a":{"$elemMatch":{"$gt":1}}}`, `{"a":{"$all":[1,{"$elemMatch":{"b":1}}]}}`, `{"$nor":[{"a":1},{"b":{"$not":{"$gt":1}}}]}`,
	} {
		queries = append(queries, mustParse(f, `{"selector":`+selector+`,"sort":[{"a":"asc"},{"a.b":"desc"}]}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		again, same := rewritten(body)
		for i, q := range queries {
			match := q.Match(body)
			if same && q.Match(again) != match {
				t.Errorf("query %d: %s: %v, but not as %s", i, body, match, again)
			}
			if same && q.Compare("", body, "", again) != 0 {
				t.Errorf("query %d: %s and %s differ in order", i, body, again)
			}
			if q.Compare("a", body, "b", []byte(`{"a":1}`)) != -q.Compare("b", []byte(`{"a":1}`), "a", body) {
				t.Errorf("query %d: the order is not antisymmetric on %s", i, body)
			}
		}
		x := NewIndexes(schema)
		x.Update(Change{New: &Doc{ID: "x", Body: body}})
		x.Update(Change{Old: &Doc{ID: "x", Body: body}})
		if x.Len() != 0 || len(x.list[1].odd) != 0 {
			t.Errorf("an index holds what was removed")
		}
	})
}

// rewritten returns body as encoding/json reads and writes it. ok is false where that loses something: text that is not UTF-8,
// half of a surrogate pair, a number beyond a float64.
func rewritten(body []byte) (again []byte, ok bool) {
	var v any
	if !utf8.Valid(body) || bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) || json.Unmarshal(body, &v) != nil {
		return nil, false
	}
	again, err := json.Marshal(v)
	return again, err == nil
}
