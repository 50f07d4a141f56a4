package query

import (
	"fmt"
	"slices"
	"strings"
)

type op uint8

const (
	opAnd op = iota
	opOr
	opNor
	opNot
	opEq
	opNe
	opGt
	opGte
	opLt
	opLte
	opIn
	opNin
	opExists
	opRegex
	opElemMatch
	opSize
	opType
	opMod
	opAll
)

// node is one condition of a selector.
type node struct {
	op     op
	path   *path
	kids   []node // of $and, $or, $nor, $not: the conditions; of $elemMatch: what an element must meet; of $all: one for each value
	lit    literal
	set    *literalSet
	re     *pattern
	truth  bool // of $exists
	size   int
	types  typeSet
	mod    [2]float64
	object bool // of $elemMatch with no conditions: an element must be an object
}

// compiler turns a query's JSON into a Query.
type compiler struct {
	q          *Query
	schema     *Schema
	conditions int
	nested     bool // inside $elemMatch, whose fields the schema does not list
}

const (
	fieldOperators = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex with $options, $not, $elemMatch, $size, $type, $mod and $all"
	topOperators   = "$and, $or and $nor"
)

// selector compiles an object of fields and $and, $or, $nor into conditions that all must hold.
func (c *compiler) selector(v value, at string) ([]node, error) {
	if v.kind != kindObject {
		return nil, &Error{at, "must be an object of fields and " + topOperators}
	}
	var nodes []node
	for _, m := range distinctMembers(v) {
		if err := c.count(at); err != nil {
			return nil, err
		}
		here := at + "." + textToUTF8(m.key)
		if isOperator(m.key) {
			n, err := c.logical(m, here)
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, n)
			continue
		}
		p, err := c.path(m.key)
		if err != nil {
			return nil, &Error{here, err.Error()}
		}
		more, err := c.field(p, m.val, here)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, more...)
	}
	return nodes, nil
}

func (c *compiler) count(at string) error {
	if c.conditions++; c.conditions > maxConditions {
		return &Error{at, fmt.Sprintf("the selector has more than the %d conditions allowed", maxConditions)}
	}
	return nil
}

// isOperator is mingo's rule for what is an operator and what a field.
func isOperator(key string) bool {
	if len(key) < 2 || key[0] != '$' {
		return false
	}
	for _, c := range []byte(key[1:]) {
		if c != '_' && (c < '0' || '9' < c) && (c|0x20 < 'a' || 'z' < c|0x20) {
			return false
		}
	}
	return true
}

func (c *compiler) logical(m member, at string) (node, error) {
	ops := map[string]op{"$and": opAnd, "$or": opOr, "$nor": opNor}
	o, ok := ops[m.key]
	if !ok {
		problem := "stands where a field or one of " + topOperators + " is expected"
		if strings.Contains(fieldOperators+" ", m.key+" ") || strings.Contains(fieldOperators, m.key+",") {
			problem += "; write it under its field: {\"age\": {\"" + m.key + "\": ...}}"
		}
		return node{}, &Error{at, problem}
	}
	if m.val.kind != kindArray {
		return node{}, &Error{at, "must be a list of selectors"}
	}
	n := node{op: o}
	i := 0
	for it := elementsOf(m.val); ; i++ {
		element, ok := it.next()
		if !ok {
			return n, nil
		}
		kids, err := c.selector(element, fmt.Sprintf("%s[%d]", at, i))
		if err != nil {
			return node{}, err
		}
		n.kids = append(n.kids, allOf(kids))
	}
}

// allOf makes one condition of several.
func allOf(nodes []node) node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return node{op: opAnd, kids: nodes}
}

func (c *compiler) path(text string) (*path, error) {
	name := textToUTF8(text)
	check := c.schema.checkField
	if c.nested {
		check = checkFieldName
	}
	if err := check(name); err != nil {
		return nil, err
	}
	p := &path{name: name, segments: splitPath(text)}
	if len(p.segments) > maxDepth {
		return nil, fmt.Errorf("has more than the %d parts allowed", maxDepth)
	}
	if !c.nested {
		p.slot = c.slot(p.segments[0].key)
	}
	return p, nil
}

// slot returns the place where the top-level field is loaded.
func (c *compiler) slot(key string) int {
	if i := slices.Index(c.q.fields, key); i >= 0 {
		return i
	}
	c.q.fields = append(c.q.fields, key)
	return len(c.q.fields) - 1
}

