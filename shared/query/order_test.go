package query

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestSortOrder shows the order of values of different types in one field.
func TestSortOrder(t *testing.T) {
	inOrder := []string{
		`{}`, `{"a":[]}`, `{"a":null}`, `{"a":[null,9]}`, `{"a":-1e400}`, `{"a":-10}`, `{"a":-9.5}`, `{"a":0}`, `{"a":5e-324}`, `{"a":1}`, `{"a":[9,1]}`, `{"a":9}`, `{"a":10}`, `{"a":1e400}`,
		`{"a":""}`, `{"a":"\u0000"}`, `{"a":"\u0000a"}`, `{"a":"A"}`, `{"a":["A"]}`, `{"a":"AA"}`, `{"a":"a"}`, `{"a":"a\u0000"}`, `{"a":"ab"}`, `{"a":"é"}`, `{"a":"😀"}`, `{"a":"\ud83d\ude01"}`, `{"a":"\udfff"}`, `{"a":"\ue000"}`, `{"a":"\uffff"}`,
		`{"a":{}}`, `{"a":{"b":1}}`, `{"a":{"b":2}}`, `{"a":[{"b":2}]}`, `{"a":{"b":1,"c":0}}`, `{"a":{"c":0}}`, `{"a":[[]]}`, `{"a":[[1,2]]}`, `{"a":[[3]]}`, `{"a":false}`, `{"a":true}`, `{"a":[true]}`, `{"a":[true,true]}`,
	}
	up, down := mustParse(t, `{"sort":[{"a":"asc"}]}`), mustParse(t, `{"sort":[{"a":"desc"}]}`)
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got := up.Compare("x", []byte(a), "x", []byte(b)); got != cmp.Compare(i, j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
			if got := down.Compare("x", []byte(a), "x", []byte(b)); got != cmp.Compare(j, i) {
				t.Errorf("descending, %s to %s: %d", a, b, got)
			}
		}
	}
}

func TestSortByPrimaryKey(t *testing.T) {
	ids := []string{"", "A", "a", "a\\b", "aa", "é", "😀", "😁", "\uE000"}
	q := mustParse(t, `{}`)
	body := []byte(`{}`)
	for i, a := range ids {
		for j, b := range ids {
			if got := q.Compare(a, body, b, body); got != cmp.Compare(i, j) {
				t.Errorf("%q to %q: %d", a, b, got)
			}
		}
	}
	q = mustParse(t, `{"sort":[{"a":"desc"},{"id":"desc"},{"b":"asc"}]}`)
	if got := strings.Join(sortOf(q), ", "); got != "a desc, id desc" {
		t.Errorf("sort %s", got)
	}
}

// TestOrderIsTotal checks on random values that Compare is antisymmetric and transitive: sorting gives one order, in which any two
// compare as their places do.
func TestOrderIsTotal(t *testing.T) {
	const seed = 2
	r := newRandom(t, seed)
	for range 20 {
		docs := make([]string, 60)
		for i := range docs {
			docs[i] = text(map[string]any{"a": r.value(3), "b": r.value(1)})
		}
		q := mustParse(t, pick(r, `{"sort":[{"a":"asc"}]}`, `{"sort":[{"a":"desc"},{"b":"asc"}]}`, `{"sort":[{"b":"asc"},{"a":"asc"}]}`))
		compare := func(a, b string) int { return q.Compare("", []byte(a), "", []byte(b)) }
		slices.SortFunc(docs, compare)
		for i := range docs {
			for j := i; j < len(docs); j++ {
				if there, back := compare(docs[i], docs[j]), compare(docs[j], docs[i]); there > 0 || back != -there {
					t.Fatalf("%s before %s: %d, %d", docs[i], docs[j], there, back)
				}
			}
		}
	}
}

// TestOrderOracle compares the plain order of values with the oracle's.
func TestOrderOracle(t *testing.T) {
	const seed = 3
	r := newRandom(t, seed)
	for range 20_000 {
		a, b := r.value(3), r.value(3)
		va, _ := readValue([]byte(text(a)), 0)
		vb, _ := readValue([]byte(text(b)), 0)
		got := strings.Compare(string(appendOrder(nil, va, 0)), string(appendOrder(nil, vb, 0)))
		if want := cmp.Compare(oracleCompare(a, b), 0); got != want {
			t.Fatalf("%s to %s: %d, want %d", text(a), text(b), got, want)
		}
	}
}

// TestQueryIsShared uses one query from several goroutines; the race detector has the say.
func TestQueryIsShared(t *testing.T) {
	q := mustParse(t, `{"selector":{"a":{"$gt":10},"b.c":{"$regex":"^x"}},"sort":[{"b.c":"desc"}]}`)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 500 {
				body := fmt.Appendf(nil, `{"a":%d,"b":{"c":"x%d"}}`, i, i)
				if q.Match(body) != (i > 10) || q.Compare("1", body, "1", []byte(`{"b":{"c":"x"}}`)) >= 0 {
					t.Errorf("wrong on %s", body)
				}
			}
		})
	}
	all.Wait()
}

func mustParse(t testing.TB, query string) *Query {
	t.Helper()
	return mustParseWith(t, query, goldenSchema)
}

func mustParseWith(t testing.TB, query string, schema *Schema) *Query {
	t.Helper()
	q, err := Parse([]byte(query), schema)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return q
}
