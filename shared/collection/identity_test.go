package collection

import (
	"errors"
	"testing"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func replicaOf(c *Collection) (id document.ReplicaID) {
	c.View(func(v View) { id = v.Replica() })
	return id
}

// meet lets two collections exchange marks as a session does, and confirm them.
func meet(t *testing.T, a, b *Collection) (errA, errB error) {
	t.Helper()
	idA, idB := replicaOf(a), replicaOf(b)
	shownA, givenA, err := a.Meet(t.Context(), idA, idB)
	if err != nil {
		t.Fatal(err)
	}
	shownB, givenB, err := b.Meet(t.Context(), idB, idA)
	if err != nil {
		t.Fatal(err)
	}
	errA, errB = a.Met(t.Context(), idA, idB, shownB, givenB), b.Met(t.Context(), idB, idA, shownA, givenA)
	if errA == nil && errB == nil {
		if err := errors.Join(a.Confirm(t.Context(), idA, idB), b.Confirm(t.Context(), idB, idA)); err != nil {
			t.Fatal(err)
		}
	}
	return errA, errB
}

func TestMarksTellACopyFromTheOriginal(t *testing.T) {
	diskA := memlog.New(nil)
	a, b := open(t, diskA, nil), open(t, memlog.New(nil), nil)
	for range 3 {
		if errA, errB := meet(t, a, b); errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
	}
	copied := open(t, diskA.Copy(), nil)
	id := replicaOf(a)
	if errA, errB := meet(t, a, b); errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	// The copy knows nothing of the last session. It is the one that changes its id, not the peer.
	errC, errB := meet(t, copied, b)
	if !errors.Is(errC, ErrIdentity) || errB != nil {
		t.Fatalf("copy: %v, peer: %v", errC, errB)
	}
	if replicaOf(copied) == id || replicaOf(a) != id {
		t.Fatal("the wrong one has a new id")
	}
	for range 2 {
		if errC, errB := meet(t, copied, b); errC != nil || errB != nil {
			t.Fatal(errC, errB)
		}
		if errA, errB := meet(t, a, b); errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
	}
}

// A crash in the midst of the exchange is no copy.
func TestMarksSurviveCrashes(t *testing.T) {
	a, b := open(t, memlog.New(nil), nil), open(t, memlog.New(nil), nil)
	idA, idB := replicaOf(a), replicaOf(b)
	for i := range 20 {
		shownA, givenA, err := a.Meet(t.Context(), idA, idB)
		if err != nil {
			t.Fatal(err)
		}
		shownB, givenB, err := b.Meet(t.Context(), idB, idA)
		if err != nil {
			t.Fatal(err)
		}
		if i&1 != 0 {
			if err := a.Met(t.Context(), idA, idB, shownB, givenB); err != nil {
				t.Fatal(i, err)
			}
		}
		if i&2 != 0 {
			if err := b.Met(t.Context(), idB, idA, shownA, givenA); err != nil {
				t.Fatal(i, err)
			}
		}
		if i&5 == 5 { // a has stored it, and b hears from a
			if err := b.Confirm(t.Context(), idB, idA); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Writes that may have been named twice get new names; those that others knew keep theirs. Their times stay.
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
	p.known.AddUpTo(old, 1)
	c.Hear(p.id, p.known.Clone())
	before := *entryOf(c, "2")
	p.known.AddUpTo(old, 7) // another replica has made those
	if err := c.Recognise(t.Context(), p.known); !errors.Is(err, ErrIdentity) {
		t.Fatal(err)
	}
	check := func(c *Collection) {
		t.Helper()
		self := replicaOf(c)
		after := entryOf(c, "2")
		if self == old || after.Dot.Replica != self || after.Time != before.Time || string(after.Body) != string(before.Body) {
			t.Fatalf("%+v became %+v", before, after)
		}
		if e := entryOf(c, "1"); e.Dot != (document.Dot{Replica: old, Counter: 1}) {
			t.Fatalf("confirmed write is %v", e.Dot)
		}
		c.View(func(v View) {
			if v.Known().Last(old) != 1 || v.Known().UpTo(self) != 2 {
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
	theirs := document.Entry{ID: "2", Dot: document.Dot{Replica: old, Counter: 2}, Time: before.Time + 1, Body: todo("2", "theirs")}
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
	if _, _, err := c.Meet(t.Context(), id, document.ReplicaID{1}); !errors.Is(err, ErrIdentity) {
		t.Fatalf("meet under the old id: %v", err)
	}
	if err := c.Met(t.Context(), id, document.ReplicaID{1}, protocol.Mark{}, protocol.Mark{}); !errors.Is(err, ErrIdentity) {
		t.Fatalf("met under the old id: %v", err)
	}
}
