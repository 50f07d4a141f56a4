package query

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/query/jsregexp"
)

// golden is what testdata/generate.mjs wrote with RxDB 17.6.0 and mingo 7.2.4.
//
//go:embed testdata/rxdb-17.6.0-mingo-7.2.4.json.gz
var golden []byte

type goldenFile struct {
	Docs       []string
	Match      [][2]*string // selector, bits of the documents that match; nil: refused
	All        [][2]*string // the same with $all, by mingo alone
	Deviating  [][2]*string
	Distances  []int
	Sorts      [][2]string // sort, signs
	Normalized []normalizedCase
}

type normalizedCase struct {
	Indexes, Query string
	Sort           []map[string]string
}

func (c *normalizedCase) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&c.Indexes, &c.Query, &c.Sort})
}

func readGolden(t *testing.T) *goldenFile {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	var f goldenFile
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		t.Fatal(err)
	}
	return &f
}

func bitSet(hex string, i int) bool {
	return strings.IndexByte("0123456789abcdef", hex[i/4])>>(i%4)&1 == 1
}

var goldenSchema = &Schema{PrimaryPath: "id", Regexp: jsregexp.Compile}

// checkMatches compares a query with the golden bits.
func checkMatches(t *testing.T, f *goldenFile, selector string, want *string) {
	t.Helper()
	q, err := Parse([]byte(`{"selector":`+selector+`}`), goldenSchema)
	if err != nil || want == nil {
		if (err == nil) != (want != nil) {
			t.Errorf("%s: error %v, RxDB refuses: %v", selector, err, want == nil)
		}
		return
	}
	for i, doc := range f.Docs {
		if got := q.Match([]byte(doc)); got != bitSet(*want, i) {
			t.Errorf("%s on %s: %v, RxDB says %v", selector, doc, got, !got)
			return
		}
	}
}

func TestMatchGolden(t *testing.T) {
	f := readGolden(t)
	for _, c := range f.Match {
		if !knownDeviation(*c[0]) {
			checkMatches(t, f, *c[0], c[1])
		}
	}
	for _, c := range f.All {
		checkMatches(t, f, *c[0], c[1])
	}
}

// knownDeviation reports whether a generated case uses what TestDeviations lists.
func knownDeviation(selector string) bool {
	return strings.Contains(selector, "$mod") // numbers only
}

func TestSortGolden(t *testing.T) {
	f := readGolden(t)
	for _, c := range f.Sorts {
		q, err := Parse([]byte(`{"sort":`+c[0]+`}`), goldenSchema)
		if err != nil {
			t.Errorf("%s: %v", c[0], err)
			continue
		}
		signs := c[1]
		for i := range f.Docs {
			for _, d := range f.Distances {
				j := (i + d) % len(f.Docs)
				got := q.Compare(goldenID(i), []byte(f.Docs[i]), goldenID(j), []byte(f.Docs[j]))
				want := signs[0]
				signs = signs[1:]
				if want == '=' { // RxDB leaves such pairs in any order
					continue
				}
				if indexesString(q, f.Docs[i]) || indexesString(q, f.Docs[j]) { // see TestDeviations
					continue
				}
				if got != map[byte]int{'<': -1, '>': 1}[want] {
					t.Fatalf("%s: %s %s: %d, RxDB says %c", c[0], f.Docs[i], f.Docs[j], got, want)
				}
			}
		}
	}
}

// indexesString reports whether a sort field of q takes a character of a string by its index, as JavaScript would.
func indexesString(q *Query, doc string) bool {
	for _, part := range q.sort {
		v, _ := readValue([]byte(doc), 0)
		for _, seg := range part.path.segments {
			if v.kind == kindString && seg.canonical {
				return true
			}
			v = plainLookup(v, []segment{seg})
		}
	}
	return false
}

func goldenID(i int) string { return fmt.Sprintf("d%03d", i) }

func TestDefaultSortGolden(t *testing.T) {
	for _, c := range readGolden(t).Normalized {
		schema, err := ParseSchema([]byte(`{"primaryKey":"id","indexes":` + c.Indexes + `}`))
		if err != nil {
			t.Errorf("%s: %v", c.Indexes, err)
			continue
		}
		q, err := Parse([]byte(c.Query), schema)
		if err != nil {
			t.Errorf("%s %s: %v", c.Indexes, c.Query, err)
			continue
		}
		var want []string
		for _, part := range c.Sort {
			for field, direction := range part {
				want = append(want, field+" "+direction)
			}
			if part["id"] != "" {
				break // unique
			}
		}
		if got := strings.Join(sortOf(q), ", "); got != strings.Join(want, ", ") {
			t.Errorf("indexes %s, query %s: sort %s, RxDB says %s", c.Indexes, c.Query, got, want)
		}
	}
}

func sortOf(q *Query) []string {
	var out []string
	for _, part := range q.sort {
		direction := " asc"
		if part.desc {
			direction = " desc"
		}
		out = append(out, part.path.name+direction)
	}
	return out
}
