package collection

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// records returns how many records the log on disk has, and how many bytes.
func records(t *testing.T, disk *memlog.Disk) (n, bytes int) {
	t.Helper()
	log, err := disk.Open(nil).Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	all, err := log.Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		bytes += len(r.Data)
	}
	return len(all), bytes
}

func TestCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memlog.New(nil)
		c, other := open(t, disk, nil), open(t, disk, nil)
		p := newPeer(7)
		for i := range 2000 {
			if _, err := c.Upsert(t.Context(), todo(fmt.Sprint("d", i%50), strings.Repeat("x", 1+i%1000))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Remove(t.Context(), "d7"); err != nil {
			t.Fatal(err)
		}
		in := p.frame(p.write("theirs", "x", nil, 5))
		p.known.AddUpTo(p.id, 9)
		in.Claim, in.Seen = p.known.Clone(), p.known.Clone()
		if _, err := c.Accept(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		before, bytesBefore := records(t, disk)
		want := content(c)
		time.Sleep(time.Minute)
		synctest.Wait()
		after, bytesAfter := records(t, disk)
		if after > before/10 || bytesAfter > bytesBefore/10 {
			t.Errorf("%d records of %d bytes became %d of %d", before, bytesBefore, after, bytesAfter)
		}
		var known, self string
		c.View(func(v View) { known, self = v.Known().String(), v.Replica().String() })
		for _, c := range []*Collection{c, other, open(t, disk, nil)} {
			mustContent(t, c, want)
			forked := &document.Knowledge{}
			forked.Add(document.Dot{Replica: replicaOf(c), Counter: 1500}, 1)
			if !c.mem.isStrange(forked) {
				t.Error("does not remember when it made its writes")
			}
			c.View(func(v View) {
				if v.Known().String() != known || v.Replica().String() != self {
					t.Errorf("knows %v as %v, want %s as %s", v.Known(), v.Replica(), known, self)
				}
				if e, _ := v.Get("d7"); e == nil || !e.Deleted {
					t.Errorf("tombstone became %+v", e)
				}
			})
		}
		// Nothing more happens, and the next write goes on where the last was.
		time.Sleep(time.Minute)
		if n, _ := records(t, disk); n != after {
			t.Errorf("compacted again: %d records, then %d", after, n)
		}
		d, err := other.Insert(t.Context(), todo("new", "x"))
		if err != nil || d.Version.Counter != 2002 {
			t.Errorf("next write is %v, %v", d.Version, err)
		}
	})
}

// Compaction may stop at any step, and another tab may write in between.
func TestCrashWhileCompacting(t *testing.T) {
	for crashAt := range 40 {
		synctest.Test(t, func(t *testing.T) {
			disk := memlog.New(nil)
			c := open(t, disk, nil)
			for i := range 400 {
				if _, err := c.Upsert(t.Context(), todo(fmt.Sprint(i%37), strings.Repeat("x", 1000))); err != nil {
					t.Fatal(err)
				}
			}
			want := content(c)
			c.Close()
			steps := 0
			crashing, err := tryOpen(t, disk, func(memlog.Step) error {
				if steps++; steps > crashAt {
					return memlog.ErrCrashed
				}
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			crashing.Close()
			mustContent(t, open(t, disk, nil), want)
		})
	}
}

// A bit that turned costs what was in that record, is reported, and comes back from others. Whatever it was, the replica can go on.
func TestDamage(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := memlog.New(nil)
		c := open(t, disk, nil)
		self := replicaOf(c)
		for i := range 30 {
			if _, err := c.Insert(t.Context(), todo(fmt.Sprint(i), "x")); err != nil {
				t.Fatal(err)
			}
		}
		whole := map[string]document.Entry{}
		c.View(func(v View) {
			for p := range v.Since(1) {
				whole[p.ID] = *p.Entry
			}
		})
		want := content(c)
		c.Close()
		at := store.Position(2 + rng.IntN(30))
		if !disk.Flip("todos", at, rng.IntN(400)) {
			t.Fatal("nothing to damage")
		}
		var reports []*DamageError
		o := &Options{OnDamage: func(e *DamageError) { reports = append(reports, e) }}
		c = open(t, disk, o)
		if len(reports) != 1 || len(reports[0].Positions) != 1 || reports[0].Positions[0] != at || !errors.Is(reports[0], block.ErrMalformed) {
			t.Fatalf("seed %d: reports %v", seed, reports)
		}
		if c.Count() != 29 || replicaOf(c) == self {
			t.Fatalf("seed %d: %d documents, replica %v", seed, c.Count(), replicaOf(c))
		}
		var lost []document.Entry
		p := newPeer(7)
		c.View(func(v View) {
			for id, e := range whole {
				if held, _ := v.Get(id); held == nil {
					lost = append(lost, e)
				}
				if held, _ := v.Get(id); (held != nil) != v.Known().Covers(e.Dot) {
					t.Fatalf("seed %d: knows %v: %v, holds it: %v", seed, e.Dot, v.Known().Covers(e.Dot), held != nil)
				}
			}
		})
		if _, err := c.Accept(t.Context(), p.frame(lost...)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Insert(t.Context(), todo("new", "x")); err != nil {
			t.Fatal(err)
		}
		healed := maps.Clone(want)
		healed["new"] = string(todo("new", "x"))
		mustContent(t, c, healed)
		c.Close()
		c = open(t, disk, o)
		mustContent(t, c, healed)
		if len(reports) != 1 {
			t.Fatalf("seed %d: reported again: %v", seed, reports[1:])
		}
	}
}

func TestLaterVersionIsNotTouched(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	if _, err := c.Insert(t.Context(), todo("1", "x")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	log, err := disk.Open(nil).Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	data := encodeState(state{shared: shared{set: true}})
	data[len(stateMagic)-1]++
	if _, err := log.Commit(t.Context(), 1, func([]store.Record) ([]store.Append, error) {
		return []store.Append{{Span: 1, Data: data}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, disk, nil, nil); !errors.Is(err, errLater) {
		t.Fatal(err)
	}
}
