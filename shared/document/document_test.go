package document

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	a, b := ReplicaID{1}, ReplicaID{2}
	none := &Knowledge{}
	covers := func(ds ...Dot) *Knowledge {
		k := &Knowledge{}
		for _, d := range ds {
			k.Add(d, 0)
		}
		return k
	}
	held := &Entry{Dot: Dot{a, 5}, Base: Dot{b, 2}, Time: 50}
	for _, c := range []struct {
		name        string
		local       *Entry
		remote      Entry
		known, seen *Knowledge
		want        Decision
	}{
		{"first of the document", nil, Entry{Dot: Dot{b, 1}}, none, none, Take},
		{"the same", held, *held, none, none, Same},
		{"sender had seen it", held, Entry{Dot: Dot{b, 7}, Time: 60}, none, covers(held.Dot), Take},
		{"written over it", held, Entry{Dot: Dot{b, 7}, Base: held.Dot, Time: 60}, none, none, Take},
		{"newer, unseen", held, Entry{Dot: Dot{b, 7}, Time: 60}, none, none, Conflict},
		{"older, seen here", held, Entry{Dot: Dot{b, 3}, Time: 40}, covers(Dot{b, 3}), none, Drop},
		{"base of the held", held, Entry{Dot: Dot{b, 2}, Time: 40}, none, none, Drop},
		{"older, unseen", held, Entry{Dot: Dot{b, 3}, Time: 40}, none, none, Conflict},
		{"older, claims to have seen the held", held, Entry{Dot: Dot{b, 3}, Time: 40}, none, covers(held.Dot), Conflict},
		{"newer, though known here", held, Entry{Dot: Dot{b, 3}, Time: 60}, covers(Dot{b, 3}), none, Conflict},
		{"neither has a base", &Entry{Dot: Dot{a, 1}, Time: 1}, Entry{Dot: Dot{b, 1}, Time: 1}, none, none, Conflict},
	} {
		if got := Decide(c.local, &c.remote, c.known, c.seen); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEntryOrder(t *testing.T) {
	a := &Entry{Dot: Dot{ReplicaID{1}, 9}, Time: 5}
	b := &Entry{Dot: Dot{ReplicaID{2}, 1}, Time: 5}
	c := &Entry{Dot: Dot{ReplicaID{1}, 1}, Time: 6}
	d := &Entry{Dot: Dot{ReplicaID{1}, 10}, Time: 5}
	for _, p := range [][2]*Entry{{a, b}, {b, c}, {a, c}, {a, d}} {
		for _, q := range [][2]*Entry{p, {p[1], p[0]}} {
			if lo, hi := Order(q[0], q[1]); lo != p[0] || hi != p[1] {
				t.Errorf("order of %v and %v is %v, %v", q[0].Dot, q[1].Dot, lo.Dot, hi.Dot)
			}
		}
	}
}

func TestTime(t *testing.T) {
	wall := time.UnixMilli(1_700_000_000_123)
	first := Time(0).Next(wall, 0)
	if !first.Wall().Equal(wall) {
		t.Errorf("first write at %v, want %v", first.Wall(), wall)
	}
	if second := first.Next(wall, 0); second != first+2 {
		t.Errorf("second write in one millisecond at %d, want %d", second, first+2)
	}
	if back := first.Next(wall.Add(-time.Hour), 9); back != first+11 {
		t.Errorf("clock set back: %d, want %d", back, first+11)
	}
	if salted := Time(0).Next(wall, 7); salted != first+7 || !salted.Wall().Equal(wall) {
		t.Errorf("salted %d, want %d", salted, first+7)
	}
	if TimeOf(time.UnixMilli(-1)) != 0 {
		t.Error("time before 1970 is not 0")
	}
	limit := TimeOf(wall.Add(MaxSkew))
	if limit.TooFarAhead(wall) || !TimeOf(wall.Add(MaxSkew+time.Millisecond)).TooFarAhead(wall) || !Time(math.MaxUint64).TooFarAhead(wall) {
		t.Error("bound of clock skew is off")
	}
}

func TestReplicaID(t *testing.T) {
	r, err := NewReplicaID(strings.NewReader("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseReplicaID(r.String()); err != nil || got != r {
		t.Errorf("parse %v: %v, %v", r, got, err)
	}
	for _, s := range []string{"", "00", r.String()[1:], r.String() + "00", strings.Repeat("x", 32)} {
		if _, err := ParseReplicaID(s); err == nil {
			t.Errorf("parsed %q", s)
		}
	}
	if _, err := NewReplicaID(strings.NewReader("short")); err == nil {
		t.Error("made an id of 5 bytes")
	}
}
