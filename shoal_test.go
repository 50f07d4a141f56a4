//go:build !js

package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/pool"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func open(t *testing.T, dir string) *shoal.Database {
	t.Helper()
	db, err := shoal.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func openCollection(t *testing.T, db *shoal.Database, name string, opts *shoal.CollectionOptions) *shoal.Collection {
	t.Helper()
	c, err := db.Collection(t.Context(), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func insert(t *testing.T, c *shoal.Collection, id, title string) shoal.Document {
	t.Helper()
	d, err := c.Upsert(t.Context(), fmt.Appendf(nil, `{"id":%q,"title":%q}`, id, title))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDatabase(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	if _, err := shoal.Open(dir, nil); !errors.Is(err, shoal.ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	todos := openCollection(t, db, "todos", nil)
	if again := openCollection(t, db, "todos", nil); again != todos {
		t.Error("opened twice")
	}
	later := openCollection(t, db, "todos", &shoal.CollectionOptions{SchemaVersion: 3})
	people := openCollection(t, db, "a/b", &shoal.CollectionOptions{PrimaryKey: "name"})
	first := insert(t, todos, "1", "x")
	insert(t, later, "2", "x")
	if _, err := people.Insert(t.Context(), []byte(`{"name":"Ada"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := todos.Insert(t.Context(), []byte(`{"id":"1"}`)); !errors.Is(err, shoal.ErrExists) {
		t.Errorf("insert again: %v", err)
	}
	want := []shoal.Stored{{Name: "a/b"}, {Name: "todos"}, {Name: "todos", SchemaVersion: 3}}
	if got, err := db.Stored(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("stored %v, %v", got, err)
	}
	if report, err := db.Check(t.Context(), want[1]); err != nil || report.Documents != 1 || len(report.Damaged) > 0 {
		t.Errorf("check %+v, %v", report, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Collection(t.Context(), "todos", nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if _, err := db.Join(t.Context(), "ws://127.0.0.1:1/", "my-users-pool", nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}

	db = open(t, dir)
	todos = openCollection(t, db, "todos", nil)
	if d, ok := todos.Get("1"); !ok || string(d.Body) != `{"id":"1","title":"x"}` {
		t.Errorf("got %s, %t", d.Body, ok)
	}
	if next := insert(t, todos, "1", "y"); next.Version.Replica == first.Version.Replica {
		t.Error("after a restart the replica has its old id, which a copy of the directory has as well")
	}
}

// TestSchemaWithAnotherKey keeps documents to a schema whose primary key is not id, and finds them by a query.
func TestSchemaWithAnotherKey(t *testing.T) {
	db := open(t, t.TempDir())
	people := openCollection(t, db, "people", &shoal.CollectionOptions{Schema: []byte(`{
		"version": 4, "primaryKey": "name", "type": "object",
		"properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}, "born": {"type": "integer", "final": true}},
		"required": ["name", "age"], "indexes": ["age"]
	}`), Validate: true})
	for i, name := range []string{"Ada", "Bob", "Cyd"} {
		if _, err := people.Insert(t.Context(), fmt.Appendf(nil, `{"name":%q,"age":%d,"born":1900}`, name, 60-i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{`{"name":"Dan"}`, `{"name":"Dan","age":1.5}`, `{"name":"Dan","age":1,"x":1}`, `{"id":"Dan","age":1}`, `{"name":"Ada","age":1,"born":1901}`} {
		if _, err := people.Upsert(t.Context(), []byte(bad)); !errors.Is(err, shoal.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	q, err := people.Query(`{"selector":{"age":{"$lt":60},"name":{"$regex":"^[A-Z]"}},"sort":[{"age":"asc"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := q.Find(t.Context())
	if err != nil || len(docs) != 2 || docs[0].ID != "Cyd" || docs[1].ID != "Bob" || string(docs[0].Body) != `{"name":"Cyd","age":58,"born":1900}` {
		t.Errorf("found %v, %v", docs, err)
	}
	if _, err := people.Query(`{"selector":{"x":1}}`); err == nil {
		t.Error("found by a field that the schema lacks")
	}
	if got, err := db.Stored(t.Context()); err != nil || len(got) != 1 || got[0].String() != "people@4" || people.PrimaryKey() != "name" {
		t.Errorf("stored %v, %v", got, err)
	}
	if _, err := db.Collection(t.Context(), "bad", &shoal.CollectionOptions{Schema: []byte(`{"version":0}`)}); err == nil {
		t.Error("opened a collection with a schema without a primary key")
	}
}

// TestProgramInDocs compiles the program of docs/go.md.
func TestProgramInDocs(t *testing.T) {
	text, err := os.ReadFile("docs/go.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(text), "```go\n")
	program, _, found := strings.Cut(program, "```\n")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil || !found {
		t.Fatal(err, found)
	}
	if out, err := exec.Command("go", "build", "-o", os.DevNull, file).CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, out)
	}
}

// TestWatch has a watcher that is slower than the writer.
func TestWatch(t *testing.T) {
	c := openCollection(t, open(t, t.TempDir()), "todos", nil)
	insert(t, c, "before", "x")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := c.Watch(ctx)
	for i := range 3 {
		insert(t, c, "a", fmt.Sprint(i))
	}
	insert(t, c, "gone", "x")
	for _, id := range []string{"gone", "before"} {
		if _, err := c.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for change := range changes {
		got = append(got, fmt.Sprintf("%s %t %t %s", change.After.ID, change.Before != nil, change.After.Deleted, change.After.Body))
		if len(got) == 2 {
			insert(t, c, "a", "later")
		}
		if len(got) == 3 {
			cancel()
		}
	}
	want := []string{`a false false {"id":"a","title":"2"}`, `before true true `, `a true false {"id":"a","title":"later"}`}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	for range changes {
		t.Error("told something after the end")
	}
}

func serve(t *testing.T) string {
	t.Helper()
	h := hub.New(nil)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return strings.Replace(s.URL, "http", "ws", 1)
}

// TestJoin replicates some collections and not others, with one that only reads.
func TestJoin(t *testing.T) {
	url := serve(t)
	a, b := open(t, t.TempDir()), open(t, t.TempDir())
	if _, err := a.Join(t.Context(), url, "my-users-pool", nil); err == nil {
		t.Error("joined with nothing")
	}
	todosA, todosB := openCollection(t, a, "todos", nil), openCollection(t, b, "todos", nil)
	if _, err := a.Join(t.Context(), url, "short", nil); err == nil || !strings.Contains(err.Error(), `"short" has 5 characters`) {
		t.Errorf("joined a room that has a bad name: %v", err)
	}
	private := openCollection(t, a, "private", nil)
	events := make(chan *shoal.Collection, 1000)
	roomA, err := a.Join(t.Context(), url, "my-users-pool", &shoal.JoinOptions{
		Collections: []*shoal.Collection{todosA},
		OnEvent: func(c *shoal.Collection, e pool.Event) {
			if _, ok := e.(pool.PeersChanged); ok {
				events <- c
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	roomB, err := b.Join(t.Context(), url, "my-users-pool", &shoal.JoinOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if roomA.Pool(private) != nil || roomA.Pool(todosA) == nil || roomA.Name() != "my-users-pool" {
		t.Error("the room has other collections than it was given")
	}
	insert(t, todosB, "secret", "of b")
	watch := todosB.Watch(t.Context())
	insert(t, todosA, "1", "of a")
	if err := roomB.AwaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for change := range watch {
		if change.After.ID == "1" {
			break
		}
	}
	if c := <-events; c != todosA {
		t.Errorf("an event of %s", c.Name())
	}
	if _, ok := todosA.Get("secret"); ok {
		t.Error("a replica that only reads has sent something")
	}
	if err := roomA.Leave(); err != nil {
		t.Fatal(err)
	}
	if err := roomA.Leave(); err != nil {
		t.Errorf("again: %v", err)
	}
	insert(t, todosA, "2", "alone")
	if _, err := a.Join(t.Context(), url, "my-users-pool", &shoal.JoinOptions{Collections: []*shoal.Collection{todosA}, RxDB: private}); err == nil {
		t.Error("joined with a collection for RxDB clients that is not replicated")
	}
	bridge, err := a.Join(t.Context(), url, "my-users-pool", &shoal.JoinOptions{RxDB: todosA, Collections: []*shoal.Collection{todosA}, AlwaysOn: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := bridge.Leave(); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Stored(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("stored %v, %v", got, err)
	}
}
