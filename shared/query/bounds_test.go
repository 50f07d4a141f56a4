package query

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// TestParseBounds checks that queries beyond the bounds are refused by name, and those at the bounds are not.
func TestParseBounds(t *testing.T) {
	nest := func(open, shut string, n int) string { return strings.Repeat(open, n) + "{}" + strings.Repeat(shut, n) }
	list := func(n int) string { return strings.Repeat(`{"a":1},`, n-1) + `{"a":1}` }
	for _, c := range []struct{ what, query, want string }{
		{"or, deep", `{"selector":` + nest(`{"$or":[`, `]}`, 15) + `}`, ""},
		{"or, too deep", `{"selector":` + nest(`{"$or":[`, `]}`, 16) + `}`, "query: query: nests deeper than the 32 levels allowed"},
		{"value, far too deep", `{"selector":{"a":` + nest(`[`, `]`, 5000) + `}}`, "query: query: nests deeper than the 32 levels allowed"},
		{"many conditions", `{"selector":{"$or":[` + list(999) + `]}}`, ""},
		{"too many conditions", `{"selector":{"$or":[` + list(1000) + `]}}`, "query: selector.$or[999]: the selector has more than the 1000 conditions allowed"},
		{"long path", `{"selector":{"` + strings.Repeat("a.", 31) + `a":1}}`, ""},
		{"too long path", `{"selector":{"` + strings.Repeat("a.", 32) + `a":1}}`, "query: selector." + strings.Repeat("a.", 32) + "a: has more than the 32 parts allowed"},
		{"long pattern", `{"selector":{"a":{"$regex":"` + strings.Repeat("a", 1000) + `"}}}`, ""},
		{"too long pattern", `{"selector":{"a":{"$regex":"` + strings.Repeat("a", 1001) + `"}}}`, "query: selector.a.$regex: is 1001 bytes long; 1000 are allowed"},
		{"pattern that grows", `{"selector":{"a":{"$regex":"((a{99}){99}){99}"}}}`, "query: selector.a.$regex: \"((a{99}){99}){99}\" is no regular expression that can be used: invalid repeat count: `{99}`"},
		{"many values", `{"selector":{"a":{"$in":[` + strings.Repeat("1,", 99_999) + `1]}}}`, ""},
		{"too long", `{"selector":{"a":"` + strings.Repeat("x", maxQueryBytes) + `"}}`, fmt.Sprintf("query: query: is %d bytes long; 4194304 are allowed", maxQueryBytes+21)},
	} {
		_, err := Parse([]byte(c.query), goldenSchema)
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %.200s, want %q", c.what, got, c.want)
		}
	}
}

// TestDeepDocument checks that a document that nests very deeply, as a peer may send, costs no stack to speak of.
func TestDeepDocument(t *testing.T) {
	const depth = 200_000
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20)) // recursion into the document would be fatal
	deep := append(append([]byte(`{"a":`), bytes.Repeat([]byte(`[`), depth)...), bytes.Repeat([]byte(`]`), depth)...)
	deep = append(deep, '}')
	objects := []byte(`{"a":` + strings.Repeat(`{"a":`, depth) + `1` + strings.Repeat(`}`, depth) + `}`)
	for _, selector := range []string{
		`{"a":1}`, `{"a":[1]}`, `{"a.a":1}`, `{"a.a.a":{"$exists":true}}`, `{"a":{"$gt":[1]}}`, `{"a":{"$gt":{"b":1}}}`, `{"a":{"$regex":"a"}}`, `{"a":{"$in":[[1]]}}`, `{"a":{"$elemMatch":{"a":1}}}`, `{"a":{"$size":1}}`,
	} {
		q := mustParse(t, `{"selector":`+selector+`,"sort":[{"a":"asc"}]}`)
		onArrays := []string{`{"a":{"$size":1}}`, `{"a.a.a":{"$exists":true}}`, `{"a":{"$gt":[1]}}`}
		if q.Match(deep) != slices.Contains(onArrays, selector) {
			t.Errorf("%s: %v on nested arrays", selector, q.Match(deep))
		}
		if q.Match(objects) != (selector == `{"a.a.a":{"$exists":true}}`) {
			t.Errorf("%s: %v on nested objects", selector, q.Match(objects))
		}
		if q.Compare("x", deep, "x", deep) != 0 || q.Compare("x", objects, "x", deep) >= 0 {
			t.Errorf("%s: no order", selector)
		}
	}
}
