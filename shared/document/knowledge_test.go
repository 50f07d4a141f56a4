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
		k.Add(d)
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
		r, last := ReplicaID{byte(rng.IntN(3))}, uint64(rng.IntN(18))
		m.Cut(r, last)
		maps.DeleteFunc(both, func(d Dot, _ bool) bool { return d.Replica == r && d.Counter > last })
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
	k.Add(Dot{r, 3})
	k.Add(Dot{r, 6})
	k.AddUpTo(r, 4)
	check(t, k, dots{{r, 1}: true, {r, 2}: true, {r, 3}: true, {r, 4}: true, {r, 6}: true})
	if k.Last(r) != 6 || k.Last(ReplicaID{2}) != 0 {
		t.Fatalf("last of %v: %d", k, k.Last(r))
	}
	k.AddUpTo(r, 5)
	if k.String() != "{010000:6}" {
		t.Fatal(k)
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
		k.Add(Dot{r, 2 * (i + 1)})
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

func TestDecodeKnowledgeRefuses(t *testing.T) {
	id := func(b byte) string { return string(bytes.Repeat([]byte{b}, 16)) }
	for name, in := range map[string]string{
		"empty":                 "",
		"count beyond bytes":    "\x05",
		"count beyond limit":    "\x80\x80\x40",
		"cut in id":             "\x01" + id(1)[:8] + "\x01\x00        ",
		"cut in spans":          "\x01" + id(1) + "\x01\x02\x02\x00",
		"span touches":          "\x01" + id(1) + "\x01\x01\x01\x00",
		"span runs over":        "\x01" + id(1) + "\x01\x01\x02\xff\xff\xff\xff\xff\xff\xff\x0f",
		"counter too great":     "\x01" + id(1) + "\x80\x80\x80\x80\x80\x80\x80\x10\x00",
		"long number":           "\x01" + id(1) + "\x81\x00\x00",
		"no writes":             "\x01" + id(1) + "\x00\x00",
		"replica twice":         "\x02" + id(1) + "\x01\x00" + id(1) + "\x01\x00",
		"replicas out of order": "\x02" + id(2) + "\x01\x00" + id(1) + "\x01\x00",
	} {
		if k, _, err := DecodeKnowledge([]byte(in)); !errors.Is(err, ErrKnowledge) {
			t.Errorf("%s: got %v, %v", name, k, err)
		}
	}
}

func FuzzDecodeKnowledge(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		f.Add(randomDots(rng).knowledge().AppendTo(nil))
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
				k.Add(Dot{ReplicaID{byte(i % replicas)}, uint64(i/replicas + 1)})
			}
		})
	}
}
