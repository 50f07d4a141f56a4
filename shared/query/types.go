package query

import (
	"fmt"
	"math"
	"strconv"
)

// typeSet is what a $type asks for.
type typeSet struct {
	kinds   uint8 // bit per kind
	integer bool  // numbers without a fraction, beside kinds
}

func (t typeSet) has(v value) bool {
	if t.kinds&(1<<v.kind) != 0 {
		return true
	}
	if !t.integer || v.kind != kindNumber {
		return false
	}
	f := v.number()
	return f == math.Trunc(f) && !math.IsInf(f, 0)
}

const typeNames = "null, boolean (bool), number (double, decimal), int (long), string, array, object, undefined " +
	"(null or missing), date and regex (never in JSON), their MongoDB numbers, or a list of these"

// readTypes reads the operand of $type. The names are mingo's (mingo 7.2.4, operators/_predicates).
func readTypes(v value) (t typeSet, err error) {
	if v.kind != kindArray {
		return t, t.add(v)
	}
	for it := elementsOf(v); ; {
		element, ok := it.next()
		if !ok {
			return t, nil
		}
		if err := t.add(element); err != nil {
			return t, err
		}
	}
}

func (t *typeSet) add(v value) error {
	name := ""
	switch v.kind {
	case kindString:
		name = textOf(v)
	case kindNumber:
		name = strconv.FormatFloat(v.number(), 'g', -1, 64)
	}
	switch name {
	case "null", "10":
		t.kinds |= 1 << kindNull
	case "undefined", "6":
		t.kinds |= 1<<kindNull | 1<<kindMissing
	case "boolean", "bool", "8":
		t.kinds |= 1 << kindBool
	case "number", "double", "decimal", "1", "19":
		t.kinds |= 1 << kindNumber
	case "int", "long", "16", "18":
		t.integer = true
	case "string", "2":
		t.kinds |= 1 << kindString
	case "object", "3":
		t.kinds |= 1 << kindObject
	case "array", "4":
		t.kinds |= 1 << kindArray
	case "date", "9", "regexp", "regex", "11":
	default:
		return fmt.Errorf("must be one of %s", typeNames)
	}
	return nil
}
