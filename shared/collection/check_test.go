package collection

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// TestCheck tells of a damaged record without touching it, and after Open that it was left out.
func TestCheck(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	for i := range 10 {
		if _, err := c.Insert(t.Context(), todo(fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Remove(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	check := func() Report {
		t.Helper()
		log, err := disk.Open(nil).Log(t.Context(), "todos")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		r, err := Check(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := check()
	if good.Documents != 9 || good.Tombstones != 1 || good.Records < 11 || good.Bytes == 0 || good.Replica != replicaOf(c) || len(good.Damaged)+len(good.Repaired) > 0 {
		t.Errorf("%+v", good)
	}
	c.Close()
	const at = store.Position(6)
	if !disk.Flip("todos", at, 100) {
		t.Fatal("nothing to damage")
	}
	for range 2 {
		r := check()
		if r.Documents != 8 || len(r.Damaged) != 1 || r.Damaged[0].Position != at || !errors.Is(r.Damaged[0].Err, block.ErrMalformed) || len(r.Repaired) > 0 {
			t.Errorf("damaged: %+v", r)
		}
	}
	c = open(t, disk, nil)
	if r := check(); r.Documents != 8 || len(r.Damaged) > 0 || !slices.Equal(r.Repaired, []store.Position{at}) || r.Replica != replicaOf(c) {
		t.Errorf("repaired: %+v", r)
	}
}
