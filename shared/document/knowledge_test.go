package document

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// dots is what a Knowledge stands for, in full: the oracle.
type dots map[Dot]bool

// timeOf is when a write was made.
func timeOf(d Dot) Time { return Time(d.Replica[0])*1000 + Time(d.Counter)*10 }

func (s dots) missing(o dots) (n uint64) {
	for d := range o {
		if !s[d] {
			n++
		}
	}
	return n
}

func (s dots) knowledge() *Knowledge {
	k := &Knowledge{}
	for d := range s {
		k.Add(d, timeOf(d))
	}
	return k
}

func randomDots(rng *rand.Rand) dots {
	s := dots{}
	for range rng.IntN(40) {
		s[Dot{ReplicaID{byte(rng.IntN(3))}, 1 + uint64(rng.IntN(16))}] = true
	}
	return s
}

func check(t *testing.T, k *Knowledge, want dots) {
	t.Helper()
	spans := 0
	for r := range byte(4) {
		for n := range uint64(20) {
			d := Dot{ReplicaID{r}, n}
			if k.Covers(d) != want[d] {
				t.Fatalf("%v covers %v: %v, want %v", k, d, k.Covers(d), want[d])
			}
		}
		if n := k.Last(ReplicaID{r}); n > 0 && k.LastTime(ReplicaID{r}) != timeOf(Dot{ReplicaID{r}, n}) {
			t.Fatalf("%v has %d as the time of the last write of %d", k, k.LastTime(ReplicaID{r}), r)
		}
		c := k.of[ReplicaID{r}]
		spans += len(c.beyond)
		end := c.upTo
		for _, s := range c.beyond {
			if s.first < end+2 || s.last < s.first {
				t.Fatalf("%v: spans are not apart", k)
			}
			end = s.last
		}
	}
	if spans != k.spans {
		t.Fatalf("%v counts %d spans, has %d", k, k.spans, spans)
	}
}

func TestKnowledgeIsTheSetOfItsDots(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := randomDots(rng), randomDots(rng)
		ka, kb := a.knowledge(), b.knowledge()
		check(t, ka, a)
		check(t, kb, b)
		if got, want := ka.Missing(kb), a.missing(b); got != want {
			t.Fatalf("seed %d: %v misses %d of %v, want %d", seed, ka, got, kb, want)
		}
		if got, want := ka.CoversAll(kb), a.missing(b) == 0; got != want {
			t.Fatalf("seed %d: %v covers all of %v: %v", seed, ka, kb, got)
		}
		both := maps.Clone(a)
		maps.Copy(both, b)
		m := ka.Clone()
		m.Merge(kb)
		check(t, m, both)
		check(t, ka, a) // the clone is one
		d := kb.Since(ka)
		n := ka.Clone()
		n.Merge(d)
		check(t, n, both)
		if b.missing(a) == 0 && len(a) == len(b) && !d.IsEmpty() {
			t.Fatalf("seed %d: nothing new, but %v", seed, d)
		}
		roundTrip(t, m, both)
		r := ReplicaID{byte(rng.IntN(3))}
		m.Fork(r)
		maps.DeleteFunc(both, func(d Dot, _ bool) bool { return d.Replica == r })
		check(t, m, both)
		roundTrip(t, m, both)
	}
}

func roundTrip(t *testing.T, k *Knowledge, want dots) {
	t.Helper()
	b := k.AppendTo(nil)
	got, rest, err := DecodeKnowledge(append(b, "rest"...))
	if err != nil || string(rest) != "rest" {
		t.Fatalf("decode %v: %v, rest %q", k, err, rest)
	}
	check(t, got, want)
	if again := got.AppendTo(nil); !bytes.Equal(again, b) {
		t.Fatalf("%x encodes as %x", b, again)
	}
}