// field compiles what is asked of the value at p: operators, or a value that it must equal.
func (c *compiler) field(p *path, v value, at string) ([]node, error) {
	if v.kind == kindObject {
		members := distinctMembers(v)
		if slices.ContainsFunc(members, func(m member) bool { return isOperator(m.key) }) {
			return c.operators(p, members, at)
		}
	}
	return []node{{op: opEq, path: p, lit: newLiteral(v)}}, nil
}

func (c *compiler) operators(p *path, members []member, at string) ([]node, error) {
	var nodes []node
	for _, m := range members {
		if err := c.count(at); err != nil {
			return nil, err
		}
		n, err := c.operator(p, m, members, at+"."+textToUTF8(m.key))
		if err != nil {
			return nil, err
		}
		if m.key != "$options" {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

func (c *compiler) operator(p *path, m member, beside []member, at string) (node, error) {
	n := node{path: p}
	var err error
	n.op = operatorOf(m.key)
	switch m.key {
	case "$eq", "$ne", "$gt", "$gte", "$lt", "$lte":
		n.lit = newLiteral(m.val)
	case "$in", "$nin":
		n.set, err = readSet(m.val)
	case "$exists":
		n.truth, err = readTruth(m.val)
	case "$regex":
		n.re, err = c.readPattern(m.val, beside)
	case "$options":
		if !slices.ContainsFunc(beside, func(o member) bool { return o.key == "$regex" }) {
			err = fmt.Errorf("goes with a $regex")
		}
	case "$size":
		n.size, err = readSize(m.val)
	case "$type":
		n.types, err = readTypes(m.val)
	case "$mod":
		n.mod, err = readMod(m.val)
	case "$not":
		n.kids, err = c.field(p, m.val, at)
	case "$elemMatch":
		return c.elemMatch(p, m.val, at)
	case "$all":
		return c.all(p, m.val, at)
	default:
		err = fmt.Errorf("is no operator; allowed are %s", fieldOperators)
		if m.key == "$and" || m.key == "$or" || m.key == "$nor" {
			err = fmt.Errorf("combines selectors and cannot stand under a field; write {\"%s\": [{\"field\": ...}, ...]}", m.key)
		}
	}
	return n, atError(err, at)
}

func operatorOf(name string) op {
	return map[string]op{
		"$eq": opEq, "$ne": opNe, "$gt": opGt, "$gte": opGte, "$lt": opLt, "$lte": opLte, "$in": opIn, "$nin": opNin,
		"$exists": opExists, "$regex": opRegex, "$size": opSize, "$type": opType, "$mod": opMod, "$not": opNot,
	}[name]
}

// atError adds the place to an operand's error.
func atError(err error, at string) error {
	if err == nil {
		return nil
	}
	if _, placed := err.(*Error); placed {
		return err
	}
	return &Error{at, err.Error()}
}

// elemMatch compiles $elemMatch: a selector for elements that are objects, or operators for the element itself.
func (c *compiler) elemMatch(p *path, v value, at string) (node, error) {
	n := node{op: opElemMatch, path: p}
	if v.kind != kindObject {
		return n, &Error{at, "must be a selector or an object of operators"}
	}
	members := distinctMembers(v)
	n.object = len(members) == 0
	defer func(before bool) { c.nested = before }(c.nested)
	c.nested = true
	var err error
	if slices.ContainsFunc(members, func(m member) bool {
		return !isOperator(m.key) || m.key == "$and" || m.key == "$or" || m.key == "$nor"
	}) {
		n.kids, err = c.selector(v, at)
	} else {
		n.kids, err = c.operators(&path{}, members, at)
	}
	return n, err
}

// all compiles $all: each value must be an element, each {$elemMatch} must be met by one.
func (c *compiler) all(p *path, v value, at string) (node, error) {
	n := node{op: opAll, path: p}
	if v.kind != kindArray {
		return n, &Error{at, "must be a list of values"}
	}
	i := 0
	for it := elementsOf(v); ; i++ {
		element, ok := it.next()
		if !ok {
			return n, nil
		}
		if element.kind == kindObject {
			if members := distinctMembers(element); len(members) > 0 && members[0].key == "$elemMatch" {
				kid, err := c.elemMatch(nil, members[0].val, fmt.Sprintf("%s[%d].$elemMatch", at, i))
				if err != nil {
					return n, err
				}
				n.kids = append(n.kids, kid)
				continue
			}
		}
		n.kids = append(n.kids, node{op: opEq, lit: newLiteral(element)})
	}
}
