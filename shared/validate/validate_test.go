package validate

import (
	"errors"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

const schema = `{"version":0,"primaryKey":"id","type":"object","properties":{
	"id":{"type":"string","maxLength":10},"title":{"type":"string"},"n":{"type":"integer","minimum":0},
	"tags":{"type":"array","items":{"type":"string"}},"at":{"type":"string","format":"date-time"}},
	"required":["id","title"],"indexes":["n"]}`

func TestCompile(t *testing.T) {
	validate, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{
		`{"id":"a","title":"x"}`, `{"id":"a","title":"x","n":0,"tags":["a"],"at":"2026-01-02T03:04:05Z"}`, `{"id":"a","title":"x","n":5.0}`,
	} {
		if err := validate([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for body, want := range map[string][]Problem{
		`{"id":"a"}`:                            {{"", "required", ""}},
		`{"id":"a","title":7}`:                  {{"title", "type", ""}},
		`{"id":"a","title":"x","n":-1}`:         {{"n", "minimum", ""}},
		`{"id":"a","title":"x","tags":["a",1]}`: {{"tags.1", "type", ""}},
		`{"id":"a","title":"x","more":1}`:       {{"", "additionalProperties", ""}},
		`{"id":"a","title":"x","at":"now"}`:     {{"at", "format", ""}},
		`{`:                                     {{"", "json", ""}},
	} {
		var bad *Error
		if err := validate([]byte(body)); !errors.As(err, &bad) || len(bad.Problems) != len(want) {
			t.Errorf("%s: %v", body, err)
			continue
		}
		for i, p := range bad.Problems {
			if p.Field != want[i].Field || p.Rule != want[i].Rule || p.Message == "" || !strings.Contains(bad.Error(), p.Message) {
				t.Errorf("%s: %+v, want %+v", body, p, want[i])
			}
		}
	}
}

func TestSchemasThatAreWrong(t *testing.T) {
	for _, bad := range []string{``, `[]`, `{"type":"thing"}`, `{"properties":{"a":{"$ref":"https://example.com/a.json"}}}`, `{"properties":{"a":{"$ref":"file:///etc/hostname"}}}`} {
		if _, err := Compile([]byte(bad)); err == nil {
			t.Errorf("no error: %s", bad)
		}
	}
	open, err := Compile([]byte(`{"type":"object","additionalProperties":true}`))
	if err != nil || open([]byte(`{"any":1}`)) != nil {
		t.Errorf("additional properties are refused that the schema allows, %v", err)
	}
}

// TestCollection checks each kind of write: what is refused leaves everything as it was.
func TestCollection(t *testing.T) {
	validate, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	db := memlog.New(nil).Open(nil)
	defer db.Close()
	log, err := db.Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	c, err := collection.Open(t.Context(), "todos", log, &collection.Options{Validate: validate, Final: []string{"n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	good := []byte(`{"id":"a","title":"x","n":1}`)
	d, err := c.Insert(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	badTitle, badN := []byte(`{"id":"a","title":1,"n":1}`), []byte(`{"id":"a","title":"x","n":2}`)
	refused := func(what string, err error, words ...string) {
		t.Helper()
		var doc *collection.DocumentError
		if !errors.Is(err, collection.ErrInvalid) || !errors.As(err, &doc) || doc.ID != "a" {
			t.Errorf("%s: %v", what, err)
		}
		for _, w := range words {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v lacks %q", what, err, w)
			}
		}
	}
	_, err = c.Upsert(t.Context(), badTitle)
	refused("upsert", err, "title", "type", `"a"`)
	_, err = c.Upsert(t.Context(), badN)
	refused("upsert of a final field", err, `"n"`, "final")
	_, err = c.Patch(t.Context(), "a", []byte(`{"title":null}`))
	refused("patch", err, "title")
	_, err = c.Patch(t.Context(), "a", []byte(`{"n":2}`))
	refused("patch of a final field", err, "final")
	_, err = c.Replace(t.Context(), "a", d.Version, badTitle)
	refused("replace", err, "title")
	results := c.Write(t.Context(), []collection.Write{
		{Kind: collection.WriteUpsert, ID: "a", Body: badTitle},
		{Kind: collection.WritePatch, ID: "a", Body: []byte(`{"n":"x"}`)},
		{Kind: collection.WriteReplace, ID: "a", Version: d.Version, Body: badN},
		{Kind: collection.WriteInsert, ID: "b", Body: []byte(`{"id":"b","title":"y"}`)},
	})
	for i, r := range results[:3] {
		refused([]string{"upsert", "patch", "replace"}[i]+" of many", r.Err)
	}
	if results[3].Err != nil {
		t.Error(results[3].Err)
	}
	if got, ok := c.Get("a"); !ok || string(got.Body) != string(good) {
		t.Errorf("holds %s", got.Body)
	}
	if _, err := c.Remove(t.Context(), "a"); err != nil {
		t.Errorf("remove: %v", err)
	}
	if _, err := c.Insert(t.Context(), badN); err != nil {
		t.Errorf("insert after a removal, with another value of the final field: %v", err)
	}
}
