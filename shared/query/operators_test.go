package query

import (
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/query/jsregexp"
)

// TestOperators shows each operator on small documents. Every row is checked against the oracle too, where it can read it.
func TestOperators(t *testing.T) {
	for _, c := range []struct {
		selector  string
		match     []string
		different []string
	}{
		{`{}`, []string{`{}`, `{"a":1}`}, nil},
		{`{"a":1}`, []string{`{"a":1}`, `{"a":1.0}`, `{"a":[2,1]}`, `{"a":10e-1}`}, []string{`{}`, `{"a":"1"}`, `{"a":true}`, `{"a":[[1]]}`, `{"b":1}`}},
		{`{"a":0}`, []string{`{"a":-0}`, `{"a":0e9}`}, []string{`{"a":null}`, `{"a":false}`}},
		{`{"a":null}`, []string{`{}`, `{"a":null}`, `{"a":[1,null]}`}, []string{`{"a":0}`, `{"a":""}`, `{"a":[]}`}},
		{`{"a":"x"}`, []string{`{"a":"x"}`, `{"a":"\u0078"}`, `{"\u0061":"x"}`, `{"a":["y","x"]}`}, []string{`{"a":"X"}`, `{"a":"xx"}`}},
		{`{"a":"😀"}`, []string{`{"a":"😀"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\uD83D\uDE00"}`}, []string{`{"a":"\ud83d"}`, `{"a":"�"}`}},
		{`{"a":[1,2]}`, []string{`{"a":[1,2]}`, `{"a":[[1,2],3]}`, `{"a":[ 1 , 2.0 ]}`}, []string{`{"a":[2,1]}`, `{"a":[1,2,3]}`, `{"a":1}`}},
		{`{"a":{"x":1,"y":[2]}}`, []string{`{"a":{"y":[2],"x":1}}`, `{"a":[{"x":1,"y":[2]}]}`}, []string{`{"a":{"x":1}}`, `{"a":{"x":1,"y":[2],"z":0}}`}},
		{`{"a":{}}`, []string{`{"a":{}}`, `{"a":[{}]}`}, []string{`{}`, `{"a":[]}`, `{"a":{"b":1}}`}},
		{`{"a":1}`, []string{`{"a":2,"a":1}`}, []string{`{"a":1,"a":2}`}}, // of two members with one key the last counts
		{`{"a":{"x":2}}`, []string{`{"a":{"x":1,"x":2}}`}, []string{`{"a":{"x":2,"x":1}}`}},
		{`{"a":{"$ne":1}}`, []string{`{}`, `{"a":2}`, `{"a":null}`}, []string{`{"a":1}`, `{"a":[1,2]}`}},
		{`{"a":{"$ne":null}}`, []string{`{"a":2}`, `{"a":[]}`}, []string{`{}`, `{"a":null}`}},
		{`{"a":{"$gt":2}}`, []string{`{"a":3}`, `{"a":[1,3]}`}, []string{`{}`, `{"a":2}`, `{"a":"3"}`, `{"a":true}`, `{"a":[1,2]}`}},
		{`{"a":{"$gte":2,"$lt":4}}`, []string{`{"a":2}`, `{"a":3.99}`, `{"a":[1,5]}`}, []string{`{"a":4}`, `{"a":1.99}`}},
		{`{"a":{"$lte":"b"}}`, []string{`{"a":"b"}`, `{"a":""}`, `{"a":"B"}`}, []string{`{"a":"ba"}`, `{"a":1}`}},
		{`{"a":{"$gt":"\ud83d\ude00"}}`, []string{`{"a":"\ue000"}`, `{"a":"\ude00"}`}, []string{`{"a":"\ud83d"}`, `{"a":"😀"}`}}, // by UTF-16 code units
		{`{"a":{"$gte":null}}`, []string{`{"a":null}`}, []string{`{}`, `{"a":0}`}},
		{`{"a":{"$gt":null}}`, nil, []string{`{}`, `{"a":null}`, `{"a":0}`}},
		{`{"a":{"$lt":true}}`, []string{`{"a":false}`}, []string{`{"a":true}`, `{"a":0}`}},
		{`{"a":{"$gt":[1]}}`, []string{`{"a":[[2]]}`, `{"a":[[1,1]]}`}, []string{`{"a":[2]}`, `{"a":[[0,9]]}`}}, // arrays compare as sorted lists, as elements
		{`{"a":{"$in":[1,"x",null]}}`, []string{`{}`, `{"a":1}`, `{"a":["x"]}`, `{"a":null}`}, []string{`{"a":2}`, `{"a":[]}`}},
		{`{"a":{"$in":[{"b":1}]}}`, []string{`{"a":{"b":1}}`, `{"a":[{"b":1}]}`}, []string{`{"a":{"b":2}}`}},
		{`{"a":{"$in":[]}}`, nil, []string{`{}`, `{"a":1}`}},
		{`{"a":{"$nin":[1,null]}}`, []string{`{"a":2}`, `{"a":[]}`}, []string{`{}`, `{"a":[1]}`}},
		{`{"a":{"$exists":true}}`, []string{`{"a":null}`, `{"a":[]}`}, []string{`{}`, `{"b":1}`}},
		{`{"a":{"$exists":0}}`, []string{`{}`}, []string{`{"a":null}`}},
		{`{"a.b":{"$exists":true}}`, []string{`{"a":{"b":null}}`, `{"a":[{},{"b":1}]}`}, []string{`{}`, `{"a":1}`, `{"a":[]}`, `{"a":[{"c":1}]}`}},
		{`{"a":{"$regex":"^x.z$"}}`, []string{`{"a":"xyz"}`, `{"a":["xyz"]}`, `{"a":[["xyz"]]}`}, []string{`{"a":"XYZ"}`, `{"a":1}`, `{}`, `{"a":[[["xyz"]]]}`}},
		{`{"a":{"$regex":"^X","$options":"i"}}`, []string{`{"a":"xyz"}`}, []string{`{"a":"ax"}`}},
		{`{"a":{"$regex":"^a\\u00e9$"}}`, []string{`{"a":"aé"}`, `{"a":"a\u00e9"}`}, []string{`{"a":"ae"}`}},
		{`{"a":{"$not":{"$gt":2}}}`, []string{`{}`, `{"a":2}`, `{"a":"x"}`}, []string{`{"a":3}`, `{"a":[1,3]}`}},
		{`{"a":{"$not":{"$gt":2,"$lt":5}}}`, []string{`{"a":2}`, `{"a":5}`}, []string{`{"a":3}`}},
		{`{"a":{"$not":1}}`, []string{`{}`}, []string{`{"a":1}`}},
		{`{"$and":[{"a":1},{"b":2}]}`, []string{`{"a":1,"b":2}`}, []string{`{"a":1}`}},
		{`{"$or":[{"a":1},{"b":2}]}`, []string{`{"a":1}`, `{"b":2}`}, []string{`{"a":2,"b":1}`}},
		{`{"$nor":[{"a":1},{"b":2}]}`, []string{`{}`, `{"a":2}`}, []string{`{"a":1}`, `{"b":2}`}},
		{`{"$and":[]}`, []string{`{}`}, nil},
		{`{"$or":[]}`, nil, []string{`{}`}},
		{`{"$nor":[]}`, []string{`{}`}, nil},
		{`{"a":{"$size":2}}`, []string{`{"a":[1,[2,3]]}`}, []string{`{"a":[]}`, `{"a":"ab"}`, `{"a":[1,2,3]}`, `{}`}},
		{`{"a":{"$type":"number"}}`, []string{`{"a":1}`}, []string{`{"a":"1"}`, `{"a":[1]}`, `{}`}},
		{`{"a":{"$type":["string","null"]}}`, []string{`{"a":""}`, `{"a":null}`}, []string{`{"a":1}`, `{}`}},
		{`{"a":{"$type":"int"}}`, []string{`{"a":2.0}`, `{"a":1e3}`}, []string{`{"a":1.5}`, `{"a":1e999}`}},
		{`{"a":{"$type":4}}`, []string{`{"a":[]}`}, []string{`{"a":{}}`}},
		{`{"a":{"$mod":[4,1]}}`, []string{`{"a":5}`, `{"a":[2,9]}`}, []string{`{"a":4}`, `{"a":"5"}`, `{}`, `{"a":-3}`}},
		{`{"a":{"$elemMatch":{"b":1,"c":{"$gt":2}}}}`, []string{`{"a":[{"b":1,"c":3}]}`}, []string{`{"a":[{"b":1},{"c":3}]}`, `{"a":{"b":1,"c":3}}`}},
		{`{"a":{"$elemMatch":{"$gt":2,"$lt":5}}}`, []string{`{"a":[1,3]}`}, []string{`{"a":[1,6]}`, `{"a":3}`}},
		{`{"a":{"$elemMatch":{"$or":[{"b":1},{"c":1}]}}}`, []string{`{"a":[{"c":1}]}`}, []string{`{"a":[{"b":2}]}`}},
		{`{"a":{"$elemMatch":{"$not":{"$gt":2}}}}`, []string{`{"a":[3,1]}`}, []string{`{"a":[3,4]}`, `{"a":[]}`}},
		{`{"a":{"$elemMatch":{}}}`, []string{`{"a":[{}]}`}, []string{`{"a":[1]}`, `{"a":[]}`}},
		{`{"a":{"$all":[1,2]}}`, []string{`{"a":[2,3,1]}`}, []string{`{"a":[1]}`, `{"a":1}`, `{}`}},
		{`{"a":{"$all":[{"$elemMatch":{"b":1}},{"$elemMatch":{"b":2}}]}}`, []string{`{"a":[{"b":2},{"b":1}]}`}, []string{`{"a":[{"b":1}]}`}},
		{`{"a":{"$all":[]}}`, nil, []string{`{"a":[]}`, `{"a":[1]}`}},
		{`{"a.b":1}`, []string{`{"a":{"b":1}}`, `{"a":[{"b":2},{"b":1}]}`, `{"a":[{"b":[1]}]}`}, []string{`{"a.b":1}`, `{"a":1}`, `{"a":[[{"b":1}]]}`}},
		{`{"a.0":1}`, []string{`{"a":[1,2]}`, `{"a":{"0":1}}`}, []string{`{"a":[2,1]}`}},
		{`{"a.1.b":1}`, []string{`{"a":[0,{"b":1}]}`}, []string{`{"a":[{"b":1}]}`}},
		{`{"a.b.c":{"$gt":1}}`, []string{`{"a":[{"b":{"c":2}}]}`, `{"a":{"b":[{"c":0},{"c":2}]}}`}, []string{`{"a":{"b":{"c":1}}}`}},
		{`{"$":1}`, []string{`{"$":1}`}, []string{`{}`}},
		{`{"a":{"$":1}}`, []string{`{"a":{"$":1}}`}, []string{`{"a":1}`}},
	} {
		q, err := Parse([]byte(`{"selector":`+c.selector+`}`), goldenSchema)
		if err != nil {
			t.Errorf("%s: %v", c.selector, err)
			continue
		}
		for _, doc := range c.match {
			if !q.Match([]byte(doc)) || oracleReads(c.selector, doc) && !oracleMatch(t, c.selector, doc) {
				t.Errorf("%s does not match %s", c.selector, doc)
			}
		}
		for _, doc := range c.different {
			if q.Match([]byte(doc)) || oracleReads(c.selector, doc) && oracleMatch(t, c.selector, doc) {
				t.Errorf("%s matches %s", c.selector, doc)
			}
		}
	}
}

