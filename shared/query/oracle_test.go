package query

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// The oracle says what a selector means on plain Go values: map[string]any, []any, float64, string, bool, nil and missing.
// It is written from mingo's description, without regard to speed, and shares no code with the package.

type missingValue struct{}

var missing any = missingValue{}

func oracleMatch(t testing.TB, selector, doc string) bool {
	t.Helper()
	return oracleSelector(decode(t, selector), decode(t, doc))
}

func decode(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func oracleSelector(selector, doc any) bool {
	for key, operand := range selector.(map[string]any) {
		ok := false
		switch key {
		case "$and":
			ok = !slices.ContainsFunc(operand.([]any), func(s any) bool { return !oracleSelector(s, doc) })
		case "$or":
			ok = slices.ContainsFunc(operand.([]any), func(s any) bool { return oracleSelector(s, doc) })
		case "$nor":
			ok = !slices.ContainsFunc(operand.([]any), func(s any) bool { return oracleSelector(s, doc) })
		default:
			ok = oracleField(strings.Split(key, "."), operand, doc)
		}
		if !ok {
			return false
		}
	}
	return true
}

func isOperatorObject(operand any) (map[string]any, bool) {
	operators, ok := operand.(map[string]any)
	for key := range operators {
		if len(key) > 1 && key[0] == '$' {
			return operators, ok
		}
	}
	return nil, false
}

func oracleField(path []string, operand, doc any) bool {
	operators, ok := isOperatorObject(operand)
	if !ok {
		operators = map[string]any{"$eq": operand}
	}
	for name, operand := range operators {
		if !oracleOperator(path, name, operand, operators, doc) {
			return false
		}
	}
	return true
}

func oracleOperator(path []string, name string, operand any, beside map[string]any, doc any) bool {
	if name == "$not" {
		return !oracleField(path, operand, doc)
	}
	if name == "$exists" {
		return oracleExists(path, doc) == operand.(bool)
	}
	v := oracleResolve(path, doc)
	switch name {
	case "$eq":
		return oracleEq(v, operand, len(path)-1)
	case "$ne":
		return !oracleEq(v, operand, len(path)-1)
	case "$gt", "$gte", "$lt", "$lte":
		return slices.ContainsFunc(listOf(v), func(e any) bool {
			if rankOf(e) != rankOf(operand) {
				return false
			}
			order := oracleCompare(e, operand)
			return map[string]bool{"$gt": order > 0, "$gte": order >= 0, "$lt": order < 0, "$lte": order <= 0}[name]
		})
	case "$in":
		return oracleIn(v, operand.([]any))
	case "$nin":
		return !oracleIn(v, operand.([]any))
	case "$regex":
		flags, _ := beside["$options"].(string)
		re := regexp.MustCompile("(?" + flags + ":" + operand.(string) + ")")
		match := func(e any) bool { s, ok := e.(string); return ok && re.MatchString(s) }
		return slices.ContainsFunc(flat(listOf(v), 1), match)
	case "$options":
		return true
	case "$size":
		list, ok := v.([]any)
		return ok && float64(len(list)) == operand.(float64)
	case "$type":
		return oracleType(v, operand.(string))
	case "$mod":
		mod := operand.([]any)
		return slices.ContainsFunc(listOf(v), func(e any) bool {
			f, ok := e.(float64)
			return ok && math.Mod(f, mod[0].(float64)) == mod[1].(float64)
		})
	case "$elemMatch":
		return oracleElemMatch(v, operand)
	case "$all":
		list, _ := v.([]any)
		return len(list) > 0 && len(operand.([]any)) > 0 && !slices.ContainsFunc(operand.([]any), func(want any) bool {
			if m, ok := want.(map[string]any); ok && m["$elemMatch"] != nil {
				return !oracleElemMatch(list, m["$elemMatch"])
			}
			return !slices.ContainsFunc(list, func(e any) bool { return oracleSame(e, want) })
		})
	}
	panic("oracle: " + name)
}

func oracleElemMatch(v, operand any) bool {
	list, _ := v.([]any)
	return slices.ContainsFunc(list, func(e any) bool {
		criteria := operand.(map[string]any)
		if len(criteria) == 0 {
			_, ok := e.(map[string]any)
			return ok
		}
		for key := range criteria {
			if !strings.HasPrefix(key, "$") || key == "$and" || key == "$or" || key == "$nor" {
				return oracleSelector(criteria, e)
			}
		}
		return oracleSelector(map[string]any{"element": criteria}, map[string]any{"element": e})
	})
}

func listOf(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func flat(list []any, depth int) []any {
	var out []any
	for _, e := range list {
		if inner, ok := e.([]any); ok && depth > 0 {
			out = append(out, flat(inner, depth-1)...)
		} else {
			out = append(out, e)
		}
	}
	return out
}

func isNothing(v any) bool { return v == nil || v == missing }

func oracleEq(v, want any, dots int) bool {
	if oracleSame(v, want) || isNothing(v) && isNothing(want) {
		return true
	}
	list, ok := v.([]any)
	return ok && slices.ContainsFunc(append(slices.Clone(list), flat(list, dots)...), func(e any) bool { return oracleSame(e, want) })
}

func oracleIn(v any, list []any) bool {
	if isNothing(v) {
		return slices.Contains(list, nil)
	}
	return slices.ContainsFunc(listOf(v), func(e any) bool {
		return slices.ContainsFunc(list, func(want any) bool { return oracleSame(e, want) })
	})
}

func oracleSame(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, oracleSame)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			if other, ok := b[key]; !ok || !oracleSame(a[key], other) {
				return false
			}
		}
		return true
	case missingValue:
		return false
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

func oracleType(v any, name string) bool {
	switch name {
	case "null":
		return v == nil
	case "undefined":
		return isNothing(v)
	case "int":
		f, ok := v.(float64)
		return ok && f == math.Trunc(f)
	}
	return map[int]string{3: "number", 4: "string", 6: "object", 7: "array", 9: "boolean"}[rankOf(v)] == name
}

// rankOf is the place of a type in mingo's order.
func rankOf(v any) int {
	switch v.(type) {
	case missingValue:
		return 1
	case nil:
		return 2
	case float64:
		return 3
	case string:
		return 4
	case map[string]any:
		return 6
	case []any:
		return 7
	}
	return 9
}

// oracleCompare is mingo's plain comparison.
func oracleCompare(a, b any) int {
	if ra, rb := rankOf(a), rankOf(b); ra != rb {
		return ra - rb
	}
	switch a := a.(type) {
	case float64:
		return map[bool]int{true: -1, false: 1}[a < b.(float64)] * map[bool]int{true: 0, false: 1}[a == b.(float64)]
	case string:
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b.(string))))
	case bool:
		return map[bool]int{true: 1, false: 0}[a] - map[bool]int{true: 1, false: 0}[b.(bool)]
	case []any:
		return slices.CompareFunc(sortedList(a), sortedList(b.([]any)), oracleCompare)
	case map[string]any:
		ka, kb := keysOf(a), keysOf(b.(map[string]any))
		if order := slices.CompareFunc(ka, kb, oracleCompare); order != 0 {
			return order
		}
		for _, key := range ka {
			if order := oracleCompare(a[key.(string)], b.(map[string]any)[key.(string)]); order != 0 {
				return order
			}
		}
	}
	return 0
}

