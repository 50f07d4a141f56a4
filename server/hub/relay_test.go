package hub_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

func (p *peer) relay(room, to, data string) {
	p.t.Helper()
	p.say(&protocol.Message{
		Type: protocol.TypeRelay, Room: room, SenderPeerID: p.id, ReceiverPeerID: to, Data: json.RawMessage(data),
	})
}

func TestRelay(t *testing.T) {
	s := serve(t, nil)
	a, b := pair(t, s, shoal)
	a.relay("healthy-room", b.id, `"AAEC"`)
	if m := b.expect(protocol.TypeRelay); m.SenderPeerID != a.id || string(m.Data) != `"AAEC"` {
		t.Errorf("b got %+v", m)
	}
	// What careless readers could misread is said again.
	a.text(`{"type":"relay","room":"healthy-room","senderPeerId":"` + a.id + `","SenderPeerId":"x","receiverPeerId":"` + b.id + `","data":"AA=="}`)
	if m := b.expect(protocol.TypeRelay); m.SenderPeerID != a.id || string(m.Data) != `"AA=="` {
		t.Errorf("b got %+v", m)
	}
	a.relay("another-room", b.id, `"AAEC"`)
	a.expectError(protocol.CodeNotInRoom)
	a.relay("healthy-room", "aaaaaaaaaaaa", `"AAEC"`)
	if m := a.expectError(protocol.CodeUnknownPeer); m.Room != "healthy-room" || m.ReceiverPeerID != "aaaaaaaaaaaa" {
		t.Errorf("told %+v", m)
	}
	old := s.connect(t, rxdb)
	old.join("healthy-room")
	old.expect(protocol.TypeJoined)
	a.expect(protocol.TypePeerJoined)
	a.relay("healthy-room", old.id, `"AAEC"`)
	a.expectError(protocol.CodeRelayDenied)
	if got := s.Stats(); got.Relayed != 2 || got.RelayBytes == 0 {
		t.Errorf("%+v", got)
	}
	a.text(`{"type":"relay","room":"healthy-room","senderPeerId":"` + b.id + `","receiverPeerId":"` + b.id + `","data":"AA=="}`)
	a.expectError(protocol.CodeSpoofed)
	a.expectClose(ws.StatusPolicyViolation)
	old.text(`{"type":"relay","room":"healthy-room","senderPeerId":"` + old.id + `","receiverPeerId":"` + b.id + `","data":"AA=="}`)
	old.expectClose(ws.StatusInvalidFramePayloadData)
}

func TestRelayDenied(t *testing.T) {
	for name, opts := range map[string]*hub.Options{
		"switched off": {NoRelay: true},
		"not granted":  {Authorize: func(string, string) (hub.Grant, error) { return hub.Grant{TURN: true}, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, opts)
			a, b := pair(t, s, shoal)
			a.relay("healthy-room", b.id, `"AAEC"`)
			a.expectError(protocol.CodeRelayDenied)
			a.signal("healthy-room", b.id, `1`)
			b.expect(protocol.TypeSignal)
		})
	}
}

// TestRelayLimit: what is beyond the rate is refused, and signals go on undelayed. Relayed bytes do not count as messages.
func TestRelayLimit(t *testing.T) {
	s := serve(t, &hub.Options{RelayRate: 1, RelayBurst: 100_000, Rate: 1, Burst: 60})
	a, b := pair(t, s, shoal)
	data := `"` + strings.Repeat("x", 30_000) + `"`
	for range 4 { // the last may go into debt
		a.relay("healthy-room", b.id, data)
		b.expect(protocol.TypeRelay)
	}
	a.relay("healthy-room", b.id, `"AA=="`)
	if m := a.expectError(protocol.CodeRelayLimit); m.ReceiverPeerID != b.id {
		t.Errorf("told %+v", m)
	}
	a.signal("healthy-room", b.id, `1`)
	b.expect(protocol.TypeSignal)
	if got := s.Stats(); got.Delayed != 0 || got.Relayed != 4 {
		t.Errorf("%+v", got)
	}
	c := s.connect(t, shoal)
	c.join("healthy-room")
	c.expect(protocol.TypeJoined)
	b.expect(protocol.TypePeerJoined)
	c.relay("healthy-room", b.id, `"AA=="`) // has a limit of its own
	b.expect(protocol.TypeRelay)
}

// TestRelayBusy: what is relayed to a peer that does not read is refused long before that peer is cut off, and its signals have room still.
func TestRelayBusy(t *testing.T) {
	s := serve(t, &hub.Options{
		Rate: -1, Burst: -1, RelayRate: -1, RelayBurst: -1, MaxQueue: 64 << 10, WriteTimeout: time.Hour, PingInterval: time.Hour,
	})
	a, b := pair(t, s, shoal)
	data := `"` + strings.Repeat("x", 8000) + `"`
	busy := 0
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		for range 2500 { // 20 MB, more than sockets hold
			a.relay("healthy-room", b.id, data)
		}
		a.signal("healthy-room", b.id, `"there is room"`)
		a.say(&protocol.Message{Type: protocol.TypePing})
	}()
	for {
		m := a.next()
		if m.Type == protocol.TypePong {
			break
		}
		if m.Code != protocol.CodeRelayBusy || m.ReceiverPeerID != b.id {
			t.Fatalf("got %+v", m)
		}
		busy++
	}
	if busy == 0 {
		t.Error("nothing was refused")
	}
	for arrived := 0; ; arrived++ {
		m := b.next()
		if m.Type == protocol.TypeSignal {
			if arrived+busy != 2500 {
				t.Errorf("%d arrived and %d were refused", arrived, busy)
			}
			break
		}
		if m.Type != protocol.TypeRelay {
			t.Fatalf("got %+v", m)
		}
	}
	if got := s.Stats().Cut; got != 0 {
		t.Errorf("%d cut off", got)
	}
}