func TestKnowledgeAddUpTo(t *testing.T) {
	k := &Knowledge{}
	r := ReplicaID{1}
	k.Add(Dot{r, 3}, 30)
	k.Add(Dot{r, 6}, 60)
	k.AddUpTo(r, 4)
	for n := range uint64(8) {
		if want := n > 0 && n < 5 || n == 6; k.Covers(Dot{r, n}) != want {
			t.Fatalf("%v covers %d: %v", k, n, !want)
		}
	}
	if k.Last(r) != 6 || k.LastTime(r) != 60 || k.Last(ReplicaID{2}) != 0 {
		t.Fatalf("last of %v: %d at %d", k, k.Last(r), k.LastTime(r))
	}
	k.AddUpTo(r, 5)
	if k.String() != "{010000:6}" || k.LastTime(r) != 60 {
		t.Fatal(k, k.LastTime(r))
	}
	if k.AddUpTo(r, 9); k.LastTime(r) != 0 {
		t.Fatal("time of a write that is not known")
	}
}

// Adding in ascending order with gaps, as a first sync does, must neither change what was published nor grow without bound.
func TestKnowledgeForgetsTheLatestSpans(t *testing.T) {
	k := &Knowledge{}
	r := ReplicaID{1}
	for i := range uint64(MaxSpans + 10) {
		var before *Knowledge
		var text string
		if i%500 == 0 {
			before = k.Clone()
			text = before.String()
		}
		k.Add(Dot{r, 2 * (i + 1)}, 0)
		if before != nil && before.String() != text {
			t.Fatal("adding changed a clone")
		}
	}
	if k.spans != MaxSpans || len(k.of[r].beyond) != MaxSpans {
		t.Fatalf("%d spans", k.spans)
	}
	if !k.Covers(Dot{r, 2 * MaxSpans}) || k.Covers(Dot{r, 2*MaxSpans + 2}) {
		t.Fatal("forgot others than the latest")
	}
	k.AddUpTo(r, 2*MaxSpans)
	if k.spans != 0 {
		t.Fatalf("%d spans are left in %v", k.spans, k)
	}
}

// Two that know another write by the same name notice, and so does everybody who hears of it.
func TestKnowledgeOfAForkedReplica(t *testing.T) {
	r, d := ReplicaID{1}, Dot{ReplicaID{1}, 3}
	one, other, third := &Knowledge{}, &Knowledge{}, &Knowledge{}
	for n := range uint64(3) {
		one.Add(Dot{r, n + 1}, Time(n+1))
		third.Add(Dot{r, n + 1}, Time(n+1))
	}
	other.AddUpTo(r, 2)
	other.Add(d, 9)
	if one.CoversAll(other) || other.CoversAll(one) {
		t.Fatal("nothing is news to the other")
	}
	news := other.Since(one)
	one.Merge(news)
	if !one.IsForked(r) || one.Covers(d) || one.Covers(Dot{r, 1}) || one.String() != "{010000:forked}" {
		t.Fatal(one)
	}
	if third.CoversAll(one) || one.Missing(third) != 0 || third.Missing(one) != 0 {
		t.Fatalf("third: %v, misses %d", third, third.Missing(one))
	}
	third.Merge(one.Since(third))
	if !third.IsForked(r) || !third.CoversAll(one) || !one.CoversAll(third) || !one.CoversAll(other) {
		t.Fatal(third)
	}
	one.Add(d, 3)
	if one.Covers(d) {
		t.Fatal("covers a write of a forked replica")
	}
	own := &Knowledge{}
	own.Add(d, 3)
	own.Add(d, 3)
	own.Add(d, 0)
	if own.IsForked(r) {
		t.Fatal("forked by the same write")
	}
	if own.Add(d, 4); !own.IsForked(r) {
		t.Fatal("not forked by another write")
	}
}