func sortedList(list []any) []any {
	return slices.SortedFunc(slices.Values(list), oracleCompare)
}

func keysOf(m map[string]any) []any {
	var keys []any
	for key := range m {
		keys = append(keys, key)
	}
	return sortedList(keys)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func child(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		if c, ok := v[key]; ok {
			return c
		}
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(v) {
			return v[i]
		}
	}
	return missing
}

// oracleResolve finds what a path leads to. An element that is no object stands for all of its paths.
func oracleResolve(path []string, doc any) any {
	switch doc.(type) {
	case map[string]any, []any:
	default:
		return doc
	}
	arrays := 0
	v := oracleFollow(path, doc, &arrays)
	if len(path) == 1 && arrays == 0 {
		return v
	}
	for list, ok := v.([]any); ok && arrays > 0 && len(list) == 1; arrays-- {
		inner, isList := list[0].([]any)
		if !isList {
			break
		}
		v, list = inner, inner
	}
	return v
}

func oracleFollow(path []string, v any, arrays *int) any {
	for i, key := range path {
		list, isList := v.([]any)
		if isList && !isDigits(key) {
			if i == 0 && *arrays > 0 {
				return v
			}
			*arrays++
			found := []any{}
			for _, e := range list {
				if hit := oracleFollow(path[i:], e, arrays); hit != missing {
					found = append(found, hit)
				}
			}
			return found
		}
		if v = child(v, key); v == missing {
			return v
		}
	}
	return v
}

// oracleExists builds, as mingo does, the part of the document along the path and asks what is at the parent of its end.
func oracleExists(path []string, doc any) bool {
	if len(path) == 1 || isDigits(path[len(path)-1]) {
		return oracleResolve(path, doc) != missing
	}
	arrays := 0
	part := oraclePart(path, doc)
	if part == missing {
		return false
	}
	parent := oracleFollow(path[:len(path)-1], part, &arrays)
	if list, ok := parent.([]any); ok {
		return slices.ContainsFunc(list, func(e any) bool { return e != missing })
	}
	return parent != missing
}

func oraclePart(path []string, v any) any {
	key, rest := path[0], path[1:]
	if list, ok := v.([]any); ok {
		out := slices.Clone(list)
		if out == nil {
			out = []any{}
		}
		for i := range list {
			if !isDigits(key) {
				out[i] = oraclePart(path, list[i])
			} else if n, _ := strconv.Atoi(key); n == i && len(rest) > 0 {
				out[i] = oraclePart(rest, list[i])
			}
		}
		return out
	}
	c := child(v, key)
	if c != missing && len(rest) > 0 {
		c = oraclePart(rest, c)
	}
	if c == missing {
		return missing
	}
	return map[string]any{key: c}
}

func TestMatchOracle(t *testing.T) {
	const seed = 1
	r := newRandom(t, seed)
	docs := make([]string, 300)
	for i := range docs {
		docs[i] = r.document(i)
	}
	hits := 0
	for range 2500 {
		selector := text(r.selector(3))
		q, err := Parse([]byte(`{"selector":`+selector+`}`), goldenSchema)
		if err != nil {
			t.Fatalf("%s: %v", selector, err)
		}
		for range 20 {
			doc := docs[r.IntN(len(docs))]
			want := oracleMatch(t, selector, doc)
			if got := q.Match([]byte(doc)); got != want {
				t.Fatalf("%s on %s: %v, want %v", selector, doc, got, want)
			}
			if want {
				hits++
			}
		}
	}
	if hits < 5_000 || hits > 45_000 {
		t.Errorf("%d of 50,000 matched: the cases show little", hits)
	}
}
