package query

import "testing"

// TestDeviations lists where a query means something else than in RxDB 17.6, with what RxDB itself says of the case on the
// documents of the golden file, so that a row fails once RxDB no longer differs. doc.go gives the reasons.
func TestDeviations(t *testing.T) {
	f := readGolden(t)
	rows := map[string]string{ // selector -> our error, or "" for another answer
		`{"a":{"$all":[1]}}`:                      "", // RxDB refuses $all
		`{"a":{"$elemMatch":{"$not":{"$gt":2}}}}`: "",
		`{"a":{"$mod":[2,0]}}`:                    "",
		`{"a":{"$regex":"^.$"}}`:                  "",
		`{"constructor":{"$exists":true}}`:        "",
		`{"a":{"$size":"2"}}`:                     "query: selector.a.$size: must be a whole number from 0 on",
		`{"a":{"$type":"strnig"}}`:                "query: selector.a.$type: must be one of " + typeNames,
		`{"a":{"$exists":"false"}}`:               "query: selector.a.$exists: must be true or false",
		`{"a":{"$in":1}}`:                         "query: selector.a.$in: must be a list of values",
		`{"a":{"$mod":[2]}}`:                      "query: selector.a.$mod: must be a list of two numbers, the divisor (not 0) and the remainder",
		`{"a":{"$regex":5}}`:                      "query: selector.a.$regex: must be the source of a regular expression, as a string",
		`{"a":{"$regex":"(?=a)a"}}`:               "query: selector.a.$regex: uses lookahead, (?=...) or (?!...), which is not supported; combine two conditions with $and or $not instead",
		`{"a":{"$regex":"(?<!a)b"}}`:              "query: selector.a.$regex: uses lookbehind, (?<=...) or (?<!...), which is not supported; combine two conditions with $and or $not instead",
		`{"a":{"$regex":"(a)\\1"}}`:               `query: selector.a.$regex: uses \1, a backreference or an octal escape, which is not supported; write \xHH for a character`,
		`{"a":{"$regex":"a","$options":"y"}}`:     "query: selector.a.$regex: has the flag y, which depends on matches before; leave it out",
		`{"a":{"$and":[{"a":1}]}}`:                `query: selector.a.$and: combines selectors and cannot stand under a field; write {"$and": [{"field": ...}, ...]}`,
		`{"a.":"x"}`:                              `query: selector.a.: field path "a." has an empty part`,
		`{"a":{"$elemMatch":5}}`:                  "query: selector.a.$elemMatch: must be a selector or an object of operators",
	}
	for _, c := range f.Deviating {
		want, listed := rows[*c[0]]
		if !listed {
			t.Errorf("%s is not listed", *c[0])
			continue
		}
		delete(rows, *c[0])
		q, err := Parse([]byte(`{"selector":`+*c[0]+`}`), goldenSchema)
		if want != "" {
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", *c[0], err, want)
			}
			if c[1] == nil && *c[0] != `{"a":{"$in":1}}` {
				t.Errorf("%s: RxDB refuses it too", *c[0])
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", *c[0], err)
			continue
		}
		if c[1] == nil {
			continue // RxDB refuses
		}
		same := true
		for i, doc := range f.Docs {
			same = same && q.Match([]byte(doc)) == bitSet(*c[1], i)
		}
		if same {
			t.Errorf("%s: RxDB says the same", *c[0])
		}
	}
	for selector := range rows {
		t.Errorf("%s is not in the golden file", selector)
	}
}
