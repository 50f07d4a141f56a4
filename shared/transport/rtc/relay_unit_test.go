package rtc

import (
	"bytes"
	"crypto/ecdh"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// golden has the files, for browsers have no disk.
//
//go:embed testdata/relay/*.hex
var golden embed.FS

var update = flag.Bool("update", false, "rewrite the golden files, for the next run")

// relayPair makes the keys of both ends, of fixed private keys.
func relayPair(t *testing.T) (initiator, responder *relayKeys) {
	t.Helper()
	private := func(b byte) *ecdh.PrivateKey {
		k, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{b}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a, b := private(1), private(2)
	id := relayID(bytes.Repeat([]byte{0xab}, relayIDSize))
	initiator, err := newRelayKeys(id, a, b.PublicKey().Bytes(), true)
	if err != nil {
		t.Fatal(err)
	}
	if responder, err = newRelayKeys(id, b, a.PublicKey().Bytes(), false); err != nil {
		t.Fatal(err)
	}
	return initiator, responder
}

// relayFrames has a frame of each kind.
func relayFrames(t *testing.T) map[string][]byte {
	initiator, responder := relayPair(t)
	public := bytes.Repeat([]byte{0x33}, relayKeySize)
	ack := binary.BigEndian.AppendUint64(nil, 258)
	content := appendPiece(appendPiece(bytes.Clone(ack), byte(transport.Live), []byte{pieceWhole, 'a'}), byte(transport.Bulk), []byte{pieceWhole, 'b', 'c'})
	return map[string][]byte{
		"open":     plainRelayFrame(relayOpen, initiator.id, append([]byte{relayVersion}, public...)...),
		"accept":   plainRelayFrame(relayAccept, initiator.id, public...),
		"refuse":   plainRelayFrame(relayRefuse, initiator.id),
		"gone":     plainRelayFrame(relayGone, initiator.id),
		"data":     initiator.seal(relayData, 3, content),
		"ack":      responder.seal(relayAck, 3, ack),
		"close":    responder.seal(relayClose, 0, nil),
		"binding":  initiator.binding,
		"binding2": responder.binding,
	}
}

func TestRelayGolden(t *testing.T) {
	for name, got := range relayFrames(t) {
		file := "testdata/relay/" + name + ".hex"
		if name == "binding2" {
			file = "testdata/relay/binding.hex"
		}
		if *update {
			if err := os.WriteFile(file, []byte(hex.Dump(got)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := golden.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(got) != string(want) {
			t.Errorf("%s is\n%s want\n%s", name, hex.Dump(got), want)
		}
	}
}

// TestRelayForged: nothing but the very frame that the peer made can be opened, in the place for which it was made.
func TestRelayForged(t *testing.T) {
	initiator, responder := relayPair(t)
	whole := initiator.seal(relayData, 3, []byte("secret"))
	open := func(k *relayKeys, b []byte) ([]byte, error) {
		f, err := parseRelayFrame(bytes.Clone(b))
		if err != nil {
			return nil, err
		}
		return k.open(f)
	}
	if got, err := open(responder, whole); err != nil || string(got) != "secret" {
		t.Fatalf("opened %q, %v", got, err)
	}
	if _, err := open(initiator, whole); !errors.Is(err, errRelayForged) {
		t.Errorf("sent back: %v", err)
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if got, err := open(responder, b); err == nil {
				t.Fatalf("bit %d of byte %d turned: opened %q", bit, i, got)
			}
		}
		if got, err := open(responder, whole[:i]); err == nil {
			t.Fatalf("cut at %d: opened %q", i, got)
		}
	}
	if _, err := newRelayKeys(initiator.id, nil, make([]byte, 31), true); !errors.Is(err, errRelayFrame) {
		t.Errorf("short key: %v", err)
	}
	private, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newRelayKeys(initiator.id, private, make([]byte, 32), true); !errors.Is(err, errRelayFrame) {
		t.Errorf("key of small order: %v", err)
	}
}

func FuzzRelayFrame(f *testing.F) {
	for _, frame := range relayFrames(&testing.T{}) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := parseRelayFrame(in)
		if err != nil && !errors.Is(err, errRelayFrame) {
			t.Fatal(err)
		}
		if err == nil && len(frame.whole) != len(in) {
			t.Fatal("a part of the frame is lost")
		}
		for rest := in; len(rest) > 0; {
			var piece []byte
			if _, piece, rest, err = nextPiece(rest); err != nil {
				break
			}
			if len(piece) > len(in) {
				t.Fatal("a piece from nowhere")
			}
		}
	})
}

// tunnelEnd is one end of a simulated tunnel.
type tunnelEnd struct {
	*tunnel
	got [transport.Lanes][]string
}

func tunnelPair(t *testing.T) (a, b *tunnelEnd) {
	initiator, responder := relayPair(t)
	end := func(keys *relayKeys) *tunnelEnd {
		e := &tunnelEnd{}
		e.tunnel = newTunnel(keys, pcHandler{
			heard:   func(lane transport.Lane, piece []byte) { e.got[lane] = append(e.got[lane], string(piece)) },
			drained: func(transport.Lane) {},
		}, 0)
		return e
	}
	return end(initiator), end(responder)
}

// flight is a frame that arrives later.
type flight struct {
	at    time.Time
	to    *tunnelEnd
	frame []byte
}

// tunnelWorld passes frames between two tunnels in a time of its own, and does to them what its fate says.
type tunnelWorld struct {
	t     *testing.T
	now   time.Time
	a, b  *tunnelEnd
	queue []flight
	fate  func() (copies int, delay time.Duration)
	most  int // frames that were ever on their way to one end
}

// run goes on until nothing is to be done any more before that time.
func (w *tunnelWorld) run(until time.Time) {
	for {
		for from, to := range map[*tunnelEnd]*tunnelEnd{w.a: w.b, w.b: w.a} {
			for frame := from.next(w.now); frame != nil; frame = from.next(w.now) {
				copies, delay := w.fate()
				for range copies {
					w.queue = append(w.queue, flight{w.now.Add(delay), to, bytes.Clone(frame)})
				}
			}
			w.most = max(w.most, from.flying)
		}
		next := until
		for _, f := range w.queue {
			if f.at.Before(next) {
				next = f.at
			}
		}
		for _, e := range []*tunnelEnd{w.a, w.b} {
			if due := e.due(w.now); !due.IsZero() && due.Before(next) {
				next = due
			}
		}
		if !next.Before(until) {
			return
		}
		w.now = next
		w.arrive()
		w.a.tick(w.now)
		w.b.tick(w.now)
	}
}

func (w *tunnelWorld) arrive() {
	var later []flight
	for _, f := range w.queue {
		if f.at.After(w.now) {
			later = append(later, f)
			continue
		}
		frame, err := parseRelayFrame(f.frame)
		if err == nil {
			err = f.to.take(frame, w.now)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.queue = later
}

// TestTunnel: in each of many worlds that lose, repeat and reorder, all pieces arrive once and in order, and no more is on the way than the
// window allows.
func TestTunnel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		loss, repeat := rng.Float64()/3, rng.Float64()/4
		a, b := tunnelPair(t)
		w := &tunnelWorld{t: t, now: time.Unix(0, 0), a: a, b: b}
		w.fate = func() (int, time.Duration) {
			delay := time.Duration(1+rng.IntN(80)) * time.Millisecond
			switch {
			case rng.Float64() < loss:
				return 0, 0
			case rng.Float64() < repeat:
				return 2, delay
			}
			return 1, delay
		}
		var want [2][transport.Lanes][]string
		for i := range 200 {
			for side, e := range []*tunnelEnd{a, b} {
				lane := transport.Lane(rng.IntN(transport.Lanes))
				piece := fmt.Sprintf("%d %0*d", i, 1+rng.IntN(4000), 0)
				want[1-side][lane] = append(want[1-side][lane], piece)
				if err := e.send(lane, []byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			w.run(w.now.Add(time.Duration(rng.IntN(50)) * time.Millisecond))
			if rng.IntN(40) == 0 {
				a.refused(w.now)
			}
			if rng.IntN(40) == 0 {
				b.resume(w.now)
			}
		}
		w.run(w.now.Add(time.Hour))
		for side, e := range []*tunnelEnd{a, b} {
			for lane := range e.got {
				if fmt.Sprint(e.got[lane]) != fmt.Sprint(want[side][lane]) {
					t.Fatalf("seed %d: end %d has %d pieces of lane %d, want %d", seed, side, len(e.got[lane]), lane, len(want[side][lane]))
				}
			}
			if len(e.frames) > 0 || e.buffered(transport.Live)+e.buffered(transport.Bulk) > 0 {
				t.Errorf("seed %d: end %d still holds %d frames", seed, side, len(e.frames))
			}
		}
		if w.most > tunnelWindowMax+maxRelayFrame {
			t.Errorf("seed %d: %d bytes were on their way", seed, w.most)
		}
	}
}

// TestTunnelQuiet: a tunnel with nothing to say says nothing, and one that was acknowledged awaits nothing.
func TestTunnelQuiet(t *testing.T) {
	a, b := tunnelPair(t)
	w := &tunnelWorld{t: t, now: time.Unix(0, 0), a: a, b: b, fate: func() (int, time.Duration) { return 1, time.Millisecond }}
	_ = a.send(transport.Live, []byte("one"))
	_ = a.send(transport.Bulk, []byte("two"))
	w.run(w.now.Add(time.Hour))
	if !a.due(w.now).IsZero() || !b.due(w.now).IsZero() {
		t.Errorf("due %v and %v", a.due(w.now), b.due(w.now))
	}
	if a.number != 1 || b.number != 0 || b.acks != 1 {
		t.Errorf("%d frames and %d acknowledgements for two small pieces, want one of each", a.number, b.acks)
	}
}

// TestTunnelReplay: an old frame has no effect.
func TestTunnelReplay(t *testing.T) {
	a, b := tunnelPair(t)
	_ = a.send(transport.Live, []byte("once"))
	now := time.Unix(0, 0)
	frame := a.next(now)
	for range 3 {
		f, err := parseRelayFrame(bytes.Clone(frame))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.take(f, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.got[transport.Live]) != 1 {
		t.Errorf("got %q", b.got)
	}
}
