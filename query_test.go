//go:build !js

package shoal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal"
)

const todoSchema = `{"version":0,"primaryKey":"id","type":"object","properties":{
	"id":{"type":"string"},"title":{"type":"string"},"rank":{"type":"number"},"owner":{"type":"string","final":true}},
	"required":["id","title"],"indexes":["rank"]}`

func ids(docs []shoal.Document) string {
	var list []string
	for _, d := range docs {
		list = append(list, d.ID)
	}
	return strings.Join(list, " ")
}

func mustQuery(t *testing.T, c *shoal.Collection, text string) *shoal.Query {
	t.Helper()
	q, err := c.Query(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQueries(t *testing.T) {
	db := open(t, t.TempDir())
	c := openCollection(t, db, "todos", &shoal.CollectionOptions{Schema: json.RawMessage(todoSchema)})
	for i := range 20 {
		if _, err := c.Insert(t.Context(), fmt.Appendf(nil, `{"id":"t%02d","title":"x","rank":%d}`, i, 20-i)); err != nil {
			t.Fatal(err)
		}
	}
	q := mustQuery(t, c, `{"selector":{"rank":{"$gt":17}},"sort":[{"rank":"asc"}]}`)
	if docs, err := q.Find(t.Context()); err != nil || ids(docs) != "t02 t01 t00" {
		t.Errorf("found %s, %v", ids(docs), err)
	}
	if n, err := q.Count(t.Context()); err != nil || n != 3 {
		t.Errorf("counted %d, %v", n, err)
	}
	if e, err := q.Explain(t.Context()); err != nil || !slices.Equal(e.Index, []string{"rank", "id"}) {
		t.Errorf("explained %+v, %v", e, err)
	}
	if _, err := c.Query(`{"selector":{"colour":1}}`); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("a field that there is not: %v", err)
	}
	if _, err := mustQuery(t, c, `{"selector":{"title":{"$regex":"^X$","$options":"i"}}}`).Count(t.Context()); err != nil {
		t.Error(err)
	}

	steps := []string{"t02 t01 t00", "t02 t05 t01 t00", "t05 t01 t00"}
	writes := []func() error{
		func() error { _, err := c.Patch(t.Context(), "t05", []byte(`{"rank":18.5}`)); return err },
		func() error { _, err := c.Remove(t.Context(), "t02"); return err },
		func() error { return c.Close() },
	}
	step := 0
	for docs, err := range q.Live(t.Context()) {
		if step == len(steps) {
			if err == nil {
				t.Errorf("after the end: %s", ids(docs))
			}
			step++
			continue
		}
		if err != nil || ids(docs) != steps[step] {
			t.Fatalf("step %d: %s, %v", step, ids(docs), err)
		}
		if err := writes[step](); err != nil {
			t.Fatal(err)
		}
		step++
	}
	if step != len(steps)+1 {
		t.Errorf("ended at step %d", step)
	}
	again := openCollection(t, db, "todos", nil)
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range mustQuery(t, again, `{}`).Live(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		cancel()
	}
	cancel()
}

func TestSchema(t *testing.T) {
	db := open(t, t.TempDir())
	c := openCollection(t, db, "todos", &shoal.CollectionOptions{Schema: json.RawMessage(todoSchema), Validate: true})
	if _, err := c.Insert(t.Context(), []byte(`{"id":"a","title":"A","owner":"me"}`)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"id":"a"}`, `{"id":"a","title":7}`, `{"id":"a","title":"A","owner":"you"}`} {
		if _, err := c.Upsert(t.Context(), []byte(bad)); !errors.Is(err, shoal.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []shoal.CollectionOptions{
		{Schema: json.RawMessage(`{`)},
		{Schema: json.RawMessage(`{"properties":{}}`)},
		{Schema: json.RawMessage(todoSchema), PrimaryKey: "key"},
		{Schema: json.RawMessage(todoSchema), SchemaVersion: 2},
	} {
		if _, err := db.Collection(t.Context(), "other", &bad); err == nil {
			t.Errorf("no error: %+v", bad)
		}
	}
}

func TestMigration(t *testing.T) {
	db := open(t, t.TempDir())
	c := openCollection(t, db, "todos", &shoal.CollectionOptions{Schema: json.RawMessage(todoSchema)})
	for i := range 10 {
		insert(t, c, fmt.Sprint(i), "old")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	next := func(version int) json.RawMessage {
		return json.RawMessage(strings.Replace(todoSchema, `"version":0`, fmt.Sprintf(`"version":%d`, version), 1))
	}
	replace := func(old, new string) shoal.MigrationStrategy {
		return func(body json.RawMessage) (json.RawMessage, error) {
			if strings.Contains(string(body), `"id":"3"`) {
				return nil, nil
			}
			return json.RawMessage(strings.Replace(string(body), old, new, 1)), nil
		}
	}
	if _, err := db.Collection(t.Context(), "todos", &shoal.CollectionOptions{
		Schema: next(2), MigrationStrategies: map[uint32]shoal.MigrationStrategy{2: replace("", "")},
	}); err == nil || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("without a strategy for version 1: %v", err)
	}
	strategies := map[uint32]shoal.MigrationStrategy{1: replace("old", "newer"), 2: replace("newer", "newest")}
	c = openCollection(t, db, "todos", &shoal.CollectionOptions{Schema: next(2), Validate: true, MigrationStrategies: strategies})
	if n, err := mustQuery(t, c, `{"selector":{"title":"newest"}}`).Count(t.Context()); err != nil || n != 9 || c.Count() != 9 {
		t.Errorf("%d of %d documents are migrated, %v", n, c.Count(), err)
	}
	if _, err := db.Collection(t.Context(), "todos", &shoal.CollectionOptions{Schema: next(1), MigrationStrategies: strategies}); !errors.Is(err, shoal.ErrNewer) {
		t.Errorf("the version before: %v", err)
	}
}