// oracleReads reports whether the oracle can say something of the case: Go's decoder loses lone surrogates and refuses numbers
// beyond a float64, and the oracle knows $type by one name and $exists by a boolean only.
func oracleReads(selector, doc string) bool {
	for _, unknown := range []string{`\u`, `e999`, `"$type":[`, `"$type":4`, `"$exists":0`} {
		if strings.Contains(strings.ToLower(selector+doc), unknown) {
			return false
		}
	}
	return true
}

func TestParseErrors(t *testing.T) {
	schema := &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}}, Properties: []string{"age", "id", "name"}, Regexp: jsregexp.Compile}
	for _, c := range []struct{ query, want string }{
		{`{`, `query: query: is not JSON in UTF-8`},
		{"{\"selector\":{\"a\xed\xed.\":1}}", `query: query: is not JSON in UTF-8`},
		{`[]`, `query: query: must be an object`},
		{`{"select":{}}`, `query: select: is no part of a query; allowed are selector, sort, limit, skip and index`},
		{`{"selector":[]}`, `query: selector: must be an object of fields and $and, $or and $nor`},
		{`{"selector":{"agee":1}}`, `query: selector.agee: field "agee" is not in the schema; its fields are age, id, name`},
		{`{"selector":{"age":{"$gtt":1}}}`, `query: selector.age.$gtt: is no operator; allowed are ` + fieldOperators},
		{`{"selector":{"$gt":1}}`, `query: selector.$gt: stands where a field or one of $and, $or and $nor is expected; write it under its field: {"age": {"$gt": ...}}`},
		{`{"selector":{"$where":"x"}}`, `query: selector.$where: stands where a field or one of $and, $or and $nor is expected`},
		{`{"selector":{"$or":{}}}`, `query: selector.$or: must be a list of selectors`},
		{`{"selector":{"$or":[{},{"age":{"$in":1}}]}}`, `query: selector.$or[1].age.$in: must be a list of values`},
		{`{"selector":{"age":{"$or":[]}}}`, `query: selector.age.$or: combines selectors and cannot stand under a field; write {"$or": [{"field": ...}, ...]}`},
		{`{"selector":{"age":{"$gt":1,"x":2}}}`, `query: selector.age.x: is no operator; allowed are ` + fieldOperators},
		{`{"selector":{"age":{"$exists":"yes"}}}`, `query: selector.age.$exists: must be true or false`},
		{`{"selector":{"age":{"$size":-1}}}`, `query: selector.age.$size: must be a whole number from 0 on`},
		{`{"selector":{"age":{"$type":"strnig"}}}`, `query: selector.age.$type: must be one of ` + typeNames},
		{`{"selector":{"age":{"$mod":[0,1]}}}`, `query: selector.age.$mod: must be a list of two numbers, the divisor (not 0) and the remainder`},
		{`{"selector":{"age":{"$options":"i"}}}`, `query: selector.age.$options: goes with a $regex`},
		{`{"selector":{"name":{"$regex":1}}}`, `query: selector.name.$regex: must be the source of a regular expression, as a string`},
		{`{"selector":{"name":{"$regex":"a","$options":"y"}}}`, `query: selector.name.$regex: has the flag y, which depends on matches before; leave it out`},
		{`{"selector":{"name":{"$regex":"a(?=b)"}}}`, `query: selector.name.$regex: uses lookahead, (?=...) or (?!...), which is not supported; combine two conditions with $and or $not instead`},
		{`{"selector":{"name":{"$regex":"(?<!a)b"}}}`, `query: selector.name.$regex: uses lookbehind, (?<=...) or (?<!...), which is not supported; combine two conditions with $and or $not instead`},
		{`{"selector":{"name":{"$regex":"(a)\\1"}}}`, `query: selector.name.$regex: uses \1, a backreference or an octal escape, which is not supported; write \xHH for a character`},
		{`{"selector":{"name":{"$regex":"a{1001}"}}}`, `query: selector.name.$regex: "a{1001}" is no regular expression that can be used: invalid repeat count: ` + "`{1001}`"},
		{`{"selector":{"name":{"$elemMatch":1}}}`, `query: selector.name.$elemMatch: must be a selector or an object of operators`},
		{`{"selector":{"name":{"$elemMatch":{"x":1,"$gt":1}}}}`, `query: selector.name.$elemMatch.$gt: stands where a field or one of $and, $or and $nor is expected; write it under its field: {"age": {"$gt": ...}}`},
		{`{"selector":{"name":{"$all":1}}}`, `query: selector.name.$all: must be a list of values`},
		{`{"selector":{"name.":1}}`, `query: selector.name.: field path "name." has an empty part`},
		{`{"selector":{"name.__proto__":1}}`, `query: selector.name.__proto__: field path "name.__proto__" may not contain __proto__`},
		{`{"sort":{}}`, `query: sort: must be a list such as [{"age": "asc"}]`},
		{`{"sort":["age"]}`, `query: sort[0]: must be an object with one field, such as {"age": "asc"}`},
		{`{"sort":[{"age":"asc","id":"asc"}]}`, `query: sort[0]: must be an object with one field, such as {"age": "asc"}`},
		{`{"sort":[{"age":1}]}`, `query: sort[0]: the direction must be "asc" or "desc"`},
		{`{"sort":[{"age":"asc"},{"agee":"desc"}]}`, `query: sort[1]: field "agee" is not in the schema; its fields are age, id, name`},
		{`{"limit":-1}`, `query: limit: must be a whole number from 0 to 268435456`},
		{`{"skip":"1"}`, `query: skip: must be a whole number from 0 to 268435456`},
		{`{"index":"name"}`, `query: index: ["name"] is no index of the schema; there are ["id"], ["age"]`},
		{`{"index":5}`, `query: index: must be a field path or a list of field paths`},
	} {
		_, err := Parse([]byte(c.query), schema)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.query, err, c.want)
		}
	}
	for _, query := range []string{
		`{}`, `{"selector":null,"sort":null,"limit":null,"skip":null,"index":null}`, `{"index":["age","id"]}`, `{"index":"age"}`, `{"index":["id"]}`, `{"selector":{"age":{"$elemMatch":{"anything":1}}}}`,
		`{"selector":{"name":{"$regex":"a","$options":"gi"}}}`,
	} {
		if _, err := Parse([]byte(query), schema); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}
