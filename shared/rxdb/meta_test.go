package rxdb

import (
	"context"
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store"
)

func TestMetaIsStored(t *testing.T) {
	r := newReplica(t, "", nil)
	token := r.meta.Token()
	if len(token) != 10 {
		t.Errorf("the token is %q", token)
	}
	ctx := t.Context()
	state := digestOf(collection.Content{Body: []byte(`{"id":"a"}`)})
	for _, err := range []error{
		r.meta.meet(ctx, "room|c"),
		r.meta.note(ctx, "room|c", &update{down: []byte(`{"lwt":1}`), up: 7, assumed: []assumption{{"a", state}}}),
		r.meta.note(ctx, "room|c", &update{up: 8}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		down, up := r.meta.marks("room|c")
		got, ok := r.meta.assumed("room|c", "a")
		if string(down) != `{"lwt":1}` || up != 8 || got != state || !ok || r.meta.Token() != token {
			t.Errorf("stored are %s, %d, %v %v, token %q", down, up, got, ok, r.meta.Token())
		}
		if _, ok := r.meta.assumed("room|c", "b"); ok {
			t.Error("a state is assumed of another document")
		}
	}
	check()
	r.reopen("", nil)
	check()
	r.close()
}

// TestMetaDamaged: a log that cannot be read is as if it were empty.
func TestMetaDamaged(t *testing.T) {
	r := newReplica(t, "", nil)
	token := r.meta.Token()
	if err := r.meta.note(t.Context(), "room|c", &update{up: 7}); err != nil {
		t.Fatal(err)
	}
	r.close()
	if !r.disk.Flip("todos/rxdb", 1, 100) {
		t.Fatal("there is no record to damage")
	}
	r.open("", nil)
	defer r.close()
	if _, up := r.meta.marks("room|c"); up != 0 {
		t.Errorf("half of what was known is left: %d", up)
	}
	if r.meta.Token() == token || r.meta.Token() == "" {
		t.Errorf("the token is %q, before it was %q", r.meta.Token(), token)
	}
}

func TestMetaForgetsClients(t *testing.T) {
	r := newReplica(t, "", nil)
	defer func() { r.close() }()
	for i := range maxClients + 5 {
		if err := r.meta.meet(t.Context(), fmt.Sprintf("room|%02d", i)); err != nil {
			t.Fatal(err)
		}
		if err := r.meta.meet(t.Context(), "room|00"); err != nil { // comes again and again
			t.Fatal(err)
		}
	}
	for range 2 {
		keys := r.meta.keys()
		if len(keys) != maxClients || keys[0] != "room|00" || keys[1] != "room|06" {
			t.Errorf("%d clients are known: %v", len(keys), keys)
		}
		r.reopen("", nil)
	}
}

// TestMetaIsCompacted: the log does not grow with every change.
func TestMetaIsCompacted(t *testing.T) {
	r := newReplica(t, "", nil)
	ctx := t.Context()
	body := collection.Content{Body: []byte(`{"id":"a"}`)}
	for i := range 400 {
		u := &update{down: fmt.Appendf(nil, `{"lwt":%d}`, i), up: store.Position(i + 1)}
		for k := range 500 {
			body.Body = fmt.Appendf(nil, `{"id":"doc%d","n":%d}`, k, i)
			u.assumed = append(u.assumed, assumption{fmt.Sprintf("doc%d", k), digestOf(body)})
		}
		if err := r.meta.note(ctx, "room|c", u); err != nil {
			t.Fatal(err)
		}
	}
	r.reopen("", nil)
	defer func() { r.close() }()
	records := must(r.meta.log.Read(ctx, 1, 1<<30))(t)
	size := 0
	for _, rec := range records {
		size += len(rec.Data)
	}
	if size > 2*compactAt {
		t.Errorf("the log has %d bytes for 500 documents", size)
	}
	down, up := r.meta.marks("room|c")
	last, _ := r.meta.assumed("room|c", "doc499")
	body.Body = []byte(`{"id":"doc499","n":399}`)
	if string(down) != `{"lwt":399}` || up != 400 || last != digestOf(body) {
		t.Errorf("after that %s, %d, %v", down, up, last)
	}
}

// TestMetaOfAnotherLog: what is remembered of a log that is gone is of no use.
func TestMetaOfAnotherLog(t *testing.T) {
	r := newReplica(t, "", nil)
	r.put(`{"id":"a"}`)
	r.reopen("", nil)
	token := r.meta.Token()
	if err := r.meta.note(t.Context(), "room|c", &update{up: 7}); err != nil {
		t.Fatal(err)
	}
	r.close()
	db := r.disk.Open(nil)
	if err := db.Drop(context.Background(), "todos"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	r.open("", nil)
	defer r.close()
	if _, up := r.meta.marks("room|c"); up != 0 || r.meta.Token() == token {
		t.Errorf("it still tells %d, token %q", up, r.meta.Token())
	}
}
