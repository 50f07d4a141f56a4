package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
)

func replica(b byte) (r document.ReplicaID) {
	for i := range r {
		r[i] = b
	}
	return r
}

func replica32(b byte) (p [32]byte) {
	for i := range p {
		p[i] = b
	}
	return p
}

// goldenFrames has a frame of each kind with all fields set, and of those with options one without.
func goldenFrames() map[string]Frame {
	known := &document.Knowledge{}
	known.AddUpTo(replica(0xaa), 300)
	known.Add(document.Dot{Replica: replica(0xbb), Counter: 7}, 1<<56+9)
	return map[string]Frame{
		"share":   &Share{Point: replica32(0x33)},
		"confirm": &Confirm{Tag: [64]byte{1, 2, 3, 63: 0xff}},
		"hello":   &Hello{MinVersion: 1, MaxVersion: 3, Nonce: [16]byte(replica(0x11))},
		"open": &Open{
			Channel: 1, Proof: OpenProof("my-users-pool", "todos", [16]byte(replica(0x11)), [16]byte(replica(0x22))),
			Collection: "todos", Replica: replica(0xaa), SchemaVersion: 2, SchemaHash: [32]byte{1, 2, 3},
			Pulls: true, Known: known,
		},
		"pull": &Pull{Channel: 1, Known: known, MaxBatch: 500},
		"changes": &Changes{
			Channel: 300, Claim: ClaimAll, End: true, Seen: known, First: 40, Remaining: 5,
			Beaten: []Beaten{{document.Dot{Replica: replica(0xcc), Counter: 9}, 1<<56 + 1}},
			Entries: []block.Placed{
				{Entry: document.Entry{ID: "t1", Dot: document.Dot{Replica: replica(0xaa), Counter: 300}, Time: 1 << 56, Body: []byte(`{"id":"t1"}`)}},
				{Entry: document.Entry{ID: "t2", Dot: document.Dot{Replica: replica(0xbb), Counter: 7}, Base: document.Dot{Replica: replica(0xaa), Counter: 2}, Time: 1<<56 + 9, Deleted: true}, Offset: 2},
			},
		},
		"changes-knowledge": &Changes{Channel: 1, Claim: ClaimOwn, Seen: known, Beaten: []Beaten{}},
		"close":             &Close{Channel: 1, Fault: FaultSchema, Text: "schema of \"todos\" differs"},
		"close-connection":  &Close{},
	}
}

func TestGoldenFrames(t *testing.T) {
	for name, f := range goldenFrames() {
		file := "testdata/frames/" + name + ".hex"
		if *Update {
			if err := os.WriteFile(file, []byte(hex.Dump(f.AppendTo(nil))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(f.AppendTo(nil)); got != string(want) {
			t.Errorf("%s encodes as\n%s want\n%s", name, got, want)
		}
		got, err := Decode(f.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(clean(got), clean(f)) {
			t.Errorf("%s decodes to %+v, %v", name, got, err)
		}
	}
}

// clean gives what is empty one form, for DeepEqual.
func clean(f Frame) Frame {
	if c, ok := f.(*Changes); ok {
		for i := range c.Entries {
			if len(c.Entries[i].Body) == 0 {
				c.Entries[i].Body = nil
			}
		}
	}
	return f
}

func TestDamagedFrames(t *testing.T) {
	for name, f := range goldenFrames() {
		whole := f.AppendTo(nil)
		for i := range whole {
			if got, err := Decode(whole[:i]); err == nil && !bytes.Equal(got.AppendTo(nil), whole[:i]) {
				t.Errorf("%s cut at %d is read as %+v", name, i, got)
			}
			for bit := range 8 {
				b := bytes.Clone(whole)
				b[i] ^= 1 << bit
				if got, err := Decode(b); err != nil && (!errors.Is(err, ErrFrame) || got != nil) {
					t.Errorf("%s with bit %d of byte %d turned: %v, %v", name, bit, i, got, err)
				}
			}
		}
		if _, err := Decode(append(whole, 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s with a byte more: %v", name, err)
		}
	}
	for _, in := range []string{"", "\x00", "\x06", "\x01\x02\x01" + strings.Repeat("x", 16), "\x03\x00\x00\x00"} {
		if _, err := Decode([]byte(in)); !errors.Is(err, ErrFrame) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := Decode(make([]byte, MaxFrame+1)); !errors.Is(err, ErrFrame) {
		t.Errorf("too long: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, frame := range goldenFrames() {
		f.Add(frame.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := Decode(in)
		if err != nil {
			if frame != nil || !errors.Is(err, ErrFrame) {
				t.Fatalf("%v, %v", frame, err)
			}
			return
		}
		if _, err := Decode(frame.AppendTo(nil)); err != nil {
			t.Fatalf("%+v is encoded as something else: %v", frame, err)
		}
	})
}

func TestCloseTellsTheOtherSideNoMoreThanItNeeds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Close
	}{
		{nil, Close{Channel: 3}},
		{Faultf(FaultClock, "an hour ahead"), Close{3, FaultClock, "an hour ahead"}},
		{errors.Join(ErrFrame), Close{3, FaultFrame, ErrFrame.Error()}},
		{errors.New("disk /home/someone is full"), Close{3, FaultStorage, "internal error"}},
	} {
		got := CloseFor(3, c.err)
		if *got != c.want {
			t.Errorf("%v is told as %+v", c.err, got)
		}
		if err := got.Err(); (err == nil) != (c.err == nil) || err != nil && !errors.Is(err, &FaultError{Fault: c.want.Fault}) {
			t.Errorf("%+v is heard as %v", got, err)
		}
	}
	long := CloseFor(1, Faultf(FaultLimit, "%s", strings.Repeat("ä", MaxFaultText)))
	if _, err := Decode(long.AppendTo(nil)); err != nil {
		t.Errorf("long text: %v", err)
	}
}

func TestOpenProof(t *testing.T) {
	a, b := [16]byte{1}, [16]byte{2}
	p := OpenProof("topic", "todos", a, b)
	for i, q := range [][32]byte{OpenProof("Topic", "todos", a, b), OpenProof("topic", "todo", a, b), OpenProof("topic", "todos", b, a)} {
		if p == q {
			t.Errorf("%d: proof does not depend on all that it is to prove", i)
		}
	}
}
