// Package validate checks documents against their collection's JSON schema, natively.
//
// It stays out of wasm, where it would be a fifth of the program: pages that want validation load a library of JavaScript.
package validate

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	Field   string // path of the field, with dots; "" for the document itself
	Rule    string // keyword of the schema, as "type" or "required"
	Message string
}

// Error tells all that is wrong with a document.
type Error struct{ Problems []Problem }

// Error implements error.
func (e *Error) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = fmt.Sprintf("%s (%s)", p.Message, p.Rule)
		if p.Field != "" {
			parts[i] = p.Field + ": " + parts[i]
		}
	}
	return strings.Join(parts, "; ")
}

// Compile makes a function for collection.Options.Validate of a schema in RxDB's form: a JSON schema (draft 7, or the one that its
// $schema names), which does not allow properties beyond those it lists unless it has additionalProperties. Nothing is fetched: a
// reference to another document is an error. The function may be called concurrently; its errors are of type *Error.
func Compile(schema []byte) (func(body []byte) error, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	top, ok := doc.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("compile schema: not a JSON object")
	}
	if _, ok := top["additionalProperties"]; !ok {
		top["additionalProperties"] = false // as in RxDB
	}
	const name = "shoal:schema"
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource(name, top); err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return func(body []byte) error { return check(compiled, body) }, nil
}

func check(schema *jsonschema.Schema, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return &Error{[]Problem{{Rule: "json", Message: err.Error()}}}
	}
	err = schema.Validate(value)
	if err == nil {
		return nil
	}
	out := &Error{}
	if bad, ok := err.(*jsonschema.ValidationError); ok { //nolint:errorlint // the library returns it as it is
		out.add(bad)
	}
	if len(out.Problems) == 0 {
		out.Problems = []Problem{{Rule: "schema", Message: err.Error()}}
	}
	return out
}

// english writes the messages.
var english = message.NewPrinter(language.English)

// add adds what a tree of errors has at its leaves.
func (e *Error) add(bad *jsonschema.ValidationError) {
	for _, cause := range bad.Causes {
		e.add(cause)
	}
	if path := bad.ErrorKind.KeywordPath(); len(bad.Causes) == 0 && len(path) > 0 {
		e.Problems = append(e.Problems, Problem{strings.Join(bad.InstanceLocation, "."), path[len(path)-1], bad.ErrorKind.LocalizedString(english)})
	}
}
