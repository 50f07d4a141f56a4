package query

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// Bounds of a query's text. They keep the cost of Match per byte of a document bounded.
const (
	maxQueryBytes = 4 << 20 // a $in of 100,000 ids fits
	maxDepth      = 32      // nesting of a selector and of the values in it
	maxConditions = 1000    // operators and fields in one selector, the values of lists not counted
	maxPattern    = 1000    // bytes of one $regex
	maxCount      = 1 << 28 // limit and skip
)

// Query is a parsed query. It does not change and may be used by many goroutines at once.
type Query struct {
	selector []node // all must hold
	sort     []sortPart
	limit    int // -1: none
	skip     int
	hint     []string // fields of the index to use, or nil

	fields  []string // top-level fields to load, text: the selector's, then those that only the sort uses
	matched int      // how many of fields the selector uses
	sources *sync.Pool
}

// Parse reads an RxDB query: {selector, sort: [{field: 'asc' | 'desc'}], limit, skip, index}, all of them optional.
//
// Without a sort, documents come in the order of the index that the query names, else of the schema's first index, else
// of the primary key, as in RxDB 17.6 (normalizeMangoQuery). The primary key, ascending, always decides last. Errors are
// *Error.
func Parse(text []byte, schema *Schema) (*Query, error) {
	if len(text) > maxQueryBytes {
		return nil, &Error{"query", fmt.Sprintf("is %d bytes long; %d are allowed", len(text), maxQueryBytes)}
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, &Error{"query", "is not JSON in UTF-8"}
	}
	top, _ := readValue(text, 0)
	if top.kind != kindObject {
		return nil, &Error{"query", "must be an object"}
	}
	if nesting(top.raw) > maxDepth {
		return nil, &Error{"query", fmt.Sprintf("nests deeper than the %d levels allowed", maxDepth)}
	}
	c := &compiler{q: &Query{limit: -1}, schema: schema}
	if err := c.readQuery(top); err != nil {
		return nil, err
	}
	size := len(c.q.fields)
	c.q.sources = &sync.Pool{New: func() any { return &source{slots: make([]value, size)} }}
	return c.q, nil
}

// nesting returns how deeply the containers in valid JSON nest.
func nesting(b []byte) int {
	depth, most := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i, _ = scanString(b, i+1)
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
	}
	return most
}

func (c *compiler) readQuery(top value) error {
	parts := map[string]value{}
	for _, m := range distinctMembers(top) {
		switch m.key {
		case "selector", "sort", "limit", "skip", "index":
			parts[m.key] = m.val
		default:
			return &Error{textToUTF8(m.key), "is no part of a query; allowed are selector, sort, limit, skip and index"}
		}
	}
	if v := parts["selector"]; !v.isNil() {
		var err error
		if c.q.selector, err = c.selector(v, "selector"); err != nil {
			return err
		}
	}
	c.q.matched = len(c.q.fields)
	if err := c.readIndex(parts["index"]); err != nil {
		return err
	}
	if err := c.readSort(parts["sort"]); err != nil {
		return err
	}
	var err error
	if c.q.skip, err = readCount(parts["skip"], "skip", 0); err != nil {
		return err
	}
	c.q.limit, err = readCount(parts["limit"], "limit", -1)
	return err
}

// readCount reads a limit or skip. null stands for none, as RxDB takes everything that is no number.
func readCount(v value, at string, none int) (int, error) {
	if v.isNil() {
		return none, nil
	}
	if v.kind == kindNumber {
		if n := v.number(); n >= 0 && n == math.Trunc(n) && n <= maxCount {
			return int(n), nil
		}
	}
	return 0, &Error{at, fmt.Sprintf("must be a whole number from 0 to %d", maxCount)}
}