func TestForks(t *testing.T) {
	r, s := ReplicaID{1}, ReplicaID{2}
	one, other := &Knowledge{}, &Knowledge{}
	one.Add(Dot{r, 1}, 1)
	other.Add(Dot{r, 1}, 2)
	other.Add(Dot{s, 1}, 2)
	if got := one.ForkedBy(other); len(got) != 1 || got[0] != r || one.Forks() != 0 {
		t.Fatalf("forked by other: %v, %d forks", got, one.Forks())
	}
	other.Fork(s)
	if got := one.ForkedBy(other); len(got) != 2 {
		t.Fatalf("forked by other, which knows of a fork: %v", got)
	}
	with := one.WithForks(other)
	if with == one || one.IsForked(s) || !with.IsForked(s) || with.IsForked(r) || !with.Covers(Dot{r, 1}) || with.WithForks(other) != with {
		t.Fatalf("%v with forks of %v: %v", one, other, with)
	}
	one.Merge(other)
	one.Fork(r)
	decoded, _, err := DecodeKnowledge(one.AppendTo(nil))
	if err != nil || one.Forks() != 2 || one.Clone().Forks() != 2 || one.Since(other).Forks() != 1 || one.Only(r).Forks() != 1 || decoded.Forks() != 2 {
		t.Fatalf("%v has %d forks, decoded %d, %v", one, one.Forks(), decoded.Forks(), err)
	}
	if len(one.ForkedBy(other)) != 0 {
		t.Fatal("what is forked is news")
	}
}

func TestDecodeKnowledgeRefuses(t *testing.T) {
	id := func(b byte) string { return string(bytes.Repeat([]byte{b}, 16)) }
	noTime := string(make([]byte, 8))
	for name, in := range map[string]string{
		"cut in time":           "\x01" + id(1) + "\x01" + noTime[:7],
		"empty":                 "",
		"count beyond bytes":    "\x05",
		"count beyond limit":    "\x80\x80\x40",
		"cut in id":             "\x01" + id(1)[:8] + "                  ",
		"cut in spans":          "\x01" + id(1) + "\x01" + noTime + "\x02\x02\x00",
		"span touches":          "\x01" + id(1) + "\x01" + noTime + "\x01\x01\x00",
		"span runs over":        "\x01" + id(1) + "\x01" + noTime + "\x01\x02\xff\xff\xff\xff\xff\xff\xff\x0f",
		"counter too great":     "\x01" + id(1) + "\x80\x80\x80\x80\x80\x80\x80\x10" + noTime + "\x00",
		"long number":           "\x01" + id(1) + "\x81\x00" + noTime + "\x00",
		"forked, with writes":   "\x01" + id(1) + "\x01" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\x00",
		"no writes":             "\x01" + id(1) + "\x00" + noTime + "\x00",
		"replica twice":         "\x02" + id(1) + "\x01" + noTime + "\x00" + id(1) + "\x01" + noTime + "\x00",
		"replicas out of order": "\x02" + id(2) + "\x01" + noTime + "\x00" + id(1) + "\x01" + noTime + "\x00",
	} {
		if k, _, err := DecodeKnowledge([]byte(in)); !errors.Is(err, ErrKnowledge) {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
}

func FuzzDecodeKnowledge(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		k := randomDots(rng).knowledge()
		k.Fork(ReplicaID{byte(rng.IntN(5))})
		f.Add(k.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		k, rest, err := DecodeKnowledge(in)
		if err != nil {
			return
		}
		if out := k.AppendTo(nil); !bytes.Equal(out, in[:len(in)-len(rest)]) {
			t.Fatalf("%x decodes to %v and encodes as %x", in, k, out)
		}
	})
}

func BenchmarkKnowledgeAdd(b *testing.B) {
	for _, replicas := range []int{1, 16} {
		b.Run(fmt.Sprint(replicas), func(b *testing.B) {
			k := &Knowledge{}
			for i := range b.N {
				k.Add(Dot{ReplicaID{byte(i % replicas)}, uint64(i/replicas + 1)}, 1)
			}
		})
	}
}
