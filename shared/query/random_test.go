package query

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// random makes documents and selectors from a small vocabulary, so that many match.
type random struct{ *rand.Rand }

func newRandom(t testing.TB, seed uint64) random {
	t.Logf("seed %d", seed)
	return random{rand.New(rand.NewPCG(seed, 0))}
}

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

func (r random) scalar() any {
	return pick[any](r, nil, true, false, 0.0, math.Copysign(0, -1), 1.0, 2.0, 3.0, -1.0, 1.5, 1e300, "", "a", "b", "ab", "A", "é", "😀", "\uE000", "a\x00b", "10")
}

func (r random) value(depth int) any {
	switch n := r.IntN(10); {
	case depth > 0 && n < 2:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = r.value(depth - 1)
		}
		return list
	case depth > 0 && n < 4:
		return r.object(depth-1, r.IntN(3))
	case n < 7:
		return pick[any](r, 1.0, 2.0, "a", "b", nil)
	}
	return r.scalar()
}

func (r random) object(depth, size int) map[string]any {
	m := map[string]any{}
	for range size {
		m[pick(r, "a", "b", "c", "0")] = r.value(depth)
	}
	return m
}

func (r random) document(id int) string {
	m := r.object(3, 1+r.IntN(4))
	m["id"] = fmt.Sprintf("d%04d", id)
	return text(m)
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (r random) selector(depth int) map[string]any {
	m := map[string]any{}
	for range 1 + r.IntN(2) {
		if depth > 1 && r.IntN(4) == 0 {
			list := make([]any, r.IntN(4))
			for i := range list {
				list[i] = r.selector(depth - 1)
			}
			m[pick(r, "$and", "$or", "$nor")] = list
			continue
		}
		m[pick(r, "a", "a", "b", "c", "a.b", "b.a", "a.0", "a.b.c", "a.0.b", "b.0.c")] = r.condition(depth)
	}
	return m
}

func (r random) condition(depth int) any {
	if depth <= 0 || r.IntN(5) == 0 {
		return r.value(2)
	}
	m := map[string]any{}
	for range 1 + r.IntN(2) {
		switch name := pick(r, "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex", "$not", "$elemMatch", "$size", "$type", "$mod", "$all"); name {
		case "$in", "$nin":
			m[name] = []any{r.value(1), r.value(2)}[:r.IntN(3)]
		case "$exists":
			m[name] = r.IntN(2) == 0
		case "$regex":
			m[name] = pick(r, "a", "^a", "b$", "^$", "^(a|b)", "[^a]")
			if r.IntN(3) == 0 {
				m["$options"] = "i"
			}
		case "$not":
			m[name] = r.condition(depth - 1)
		case "$elemMatch":
			m[name] = r.element(depth - 1)
		case "$size":
			m[name] = r.IntN(4)
		case "$type":
			m[name] = pick(r, "null", "undefined", "int", "number", "string", "object", "array", "boolean")
		case "$mod":
			m[name] = []any{pick(r, 2, 3, -2, 1.5), r.IntN(2)}
		case "$all":
			m[name] = []any{r.value(1), map[string]any{"$elemMatch": r.element(1)}, r.value(0)}[r.IntN(3):]
		default:
			m[name] = r.value(2)
		}
	}
	return m
}

func (r random) element(depth int) map[string]any {
	if m, ok := r.condition(max(depth, 1)).(map[string]any); ok && r.IntN(2) == 0 {
		if _, ok := isOperatorObject(m); ok {
			return m
		}
	}
	return r.selector(depth)
}