// readIndex reads the hint, which must name an index of the schema.
func (c *compiler) readIndex(v value) error {
	if v.isNil() {
		return nil
	}
	fields, err := readFieldList(v.json())
	if err != nil {
		return &Error{"index", err.Error()}
	}
	indexes := append([][]string{{c.schema.PrimaryPath}}, c.schema.Indexes...)
	known := make([]string, len(indexes))
	for i, index := range indexes {
		if slices.Equal(c.schema.ending(index), c.schema.ending(fields)) {
			c.q.hint = c.schema.ending(fields)
			return nil
		}
		known[i] = fmt.Sprintf("%q", index)
	}
	return &Error{"index", fmt.Sprintf("%q is no index of the schema; there are %s", fields, listed(known))}
}

// json returns the JSON text of v.
func (v value) json() []byte {
	if v.kind == kindString {
		return append(append([]byte{'"'}, v.raw...), '"')
	}
	return v.raw
}

func (c *compiler) readSort(v value) error {
	if v.isNil() {
		return c.defaultSort()
	}
	if v.kind != kindArray {
		return &Error{"sort", "must be a list such as [{\"age\": \"asc\"}]"}
	}
	i := 0
	for it := elementsOf(v); ; i++ {
		element, ok := it.next()
		if !ok {
			break
		}
		at := fmt.Sprintf("sort[%d]", i)
		var parts []member
		if element.kind == kindObject {
			parts = distinctMembers(element)
		}
		if len(parts) != 1 {
			return &Error{at, "must be an object with one field, such as {\"age\": \"asc\"}"}
		}
		direction := ""
		if parts[0].val.kind == kindString {
			direction = textOf(parts[0].val)
		}
		if direction != "asc" && direction != "desc" {
			return &Error{at, "the direction must be \"asc\" or \"desc\""}
		}
		if err := c.addSort(parts[0].key, direction == "desc"); err != nil {
			return &Error{at, err.Error()}
		}
	}
	return c.addPrimarySort()
}

// defaultSort takes the order of an index, as RxDB 17.6 does (normalizeMangoQuery; every index of its filled schema begins with
// _deleted, so that its search for a better fitting one finds none and the first is taken).
func (c *compiler) defaultSort() error {
	fields := c.q.hint
	if fields == nil && len(c.schema.Indexes) > 0 {
		fields = c.schema.Indexes[0]
	}
	for _, field := range fields {
		if err := c.addSort(string(appendUTF8Text(nil, field)), false); err != nil {
			return &Error{"sort", err.Error()}
		}
	}
	return c.addPrimarySort()
}

func (c *compiler) addPrimarySort() error {
	if err := c.addSort(string(appendUTF8Text(nil, c.schema.PrimaryPath)), false); err != nil {
		return &Error{"sort", err.Error()}
	}
	return nil
}

// addSort adds a sort field, given as text. Fields behind the primary key and fields that come again change nothing.
func (c *compiler) addSort(field string, desc bool) error {
	name := textToUTF8(field)
	if err := c.schema.checkField(name); err != nil {
		return err
	}
	for _, part := range c.q.sort {
		if part.primary || part.path.name == name {
			return nil
		}
	}
	if len(c.q.sort) == maxConditions {
		return fmt.Errorf("has more than the %d fields allowed", maxConditions)
	}
	part := sortPart{primary: name == c.schema.PrimaryPath, desc: desc}
	part.path = path{name: name, segments: splitPath(field)}
	if !part.primary {
		part.path.slot = c.slot(part.path.segments[0].key)
	}
	c.q.sort = append(c.q.sort, part)
	return nil
}

// MatchesAll reports whether the query has no selector.
func (q *Query) MatchesAll() bool { return len(q.selector) == 0 }

// OrderedByKey reports whether the primary key alone gives the query's order.
func (q *Query) OrderedByKey() bool { return !q.sortsByFields() }

// Limit returns the largest number of documents that the query returns. ok is false where it has no limit.
func (q *Query) Limit() (n int, ok bool) { return max(q.limit, 0), q.limit >= 0 }

// Skip returns how many of the first documents the query leaves out.
func (q *Query) Skip() int { return q.skip }

// WithWindow returns the query with another skip and limit; a negative limit is none.
func (q *Query) WithWindow(skip, limit int) *Query {
	other := *q
	other.skip, other.limit = max(skip, 0), max(limit, -1)
	return &other
}
