package collection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// Whatever step of whatever commit the replica crashes at: what was acknowledged is there afterwards, and nothing half.
func TestCrashAtEachStep(t *testing.T) {
	const writes = 6
	for crashAt := range 2*writes + 4 {
		disk := memlog.New(nil)
		steps := 0
		c, err := tryOpen(t, disk, func(memlog.Step) error {
			if steps++; steps > crashAt {
				return memlog.ErrCrashed
			}
			return nil
		}, nil)
		acked := map[string]string{}
		if err == nil {
			for i := range writes {
				id := fmt.Sprint(i)
				var bodies [][]byte
				for k := range 700 { // more than one block
					bodies = append(bodies, todo(fmt.Sprint(id, "-", k), "a title that is long enough to fill some blocks"))
				}
				for k, r := range c.BulkInsert(t.Context(), bodies) {
					if r.Err == nil {
						acked[r.Document.ID] = string(bodies[k])
					} else if !errors.Is(r.Err, memlog.ErrCrashed) {
						t.Fatal(r.Err)
					}
				}
			}
			c.Close()
		} else if !errors.Is(err, memlog.ErrCrashed) {
			t.Fatal(err)
		}
		c = open(t, disk, nil)
		got := content(c)
		for id, body := range acked {
			if got[id] != body {
				t.Fatalf("crash at step %d: %s is lost", crashAt, id)
			}
		}
		if _, err := c.Insert(t.Context(), todo("after", "x")); err != nil {
			t.Fatalf("crash at step %d: write afterwards: %v", crashAt, err)
		}
	}
}

func TestQuota(t *testing.T) {
	c := open(t, memlog.New(&memlog.Options{Quota: 3000}), nil)
	if _, err := c.Insert(t.Context(), todo("1", "small")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Insert(t.Context(), todo("2", fmt.Sprintf("%05000d", 1))); !errors.Is(err, store.ErrQuota) {
		t.Fatalf("more than fits: %v", err)
	}
	if _, err := c.Insert(t.Context(), todo("3", "small")); err != nil {
		t.Fatalf("after that: %v", err)
	}
	mustContent(t, c, map[string]string{"1": string(todo("1", "small")), "3": string(todo("3", "small"))})
}

// unsure is a log that now and then does not know how a commit ended, whether it was written or not.
type unsure struct {
	store.Log
	rng *rand.Rand
}

var errGone = errors.New("connection is gone")

func (u *unsure) Commit(ctx context.Context, from store.Position, build func([]store.Record) ([]store.Append, error)) ([]store.Record, error) {
	switch u.rng.IntN(4) {
	case 0:
		if _, err := u.Log.Commit(ctx, from, func(tail []store.Record) ([]store.Append, error) {
			if _, err := build(tail); err != nil {
				return nil, err
			}
			return nil, errGone
		}); !errors.Is(err, errGone) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", store.ErrUncertain, errGone)
	case 1:
		if _, err := u.Log.Commit(ctx, from, build); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", store.ErrUncertain, errGone)
	}
	return u.Log.Commit(ctx, from, build)
}

func TestUncertainCommitsHappenOnce(t *testing.T) {
	for seed := range uint64(30) {
		disk := memlog.New(nil)
		log, err := disk.Open(nil).Log(t.Context(), "todos")
		if err != nil {
			t.Fatal(err)
		}
		setup := open(t, disk, nil)
		c, err := Open(t.Context(), "todos", &unsure{log, rand.New(rand.NewPCG(seed, 1))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := setup.Insert(t.Context(), []byte(`{"id":"n","n":""}`)); err != nil {
			t.Fatal(err)
		}
		want := 0
		for range 40 {
			_, err := c.Modify(t.Context(), "n", func(b json.RawMessage) (json.RawMessage, error) {
				return append(append(append(json.RawMessage{}, b[:len(b)-2]...), 'x'), b[len(b)-2:]...), nil
			})
			if err == nil {
				want++
			} else if !errors.Is(err, store.ErrUncertain) {
				t.Fatal(err)
			}
		}
		c.Close()
		d, _ := open(t, disk, nil).Get("n")
		if got := len(d.Body) - len(`{"id":"n","n":""}`); got != want {
			t.Fatalf("seed %d: done %d times, acknowledged %d", seed, got, want)
		}
	}
}

// A log that was emptied under our feet gets nothing of what is in memory.
func TestLostLog(t *testing.T) {
	disk := memlog.New(nil)
	db := disk.Open(nil)
	log, err := db.Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), "todos", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 3 {
		if _, err := c.Insert(t.Context(), todo(fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Drop(t.Context(), "todos"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Insert(t.Context(), todo("4", "x")); !errors.Is(err, store.ErrLost) {
			t.Fatal(err)
		}
	}
	if c.Count() != 3 {
		t.Fatal("reads go on from memory")
	}
	mustContent(t, open(t, disk, nil), map[string]string{})
}
