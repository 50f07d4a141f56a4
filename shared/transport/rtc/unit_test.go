package rtc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

func TestSplitJoin(t *testing.T) {
	for _, limit := range []int{minPiece, 1500, maxPiece} {
		for _, size := range []int{
			0, 1, limit - 2, limit - 1, limit, limit + 1, 2*limit - 6, 2*limit - 5, 10*limit - 14, 10*limit - 13, transport.MaxMessage,
		} {
			msg := bytes.Repeat([]byte{1, 2, 3, 5, 7, 11, 13}, size/7+1)[:size]
			var j joiner
			var got []byte
			done := false
			_, err := split(msg, nil, limit, func(piece []byte) error {
				if done || len(piece) > limit {
					t.Fatalf("%d bytes: a piece of %d, message complete: %t", size, len(piece), done)
				}
				var err error
				got, done, err = j.join(bytes.Clone(piece))
				return err
			})
			if err != nil || !done || !bytes.Equal(got, msg) {
				t.Errorf("limit %d, %d bytes: got %d bytes, complete %t, error %v", limit, size, len(got), done, err)
			}
		}
	}
}

func TestSplitStops(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	_, err := split(make([]byte, 10_000), nil, minPiece, func([]byte) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("split = %v after %d calls", err, calls)
	}
}

// TestAbort: a message that its sender took back is not seen, and the next one is.
func TestAbort(t *testing.T) {
	var j joiner
	for _, piece := range [][]byte{{pieceAbort}, {pieceFirst, 0, 0, 0, 5, 1, 2}, {pieceMore, 3}, {pieceAbort}} {
		if msg, ok, err := j.join(piece); ok || err != nil {
			t.Fatalf("join(%v) = %v, %t, %v", piece, msg, ok, err)
		}
	}
	if msg, ok, err := j.join([]byte{pieceWhole, 9}); !ok || err != nil || !bytes.Equal(msg, []byte{9}) {
		t.Errorf("join after an abort = %v, %t, %v", msg, ok, err)
	}
}

func FuzzJoin(f *testing.F) {
	f.Add([]byte{pieceWhole, 1}, []byte{pieceFirst, 0, 0, 0, 2, 1}, []byte{pieceMore, 2})
	f.Add([]byte{pieceFirst, 0, 0, 0, 9, 1}, []byte{pieceAbort}, []byte{pieceWhole})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var j joiner
		for _, piece := range [][]byte{a, b, c} {
			if isControl(piece) {
				_, lane, _, err := parseControl(piece)
				if err == nil && lane >= transport.Lanes {
					t.Fatalf("lane %d", lane)
				}
				continue
			}
			msg, ok, err := j.join(piece)
			if len(msg) > transport.MaxMessage || len(j.partial) > transport.MaxMessage || ok && (err != nil || j.partial != nil) {
				t.Fatalf("join = %d bytes, %t, %v; partial %d", len(msg), ok, err, len(j.partial))
			}
			if err != nil {
				return // the connection ends
			}
		}
	})
}

const (
	printA = "AB:" + "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE"
	printB = "CD:" + "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE"
)

func sdpWith(lines ...string) string {
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n"
}

const dataSection = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"

