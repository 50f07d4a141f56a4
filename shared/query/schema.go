package query

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Schema is what queries need to know of a collection's JSON schema in RxDB's form.
type Schema struct {
	PrimaryPath string     // name of the field that holds the primary key; no dots
	Indexes     [][]string // field paths of each declared index; every index ends with the primary key, named or not
	// Properties holds the names of the top-level fields. Queries may use no others. Empty means that any field may be used.
	Properties []string
	// Regexp compiles the patterns of $regex: jsregexp.Compile, or in a browser its own RegExp. Nil: $regex is refused.
	// ParseSchema leaves it nil.
	Regexp CompileRegexp
}

// jsonSchema is RxDB's shape, as far as it is read here.
type jsonSchema struct {
	PrimaryKey json.RawMessage            `json:"primaryKey"`
	Properties map[string]json.RawMessage `json:"properties"`
	Additional json.RawMessage            `json:"additionalProperties"`
	Indexes    []json.RawMessage          `json:"indexes"`
}

// ParseSchema reads primaryKey (a field name, or an object with key), properties and indexes (each a field path or a list of
// them) from a JSON schema, and checks what an index needs: its fields exist and are declared as string, number, integer
// or boolean, as RxDB asks. With additionalProperties, other than false, queries may use any field. Other keywords are left to
// the collection.
func ParseSchema(text []byte) (*Schema, error) {
	var js jsonSchema
	if err := json.Unmarshal(text, &js); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	s := &Schema{}
	for name := range js.Properties {
		s.Properties = append(s.Properties, name)
	}
	slices.Sort(s.Properties)
	if err := s.readPrimary(js.PrimaryKey); err != nil {
		return nil, err
	}
	for i, raw := range js.Indexes {
		fields, err := readFieldList(raw)
		if err != nil {
			return nil, &Error{At: fmt.Sprintf("schema.indexes[%d]", i), Problem: err.Error()}
		}
		if err := checkIndex(fields, &js); err != nil {
			return nil, &Error{At: fmt.Sprintf("schema.indexes[%d]", i), Problem: err.Error()}
		}
		s.Indexes = append(s.Indexes, fields)
	}
	if js.Additional != nil && string(js.Additional) != "false" {
		s.Properties = nil
	}
	return s, nil
}

func (s *Schema) readPrimary(raw json.RawMessage) error {
	var composite struct {
		Key string `json:"key"`
	}
	if json.Unmarshal(raw, &s.PrimaryPath) != nil && json.Unmarshal(raw, &composite) == nil {
		s.PrimaryPath = composite.Key
	}
	switch {
	case s.PrimaryPath == "":
		return &Error{At: "schema.primaryKey", Problem: "must be the name of a field, or an object whose key is one"}
	case strings.Contains(s.PrimaryPath, "."):
		return &Error{At: "schema.primaryKey", Problem: fmt.Sprintf("%q must be a top-level field", s.PrimaryPath)}
	case len(s.Properties) > 0 && !slices.Contains(s.Properties, s.PrimaryPath):
		return &Error{At: "schema.primaryKey", Problem: fmt.Sprintf("%q is not among the properties", s.PrimaryPath)}
	}
	return nil
}

// ending returns the fields of an index up to the primary key, which every index ends with.
func (s *Schema) ending(fields []string) []string {
	if i := slices.Index(fields, s.PrimaryPath); i >= 0 {
		return fields[:i+1]
	}
	return append(slices.Clone(fields), s.PrimaryPath)
}

// readFieldList reads a field path or a list of field paths.
func readFieldList(raw json.RawMessage) ([]string, error) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, fmt.Errorf("must be a field path or a list of field paths")
	}
	return list, nil
}

func checkIndex(fields []string, js *jsonSchema) error {
	for i, field := range fields {
		if err := checkFieldName(field); err != nil {
			return err
		}
		if slices.Contains(fields[:i], field) {
			return fmt.Errorf("field %q comes twice", field)
		}
		if len(js.Properties) == 0 {
			continue
		}
		kind, ok := declaredType(js.Properties, field)
		switch {
		case !ok:
			return fmt.Errorf("field %q is not among the properties", field)
		case kind != "" && !slices.Contains([]string{"string", "number", "integer", "boolean"}, kind):
			return fmt.Errorf("field %q is declared as %s; an index takes string, number, integer and boolean", field, kind)
		}
	}
	return nil
}

// declaredType returns the type that the properties declare for a field path, "" where they declare none or several.
func declaredType(properties map[string]json.RawMessage, field string) (kind string, ok bool) {
	first, rest, nested := strings.Cut(field, ".")
	raw, ok := properties[first]
	if !ok {
		return "", false
	}
	var sub struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(raw, &sub) != nil {
		return "", true
	}
	if nested {
		if len(sub.Properties) == 0 {
			return "", true
		}
		return declaredType(sub.Properties, rest)
	}
	if json.Unmarshal(sub.Type, &kind) != nil {
		return "", true
	}
	return kind, true
}

// checkFieldName refuses field paths that nothing can be stored under or that mingo refuses.
func checkFieldName(name string) error {
	for part := range strings.SplitSeq(name, ".") {
		switch part {
		case "":
			return fmt.Errorf("field path %q has an empty part", name)
		case "__proto__":
			return fmt.Errorf("field path %q may not contain __proto__", name)
		}
	}
	return nil
}

// checkField refuses a field path whose first part is none of the schema's properties.
func (s *Schema) checkField(name string) error {
	if err := checkFieldName(name); err != nil {
		return err
	}
	first, _, _ := strings.Cut(name, ".")
	if len(s.Properties) > 0 && !slices.Contains(s.Properties, first) {
		return fmt.Errorf("field %q is not in the schema; its fields are %s", first, listed(s.Properties))
	}
	return nil
}

// listed writes a few names for a message.
func listed(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}
