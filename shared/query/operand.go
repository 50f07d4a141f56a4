package query

import (
	"fmt"
	"math"
	"strconv"
)

func readList(v value) ([]literal, error) {
	if v.kind != kindArray {
		return nil, fmt.Errorf("must be a list of values")
	}
	return newLiteral(v).items, nil
}

func readSet(v value) (*literalSet, error) {
	list, err := readList(v)
	return newLiteralSet(list), err
}

func readTruth(v value) (bool, error) {
	switch v.kind {
	case kindBool:
		return v.isTrue(), nil
	case kindNumber:
		return v.number() != 0, nil
	}
	return false, fmt.Errorf("must be true or false")
}

func readSize(v value) (int, error) {
	if v.kind == kindNumber {
		if n := v.number(); n >= 0 && n == math.Trunc(n) && n <= math.MaxInt32 {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("must be a whole number from 0 on")
}

func readMod(v value) (mod [2]float64, err error) {
	list, err := readList(v)
	if err != nil || len(list) != 2 || list[0].kind != kindNumber || list[1].kind != kindNumber || list[0].number == 0 {
		return mod, fmt.Errorf("must be a list of two numbers, the divisor (not 0) and the remainder")
	}
	return [2]float64{list[0].number, list[1].number}, nil
}

func (c *compiler) readPattern(v value, beside []member) (*pattern, error) {
	if v.kind != kindString {
		return nil, fmt.Errorf("must be the source of a regular expression, as a string")
	}
	flags := ""
	for _, m := range beside {
		if m.key != "$options" {
			continue
		}
		if m.val.kind != kindString {
			return nil, fmt.Errorf("its $options must be a string of flags")
		}
		flags = textToUTF8(textOf(m.val))
	}
	return newPattern(c.schema.Regexp, textToUTF8(textOf(v)), flags)
}

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