func TestCheckSDP(t *testing.T) {
	good := sdpWith("a=fingerprint:sha-256 "+printA, dataSection, "a=sctp-port:5000")
	for name, test := range map[string]struct {
		sdp  string
		want bool
	}{
		"session level":     {good, true},
		"media level":       {sdpWith(dataSection, "a=fingerprint:SHA-256 "+strings.ToLower(printA)), true},
		"twice the same":    {sdpWith("a=fingerprint:sha-256 "+printA, dataSection, "a=fingerprint:sha-256 "+printA), true},
		"empty":             {"", false},
		"no fingerprint":    {sdpWith(dataSection), false},
		"two certificates":  {sdpWith("a=fingerprint:sha-256 "+printA, dataSection, "a=fingerprint:sha-256 "+printB), false},
		"weak hash":         {sdpWith("a=fingerprint:sha-1 "+printA, dataSection), false},
		"short fingerprint": {sdpWith("a=fingerprint:sha-256 AB:CD", dataSection), false},
		"media":             {good + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", false},
		"two data sections": {good + dataSection + "\r\n", false},
		"no data section":   {sdpWith("a=fingerprint:sha-256 " + printA), false},
		"too long":          {good + strings.Repeat("a=x\r\n", maxSDP), false},
	} {
		if err := checkSDP(test.sdp); (err == nil) != test.want || err != nil && !errors.Is(err, errSDP) {
			t.Errorf("%s: %v, want good: %t", name, err, test.want)
		}
	}
}

func TestBinding(t *testing.T) {
	a, b := sdpWith("a=fingerprint:sha-256 "+printA, dataSection), sdpWith("a=fingerprint:sha-256 "+printB, dataSection)
	here, err1 := binding(a, b)
	there, err2 := binding(b, a)
	other, err3 := binding(a, a)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here, there) || bytes.Equal(here, other) || len(here) != 32 {
		t.Errorf("bindings %x, %x and %x", here, there, other)
	}
	if _, err := binding(a, ""); err == nil {
		t.Error("binding without a description: no error")
	}
}

func TestPieceLimit(t *testing.T) {
	for line, want := range map[string]int{
		"": maxPiece, "a=max-message-size:262144": maxPiece, "a=max-message-size:0": maxPiece, "a=max-message-size:16384": 16384,
		"a=max-message-size:1": minPiece, "a=max-message-size:-5": maxPiece, "a=max-message-size:x": maxPiece,
		"a=max-message-size:99999999999999999999": maxPiece, "a=max-message-size:9223372036854775807": maxPiece,
	} {
		if got := pieceLimit(sdpWith(dataSection, line)); got != want {
			t.Errorf("pieceLimit(%q) = %d, want %d", line, got, want)
		}
	}
}

func TestSignalRoundTrip(t *testing.T) {
	mid, index := "0", uint16(0)
	sdp := sdpWith("a=fingerprint:sha-256 "+printA, dataSection)
	for _, s := range []signal{
		{Kind: kindOffer, ID: "1", From: "2", Old: "3", Turn: 4, SDP: sdp},
		{Kind: kindAnswer, ID: "1", From: "2", SDP: sdp},
		{Kind: kindCandidates, ID: "1", Candidates: []candidate{{Candidate: "candidate:1", SDPMid: &mid, SDPMLineIndex: &index}}},
		{Kind: kindHello, From: "2"},
		{Kind: kindWant, From: "2"},
		{Kind: kindHave, ID: "1", From: "2"},
		{Kind: kindRestart, ID: "1"},
		{Kind: kindFull, ID: "1"},
	} {
		data, err := encodeSignal(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSignal(data)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		again, err := encodeSignal(got)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s became %s, %v", data, again, err)
		}
	}
}

