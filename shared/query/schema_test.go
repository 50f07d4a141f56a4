package query

import (
	"fmt"
	"slices"
	"testing"
)

func TestParseSchema(t *testing.T) {
	s, err := ParseSchema([]byte(`{
		"version": 0, "type": "object", "primaryKey": {"key": "id", "fields": ["a", "b"], "separator": "|"},
		"properties": {
			"id": {"type": "string"}, "age": {"type": "integer"}, "open": {}, "either": {"type": ["string", "null"]},
			"address": {"type": "object", "properties": {"city": {"type": "string"}}}, "tags": {"type": "array"}
		},
		"required": ["id"], "indexes": ["age", ["address.city", "age"], ["open.any", "either"], ["age", "id"], "id"]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.PrimaryPath != "id" || fmt.Sprint(s.Indexes) != "[[age] [address.city age] [open.any either] [age id] [id]]" ||
		!slices.Equal(s.Properties, []string{"address", "age", "either", "id", "open", "tags"}) {
		t.Errorf("got %+v", s)
	}
	if s, err := ParseSchema([]byte(`{"primaryKey":"id"}`)); err != nil || s.PrimaryPath != "id" || len(s.Indexes)+len(s.Properties) > 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestAdditionalProperties has queries use fields that a schema does not list, where it lets documents have them.
func TestAdditionalProperties(t *testing.T) {
	for _, c := range []struct {
		keyword string
		open    bool
	}{
		{``, false},
		{`,"additionalProperties":false`, false},
		{`,"additionalProperties":true`, true},
		{`,"additionalProperties":{"type":"number"}`, true},
	} {
		s, err := ParseSchema([]byte(`{"primaryKey":"id","properties":{"id":{"type":"string"}}` + c.keyword + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse([]byte(`{"selector":{"age":4},"sort":[{"name":"asc"}]}`), s); (err == nil) != c.open {
			t.Errorf("schema with %q: %v", c.keyword, err)
		}
	}
	if _, err := ParseSchema([]byte(`{"primaryKey":"di","properties":{"id":{}},"additionalProperties":true}`)); err == nil {
		t.Error("the primary key need not be among the properties")
	}
}

func TestParseSchemaErrors(t *testing.T) {
	const properties = `"properties":{"id":{"type":"string"},"tags":{"type":"array"},"age":{"type":"number"},"deep":{"properties":{"x":{"type":"string"}}}}`
	for _, c := range []struct{ schema, want string }{
		{`[]`, `read schema: json: cannot unmarshal array into Go value of type query.jsonSchema`},
		{`{}`, `query: schema.primaryKey: must be the name of a field, or an object whose key is one`},
		{`{"primaryKey":5}`, `query: schema.primaryKey: must be the name of a field, or an object whose key is one`},
		{`{"primaryKey":"a.b"}`, `query: schema.primaryKey: "a.b" must be a top-level field`},
		{`{"primaryKey":"di",` + properties + `}`, `query: schema.primaryKey: "di" is not among the properties`},
		{`{"primaryKey":"id","indexes":[[]]}`, `query: schema.indexes[0]: must be a field path or a list of field paths`},
		{`{"primaryKey":"id","indexes":["a",5]}`, `query: schema.indexes[1]: must be a field path or a list of field paths`},
		{`{"primaryKey":"id","indexes":["a..b"]}`, `query: schema.indexes[0]: field path "a..b" has an empty part`},
		{`{"primaryKey":"id","indexes":[["a","a"]]}`, `query: schema.indexes[0]: field "a" comes twice`},
		{`{"primaryKey":"id","indexes":["gone"],` + properties + `}`, `query: schema.indexes[0]: field "gone" is not among the properties`},
		{`{"primaryKey":"id","indexes":["deep.y"],` + properties + `}`, `query: schema.indexes[0]: field "deep.y" is not among the properties`},
		{`{"primaryKey":"id","indexes":["tags"],` + properties + `}`, `query: schema.indexes[0]: field "tags" is declared as array; an index takes string, number, integer and boolean`},
	} {
		if _, err := ParseSchema([]byte(c.schema)); err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.schema, err, c.want)
		}
	}
}
