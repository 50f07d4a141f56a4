package collection

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func replicaOf(c *Collection) (id document.ReplicaID) {
	c.View(func(v View) { id = v.Replica() })
	return id
}

// A copy, or a log that was put back, writes under the id and counters of the original. Whoever knows the original's writes, first or
// second hand, shows it.
func TestCopyIsNoticed(t *testing.T) {
	for name, c := range map[string]struct{ original, copied int }{
		"copy wrote less": {3, 1}, "as much": {2, 2}, "more": {1, 4}, "nothing": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			disk := memlog.New(nil)
			a := open(t, disk, nil)
			write := func(c *Collection, text string) {
				t.Helper()
				if _, err := c.Upsert(t.Context(), todo("1", text)); err != nil {
					t.Fatal(err)
				}
			}
			write(a, "common")
			b := open(t, disk.Copy(), nil)
			for range c.original {
				write(a, "original")
			}
			for range c.copied {
				write(b, "copy")
			}
			var known *document.Knowledge
			a.View(func(v View) { known = v.Known() })
			if err := a.Recognise(t.Context(), known); err != nil {
				t.Fatalf("the original takes itself for a copy: %v", err)
			}
			if err := b.Recognise(t.Context(), known); !errors.Is(err, ErrIdentity) {
				t.Fatalf("the copy: %v", err)
			}
			if replicaOf(a) == replicaOf(b) {
				t.Fatal("still the same id")
			}
		})
	}
}

func TestKnowledgeOfOwnWritesIsNoCopy(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	for i := range 20 {
		if _, err := c.Upsert(t.Context(), todo(fmt.Sprint(i%3), "x")); err != nil {
			t.Fatal(err)
		}
		var known *document.Knowledge
		c.View(func(v View) { known = v.Known() })
		for _, c := range []*Collection{c, open(t, disk, nil)} {
			if err := c.Recognise(t.Context(), known); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A renewed replica gives its writes new names, and keeps what they say and when they were made.
func TestRenewedReplicaKeepsItsWrites(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	old := replicaOf(c)
	for _, id := range []string{"1", "2", "3"} {
		if _, err := c.Insert(t.Context(), todo(id, "x")); err != nil {
			t.Fatal(err)
		}
	}
	p := newPeer(9)
	p.known.AddUpTo(old, 7) // another replica has made those
	before := *entryOf(c, "2")
	if err := c.Recognise(t.Context(), p.known); !errors.Is(err, ErrIdentity) {
		t.Fatal(err)
	}
	check := func(c *Collection) {
		t.Helper()
		self := replicaOf(c)
		after := entryOf(c, "2")
		if self == old || after.Dot.Replica != self || after.Time != before.Time+1 || string(after.Body) != string(before.Body) {
			t.Fatalf("%+v became %+v", before, after)
		}
		c.View(func(v View) {
			if !v.Known().IsForked(old) || v.Known().UpTo(self) != 3 {
				t.Fatalf("knows %v", v.Known())
			}
		})
	}
	check(c)
	check(open(t, disk, nil))
	if err := c.Recognise(t.Context(), p.known); err != nil {
		t.Fatalf("again: %v", err)
	}
	// What the other replica wrote under the old id can be taken now.
	theirs := document.Entry{ID: "2", Dot: document.Dot{Replica: old, Counter: 2}, Time: before.Time + 2, Body: todo("2", "theirs")}
	if got, err := c.Accept(t.Context(), p.frame(theirs)); err != nil || got.Taken != 1 || len(got.Clashes) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestFreshID(t *testing.T) {
	disk := memlog.New(nil)
	o := &Options{FreshID: true}
	c := open(t, disk, o)
	first := replicaOf(c)
	if _, err := c.Insert(t.Context(), todo("1", "x")); err != nil {
		t.Fatal(err)
	}
	if replicaOf(c) != first {
		t.Fatal("a new log needs no new id")
	}
	c.Close()
	c = open(t, disk, o)
	p := newPeer(7)
	if _, err := c.Accept(t.Context(), p.frame(p.write("2", "x", nil, 5))); err != nil {
		t.Fatal(err)
	}
	if replicaOf(c) != first {
		t.Fatal("new id, though nothing was written")
	}
	for _, id := range []string{"3", "4"} {
		if _, err := c.Insert(t.Context(), todo(id, "x")); err != nil {
			t.Fatal(err)
		}
	}
	second := replicaOf(c)
	c.View(func(v View) {
		if second == first || v.Known().UpTo(first) != 1 || v.Known().UpTo(second) != 2 || entryOfView(v, "1").Dot.Replica != first {
			t.Fatalf("replica %v, before %v, knows %v", second, first, v.Known())
		}
	})
}

// TestCopyOfANewReplica: an id that was never used is not to be used twice either.
func TestCopyOfANewReplica(t *testing.T) {
	disk := memlog.New(nil)
	o := &Options{FreshID: true}
	c := open(t, disk, o)
	copied := open(t, disk.Copy(), o)
	for _, c := range []*Collection{c, copied} {
		if _, err := c.Insert(t.Context(), todo("1", "x")); err != nil {
			t.Fatal(err)
		}
	}
	if one, other := entryOf(c, "1").Dot, entryOf(copied, "1").Dot; one == other {
		t.Errorf("two writes are both called %v", one)
	}
}

// TestForkedIDIsGivenUp: nobody covers what is written under it.
func TestForkedIDIsGivenUp(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	if _, err := c.Insert(t.Context(), todo("1", "x")); err != nil {
		t.Fatal(err)
	}
	old := replicaOf(c)
	known := &document.Knowledge{}
	known.Fork(old)
	if err := c.Recognise(t.Context(), known); !errors.Is(err, ErrIdentity) {
		t.Fatal(err)
	}
	if replicaOf(c) == old || entryOf(c, "1").Dot.Replica == old {
		t.Errorf("%v is %v still, and wrote %v", old, replicaOf(c), entryOf(c, "1").Dot)
	}
	if err := c.Recognise(t.Context(), known); err != nil {
		t.Errorf("again: %v", err)
	}
}

func entryOfView(v View, id string) *document.Entry {
	e, _ := v.Get(id)
	return e
}

func TestDisown(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	id := replicaOf(c)
	for range 2 {
		if err := c.Disown(t.Context(), id); !errors.Is(err, ErrIdentity) {
			t.Fatal(err)
		}
	}
	if replicaOf(c) == id {
		t.Fatal("kept the id")
	}
}
