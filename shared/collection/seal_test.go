package collection

import (
	"errors"
	"testing"

	"github.com/shoaldb/shoal/shared/store/memlog"
)

func TestSeal(t *testing.T) {
	disk := memlog.New(nil)
	a, b := open(t, disk, nil), open(t, disk, nil)
	if _, err := a.Insert(t.Context(), todo("1", "x")); err != nil {
		t.Fatal(err)
	}
	tail := func(c *Collection) (v View) { c.View(func(w View) { v = w }); return v }
	if sealed, err := b.Seal(t.Context(), 1); sealed || err != nil {
		t.Fatalf("sealed by one who has not seen all: %v, %v", sealed, err)
	}
	if sealed, err := a.Seal(t.Context(), tail(a).Tail()); !sealed || err != nil {
		t.Fatalf("%v, %v", sealed, err)
	}
	for _, c := range []*Collection{a, b, open(t, disk, nil)} {
		if _, err := c.Insert(t.Context(), todo("2", "y")); !errors.Is(err, ErrSealed) {
			t.Errorf("insert: %v", err)
		}
		if sealed, err := c.Seal(t.Context(), 1); !sealed || err != nil {
			t.Errorf("again: %v, %v", sealed, err)
		}
		mustContent(t, c, map[string]string{"1": `{"id":"1","title":"x"}`})
	}
}
