package collection

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
)

// object is the top level of a JSON object: its fields in their order. Of a field that is there twice the last counts, as in JavaScript.
type object []field

type field struct {
	name  string
	key   string // name as it stands in the text, with quotes
	value gjson.Result
}

// maxBrackets is how many brackets a document may have before it is parsed by the slower parser, which bounds their depth.
const maxBrackets = 1000

// parseObject parses body, which must be one JSON object. The error matches ErrInvalid.
func parseObject(body []byte) (object, error) {
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	var o object
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		f := field{key.Str, key.Raw, value}
		if i := o.index(f.name); i >= 0 {
			o[i] = f
		} else {
			o = append(o, f)
		}
		return true
	})
	return o, nil
}

// checkJSON returns an error that matches ErrInvalid unless body is one JSON object.
func checkJSON(body []byte) error {
	valid := gjson.ValidBytes
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxBrackets {
		valid = json.Valid
	}
	switch trimmed := bytes.TrimLeft(body, " \t\r\n"); {
	case !valid(body):
		return fmt.Errorf("%w: not valid JSON, or nested too deeply", ErrInvalid)
	case trimmed[0] != '{':
		return fmt.Errorf("%w: not a JSON object", ErrInvalid)
	}
	return nil
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(f field) bool { return f.name == name })
}

func (o object) get(name string) (gjson.Result, bool) {
	if i := o.index(name); i >= 0 {
		return o[i].value, true
	}
	return gjson.Result{}, false
}

// over returns body with the fields of o in the place of those that it has, and the others of o after them.
func (o object) over(body []byte) ([]byte, error) {
	old, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	for _, f := range o {
		if i := old.index(f.name); i >= 0 {
			old[i].value = f.value
		} else {
			old = append(old, f)
		}
	}
	return old.encode(), nil
}

// encode returns o as JSON text.
func (o object) encode() []byte {
	out := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, f.key...), ':'), f.value.Raw...)
	}
	return append(out, '}')
}