func FuzzDecodeSignal(f *testing.F) {
	f.Add([]byte(`{"shoal":1,"kind":"offer","id":"1","from":"2","sdp":"v=0"}`))
	f.Add([]byte(`{"shoal":1,"kind":"candidates","id":"1","candidates":[{"candidate":"x","sdpMid":"0"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSignal(data)
		if err != nil {
			return
		}
		if len(s.ID) > maxIDText || len(s.SDP) > maxSDP || len(s.Candidates) > maxCandidates {
			t.Fatalf("accepted %d bytes of id, %d of sdp, %d candidates", len(s.ID), len(s.SDP), len(s.Candidates))
		}
	})
}

func TestBackoff(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	times := defaultTiming(time.Second)
	for failures, want := range map[int][2]time.Duration{
		0: {500 * time.Millisecond, time.Second}, 1: {500 * time.Millisecond, time.Second}, 2: {time.Second, 2 * time.Second},
		4: {4 * time.Second, 8 * time.Second}, 5: {7500 * time.Millisecond, 15 * time.Second}, 1000: {7500 * time.Millisecond, 15 * time.Second},
	} {
		seen := make(map[time.Duration]bool)
		for range 100 {
			d := times.backoff(failures, rng)
			seen[d] = true
			if d < want[0] || d > want[1] {
				t.Errorf("after %d failures %v, want %v to %v", failures, d, want[0], want[1])
			}
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures only %d different times", failures, len(seen))
		}
	}
}

// TestInboxCredit: what is taken is told to the peer in steps of half a window, for each lane on its own.
func TestInboxCredit(t *testing.T) {
	b := newInbox()
	msg := append([]byte{pieceWhole}, make([]byte, 60_000)...)
	var told uint64
	for i := range 100 {
		if err := b.put(transport.Bulk, bytes.Clone(msg)); err != nil {
			t.Fatal(err)
		}
		_, _, credit, err := b.take(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		taken := uint64(i+1) * 60_000
		switch {
		case credit == 0 && taken-told >= window/2:
			t.Fatalf("%d bytes taken, %d told", taken, told)
		case credit != 0 && credit != taken:
			t.Fatalf("told %d of %d", credit, taken)
		case credit != 0:
			told = credit
		}
	}
	if told == 0 {
		t.Error("nothing was told")
	}
}

// TestPings: what is heard between pings keeps a connection, however late the timers run.
func TestKeepAlive(t *testing.T) {
	for name, test := range map[string]struct {
		state    string
		interval time.Duration // between ticks
		heard    bool          // something, between all of them
		ticks    int
		want     bool // that the connection lives
	}{
		"traffic":                        {stateConnected, 5 * time.Second, true, 100, true},
		"silent a while, path works":     {stateConnected, 5 * time.Second, false, 12, true},
		"silent for long, path works":    {stateConnected, 5 * time.Second, false, 14, false},
		"silent, path lost":              {stateDisconnected, 5 * time.Second, false, 5, false},
		"slept for a night":              {stateConnected, 8 * time.Hour, false, 3, true},
		"hidden page, peer answers":      {stateConnected, time.Minute, true, 100, true},
		"hidden page, path lost, silent": {stateDisconnected, time.Minute, false, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t.Context(), "id", "peer", "self", linkOwner{})
			l.fail(errDropped) // so that ping has nothing to write to
			l.timing = defaultTiming(time.Second)
			d := &drive{link: l, state: test.state, open: [transport.Lanes]bool{true, true}}
			now := l.start
			var err error
			for range test.ticks {
				now = now.Add(test.interval)
				if test.heard {
					l.lastHeard.Store(int64(now.Sub(l.start) - time.Millisecond))
				}
				d.pingAt = now
				if err = d.tick(now); err != nil {
					break
				}
			}
			if (err == nil) != test.want || err != nil && !errors.Is(err, ErrPeerGone) {
				t.Errorf("tick = %v, want that it lives: %t", err, test.want)
			}
		})
	}
}

func TestSeen(t *testing.T) {
	var s seen
	of := func(types ...string) (candidates []candidate) {
		for _, typ := range types {
			candidates = append(candidates, candidate{Candidate: "candidate:1 1 udp 2130706431 10.0.0.1 5000 typ " + typ + " raddr 0.0.0.0 rport 0"})
		}
		return candidates
	}
	s.own = noteTypes(s.own, of("host", "srflx", "host"))
	s.own = noteTypes(s.own, append(of("relay", "evil"), candidate{Candidate: "typ"}, candidate{}))
	for i := range 5 {
		s.fault(fmt.Errorf("turn:example.com: %d", 400+i/2))
	}
	err := s.explain(ErrTimeout)
	if want := ErrTimeout.Error() + "; candidates here: host, srflx, relay; there: none; servers: turn:example.com: 400, turn:example.com: 401, turn:example.com: 402"; err.Error() != want {
		t.Errorf("explained as\n%v, want\n%s", err, want)
	}
	if !errors.Is(err, ErrTimeout) {
		t.Error("the error does not match any more")
	}
}
