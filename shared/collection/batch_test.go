package collection

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func TestWrite(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	first := c.Write(t.Context(), []Write{
		{Kind: WriteInsert, ID: "a", Body: todo("a", "Milk")},
		{Kind: WriteInsert, Body: todo("b", "Bread")},
		{Kind: WriteUpsert, ID: "c", Body: todo("c", "Eggs")},
	})
	for _, r := range first {
		if r.Err != nil || r.Superseded {
			t.Fatalf("%+v", r)
		}
	}
	bad := first[0].Document.Version
	bad.Counter += 100
	results := c.Write(t.Context(), []Write{
		{Kind: WriteInsert, ID: "a", Body: todo("a", "again")},
		{Kind: WritePatch, ID: "a", Body: []byte(`{"done":true}`)},
		{Kind: WriteReplace, ID: "b", Version: first[1].Document.Version, Body: todo("b", "Rye")},
		{Kind: WriteReplace, ID: "c", Version: bad, Body: todo("c", "lost")},
		{Kind: WriteRemove, ID: "c"},
		{Kind: WritePatch, ID: "c", Body: []byte(`{}`)},
		{Kind: WriteRemove, ID: "x"},
		{Kind: WritePatch, ID: "a", Body: []byte(`{"id":"b"}`)},
		{Kind: WritePatch, ID: "a", Body: []byte(`[]`)},
		{Kind: WriteUpsert, ID: "c", Body: todo("c", "back")},
		{Kind: 99, ID: "a"},
		{Kind: WriteInsert, ID: strings.Repeat("k", block.MaxID+1), Body: todo("d", "")},
	})
	want := []error{ErrExists, nil, nil, ErrChanged, nil, ErrNotFound, ErrNotFound, ErrInvalid, ErrInvalid, nil, ErrInvalid, ErrInvalid}
	for i, r := range results {
		if !errors.Is(r.Err, want[i]) {
			t.Errorf("write %d: %v, want %v", i, r.Err, want[i])
		}
	}
	if got := results[1].Document.Body; string(got) != `{"id":"a","title":"Milk","done":true}` {
		t.Errorf("patch made %s", got)
	}
	if !results[4].Superseded || results[9].Superseded || results[4].Document.Version != results[9].Document.Version {
		t.Errorf("removed and written again in one commit: %+v, %+v", results[4], results[9])
	}
	content := map[string]string{
		"a": `{"id":"a","title":"Milk","done":true}`, "b": string(todo("b", "Rye")), "c": string(todo("c", "back")),
	}
	mustContent(t, c, content)
	mustContent(t, open(t, disk, nil), content)
}

func TestWriteTooLarge(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	deep := `{"id":"a","x":` + strings.Repeat("[", 2*maxVouched) + strings.Repeat("]", 2*maxVouched) + `}`
	huge := `{"id":"a","x":"` + strings.Repeat("x", block.MaxBody) + `"}`
	for _, body := range []string{deep, huge} {
		for kind := WriteInsert; kind <= WriteUpsert; kind++ {
			if r := c.Write(t.Context(), []Write{{Kind: kind, ID: "a", Body: []byte(body)}})[0]; !errors.Is(r.Err, ErrInvalid) {
				t.Errorf("kind %d, %d bytes: %v", kind, len(body), r.Err)
			}
		}
	}
}

func TestWriteMany(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	var writes []Write
	for i := range 3000 {
		id := fmt.Sprintf("%05d", i)
		writes = append(writes, Write{Kind: WriteInsert, ID: id, Body: todo(id, strings.Repeat("x", 200))})
	}
	results := c.Write(t.Context(), writes)
	if !slices.IsSortedFunc(results, func(a, b WriteResult) int { return a.Document.Version.Compare(b.Document.Version) }) || c.Count() != len(writes) {
		t.Fatal("not all are there in order")
	}
	c.Close()
	if r := c.Write(t.Context(), writes[:1])[0]; r.Err == nil || r.Document.Version != (document.Dot{}) {
		t.Errorf("write after Close: %+v", r)
	}
}

func TestInfo(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	c.Write(t.Context(), []Write{
		{Kind: WriteInsert, ID: "a", Body: []byte(`{"id":"a"}`)},
		{Kind: WriteInsert, ID: "b", Body: []byte(`{"id":"b"}`)},
	})
	if _, err := c.Remove(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if i := c.Info(); i.Documents != 1 || i.Tombstones != 1 || i.Bytes != 12 || i.Replica.IsZero() {
		t.Errorf("%+v", i)
	}
}

// TestWriteOver: it holds only if the document is still what the caller has seen, deleted or not, or never was.
func TestWriteOver(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	over := func(w Write) (document.Dot, error) {
		t.Helper()
		w.Kind, w.ID = WriteOver, "a"
		r := c.Write(t.Context(), []Write{w})[0]
		return r.Document.Version, r.Err
	}
	first, err := over(Write{Body: todo("a", "Milk")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := over(Write{Body: todo("a", "again")}); !errors.Is(err, ErrChanged) {
		t.Errorf("as if it never was: %v", err)
	}
	deleted, err := over(Write{Version: first, Body: todo("a", "kept"), Deleted: true})
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := c.Get("a"); ok {
		t.Errorf("deleted, and there is %s", d.Body)
	}
	c = open(t, disk, nil)
	c.View(func(v View) {
		if e, _ := v.Get("a"); !e.Deleted || string(e.Body) != string(todo("a", "kept")) {
			t.Errorf("the tombstone is %+v", e)
		}
	})
	if _, err := over(Write{Version: first, Body: todo("a", "late")}); !errors.Is(err, ErrChanged) {
		t.Errorf("over a version that was replaced: %v", err)
	}
	if _, err := over(Write{Version: deleted, Body: todo("a", "back")}); err != nil {
		t.Error(err)
	}
	mustContent(t, c, map[string]string{"a": string(todo("a", "back"))})
}
