package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/document"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { leakcheck.Main(m) }

// sample has every flag, several replicas, times that go down, an empty tombstone and one with content.
func sample() []Placed {
	a, b := document.ReplicaID{1}, document.ReplicaID{0xfe, 15: 2}
	return []Placed{
		{document.Entry{ID: "t1", Dot: document.Dot{Replica: a, Counter: 1}, Time: 1 << 56, Body: []byte(`{"id":"t1","title":"Milk"}`)}, 0},
		{document.Entry{ID: "t2", Dot: document.Dot{Replica: a, Counter: 300}, Base: document.Dot{Replica: b, Counter: 7}, Time: 1<<56 - 5, Deleted: true}, 1},
		{document.Entry{ID: "ä\U0001f41f", Dot: document.Dot{Replica: b, Counter: 8}, Time: 1<<56 + 70000, Merges: 3, Body: []byte(`{}`)}, 9},
		{document.Entry{ID: "", Dot: document.Dot{Replica: b, Counter: document.MaxCounter}, Time: 0, Merges: 255, Deleted: true, Body: []byte(`{"id":""}`)}, 1000},
	}
}

func TestGolden(t *testing.T) {
	const file = "testdata/sample.block"
	if *update {
		if err := os.WriteFile(file, Encode(sample()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := Encode(sample()); !bytes.Equal(got, want) {
		t.Errorf("encodes as\n%x, want\n%x", got, want)
	}
	got, err := Decode(want)
	if err != nil || !equal(got, sample()) {
		t.Errorf("decodes to\n%v, %v", got, err)
	}
}

func equal(a, b []Placed) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if !bytes.Equal(x.Body, y.Body) {
			return false
		}
		x.Body, y.Body = nil, nil
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

func random(rng *rand.Rand, n int) []Placed {
	entries := make([]Placed, n)
	next := uint32(0)
	for i := range entries {
		dot := func() document.Dot {
			return document.Dot{Replica: document.ReplicaID{byte(rng.IntN(4))}, Counter: 1 + rng.Uint64N(1<<rng.IntN(50))}
		}
		e := &entries[i]
		e.ID = fmt.Sprint(rng.IntN(1000))
		e.Dot = dot()
		if rng.IntN(2) == 0 {
			e.Base = dot()
		}
		e.Time = document.Time(rng.Uint64())
		e.Merges = uint8(rng.IntN(3))
		e.Deleted = rng.IntN(4) == 0
		if !e.Deleted {
			e.Body = bytes.Repeat([]byte("x"), 1+rng.IntN(200))
		}
		if rng.IntN(3) == 0 {
			next += uint32(rng.IntN(100))
		}
		e.Offset = next
		next++
	}
	return entries
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		want := random(rng, rng.IntN(30))
		b := Encode(want)
		size := headerSize + 16
		for i := range want {
			size += Size(&want[i].Entry)
		}
		if len(b) > size {
			t.Fatalf("seed %d: %d bytes, said to be at most %d", seed, len(b), size)
		}
		got, err := Decode(b)
		if err != nil || !equal(got, want) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if n := len(want); n > 0 && Span(want) != want[n-1].Offset+1 || n == 0 && Span(want) != 1 {
			t.Fatalf("seed %d: span %d", seed, Span(want))
		}
	}
}

// Every change of one bit, and every cut, must be noticed: by the checksum, and without it by the decoder or not at all, but
// never by a panic.
func TestDamageIsNoticed(t *testing.T) {
	whole := Encode(sample())
	for i := range whole {
		if _, err := Decode(whole[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, err := Decode(b); !errors.Is(err, ErrMalformed) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
			if entries, err := Decode(seal(b)); err != nil && !errors.Is(err, ErrMalformed) || err != nil && entries != nil {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

// seal gives b the magic and checksum of a block.
func seal(b []byte) []byte {
	copy(b, Magic)
	binary.LittleEndian.PutUint32(b[len(Magic):], crc32.Checksum(b[headerSize:], castagnoli))
	return b
}

func TestDecodeRefuses(t *testing.T) {
	id := string(make([]byte, 16))
	for name, in := range map[string]string{
		"replicas beyond bytes":   "\x09",
		"entries beyond bytes":    "\x00\x09",
		"trailing bytes":          "\x00\x00x",
		"unknown flag":            "\x01" + id + "\x01\x10\x00\x00\x01\x00\x00\x00\x00",
		"replica not in table":    "\x01" + id + "\x01\x01\x00\x01\x01\x00\x00",
		"counter 0":               "\x01" + id + "\x01\x01\x00\x00\x00\x00\x00",
		"document without body":   "\x01" + id + "\x01\x00\x00\x00\x01\x00\x00",
		"skip of 0":               "\x01" + id + "\x01\x09\x00\x00\x00\x01\x00\x00",
		"skip too far":            "\x01" + id + "\x01\x09\xff\xff\xff\xff\x7f\x00\x00\x01\x00\x00",
		"merges of 0":             "\x01" + id + "\x01\x05\x00\x00\x01\x00\x00\x00",
		"key longer than bytes":   "\x01" + id + "\x01\x01\x50\x00\x01\x00\x00",
		"key not UTF-8":           "\x01" + id + "\x01\x01\x01\xff\x00\x01\x00\x00",
		"body longer than bytes":  "\x01" + id + "\x01\x01\x00\x00\x01\x00\x50x",
		"number longer than need": "\x01" + id + "\x01\x81\x00\x00\x00\x01\x00\x00",
	} {
		if got, err := Decode(seal(append(make([]byte, headerSize), in...))); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestEncodeRefusesWhatCannotBeRead(t *testing.T) {
	good := document.Entry{ID: "a", Dot: document.Dot{Counter: 1}, Body: []byte("{}")}
	for name, bad := range map[string][]Placed{
		"same offset":   {{good, 0}, {good, 0}},
		"long key":      {{document.Entry{ID: string(make([]byte, MaxID+1)), Dot: good.Dot, Body: good.Body}, 0}},
		"without a dot": {{document.Entry{ID: "a", Body: good.Body}, 0}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: packed", name)
				}
			}()
			Encode(bad)
		}()
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(sample())[headerSize:])
	f.Add(Encode(nil)[headerSize:])
	f.Add(Encode(random(rand.New(rand.NewPCG(1, 1)), 5))[headerSize:])
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, err := Decode(seal(append(make([]byte, headerSize), in...)))
		if err != nil {
			if entries != nil || !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v, %v", entries, err)
			}
			return
		}
		again, err := Decode(Encode(entries))
		if err != nil || !equal(again, entries) {
			t.Fatalf("%v is packed and unpacked as %v, %v", entries, again, err)
		}
	})
}

func benchEntries() []Placed {
	entries := make([]Placed, 300)
	for i := range entries {
		entries[i] = Placed{document.Entry{ID: fmt.Sprintf("document-%06d", i), Dot: document.Dot{Counter: uint64(i + 1)}, Time: 1<<56 + document.Time(i), Body: make([]byte, 200)}, uint32(i)}
	}
	return entries
}

func BenchmarkEncode(b *testing.B) {
	entries := benchEntries()
	b.ReportAllocs()
	for b.Loop() {
		Encode(entries)
	}
	b.ReportMetric(float64(b.N*len(entries))/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkDecode(b *testing.B) {
	data := Encode(benchEntries())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*300)/b.Elapsed().Seconds(), "entries/s")
}
