package hub_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

func TestRoomNames(t *testing.T) {
	s := serve(t, nil)
	a := s.connect(t, shoal)
	for _, text := range []string{
		`{"type":"join"}`, `{"type":"join","room":null}`, `{"type":"join","room":5}`, `{"type":"join","room":["room-one"]}`,
		`{"type":"join","room":"five5"}`, `{"type":"join","room":"` + strings.Repeat("x", 100) + `"}`,
		`{"type":"join","room":"\ud800-half-a-pair"}`, `{"type":"join","Room":"room-one"}`,
	} {
		a.text(text)
		a.expectError(protocol.CodeBadRoom)
	}
	a.ping() // none of them is final
	for _, name := range []string{"sixsix", strings.Repeat("x", 99), "\U0001F600\U0001F600\U0001F600", `"quoted\"`} {
		a.join(name)
		if m := a.expect(protocol.TypeJoined); m.Room != name {
			t.Errorf("joined %q, want %q", m.Room, name)
		}
	}
}

// TestManyRoomNames has one client ask for 10,000 rooms at once, and then one after the other.
func TestManyRoomNames(t *testing.T) {
	const names = 10000
	s := serve(t, &hub.Options{Rate: -1, Burst: -1})
	a := s.connect(t, shoal)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range names {
			a.join(fmt.Sprintf("room-%05d", i))
		}
	}()
	for i := range names {
		if i < 64 {
			a.expect(protocol.TypeJoined)
		} else {
			a.expectError(protocol.CodeTooManyRooms)
		}
	}
	<-sent
	if got := s.Stats().Rooms; got != 64 {
		t.Errorf("%d rooms, want 64", got)
	}
	for i := range 64 {
		a.say(&protocol.Message{Type: protocol.TypeLeave, Room: fmt.Sprintf("room-%05d", i)})
	}
	a.ping()
	for i := range names / 10 {
		room := fmt.Sprintf("room-%05d", i)
		a.join(room)
		a.expect(protocol.TypeJoined)
		a.say(&protocol.Message{Type: protocol.TypeLeave, Room: room})
	}
	a.ping()
	if got := s.Stats().Rooms; got != 0 {
		t.Errorf("%d rooms are left", got)
	}
	b := s.connect(t, rxdb)
	for i := range names {
		b.join(fmt.Sprintf("room-%05d", i))
	}
	b.sync()
	if got := s.Stats().Rooms; got != 64 {
		t.Errorf("%d rooms, want 64", got)
	}
}

func TestRoomFull(t *testing.T) {
	s := serve(t, &hub.Options{MaxRoomPeers: 2})
	a, b, c, d := s.connect(t, shoal), s.connect(t, rxdb), s.connect(t, shoal), s.connect(t, rxdb)
	a.join(room)
	a.expect(protocol.TypeJoined)
	b.join(room)
	b.list(b.id)
	c.join(room)
	if m := c.expectError(protocol.CodeRoomFull); m.Room != room {
		t.Errorf("error %+v", m)
	}
	d.join(room)
	d.ping2(t)
	b.conn.Close()
	a.expect(protocol.TypePeerJoined)
	a.expect(protocol.TypePeerLeft)
	c.join(room)
	c.expect(protocol.TypeJoined)
}

func TestConnectionLimits(t *testing.T) {
	s := serve(t, &hub.Options{MaxConnsPerAddress: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	a := s.connect(t, rxdb)
	s.connect(t, rxdb)
	status, body := get(t, "http://"+s.addr, upgradeHeader())
	if status != http.StatusTooManyRequests || body != "too many connections from this address" {
		t.Errorf("%d %q", status, body)
	}
	for _, tt := range []struct {
		forwarded string
		status    int
	}{
		{"192.0.2.1", http.StatusSwitchingProtocols}, // clients of the proxy count by themselves
		{"192.0.2.1, 127.0.0.9", http.StatusSwitchingProtocols},
		{"192.0.2.7, 192.0.2.1", http.StatusTooManyRequests}, // what the client itself put in does not count
		{"2001:db8::1", http.StatusSwitchingProtocols},
		{"2001:db8::2", http.StatusSwitchingProtocols},
		{"2001:db8::3", http.StatusTooManyRequests}, // one /64
		{"2001:db8:0:1::3", http.StatusSwitchingProtocols},
		{"192.0.2.9:5678", http.StatusSwitchingProtocols}, // as some proxies write it
		{"192.0.2.9:5679, 127.0.0.9:80", http.StatusSwitchingProtocols},
		{"192.0.2.9", http.StatusTooManyRequests},
		{"[2001:db8:0:2::1]:5678", http.StatusSwitchingProtocols},
		{"garbage", http.StatusTooManyRequests},
	} {
		header := upgradeHeader()
		header.Set("X-Forwarded-For", tt.forwarded)
		if status := s.keep(t, header); status != tt.status {
			t.Errorf("%s: %d, want %d", tt.forwarded, status, tt.status)
		}
	}
	a.conn.Close()
	until(t, "the hub to know", func() bool { return s.Stats().Connections <= 9 })
	s.connect(t, rxdb)

	full := serve(t, &hub.Options{MaxConns: 1})
	full.connect(t, rxdb)
	if status, body := get(t, "http://"+full.addr, upgradeHeader()); status != http.StatusServiceUnavailable {
		t.Errorf("%d %q", status, body)
	}
	if got := full.Stats().Refused; got != 1 {
		t.Errorf("%d refused", got)
	}
}

func upgradeHeader() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
}

func TestOrigins(t *testing.T) {
	s := serve(t, &hub.Options{Origins: []string{"https://example.com"}})
	for _, tt := range []struct {
		origin string
		status int
	}{
		{"https://example.com", http.StatusSwitchingProtocols},
		{"https://EXAMPLE.com", http.StatusSwitchingProtocols},
		{"", http.StatusSwitchingProtocols},
		{"http://example.com", http.StatusForbidden},
		{"https://example.com.evil.test", http.StatusForbidden},
		{"https://example.com:8443", http.StatusForbidden},
		{"null", http.StatusForbidden},
	} {
		header := upgradeHeader()
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		if status := s.keep(t, header); status != tt.status {
			t.Errorf("%q: %d, want %d", tt.origin, status, tt.status)
		}
	}
	all := serve(t, &hub.Options{Origins: []string{"*"}})
	header := upgradeHeader()
	header.Set("Origin", "https://anywhere.test")
	if status := all.keep(t, header); status != http.StatusSwitchingProtocols {
		t.Errorf("*: %d", status)
	}
}

// TestFloodedReceiver floods a receiver that does not read: the sender is told, the receiver and others are not hurt.
func TestFloodedReceiver(t *testing.T) {
	s := serve(t, &hub.Options{Rate: -1, Burst: -1, MaxQueue: 64 << 10, WriteTimeout: time.Hour, PingInterval: time.Hour})
	a, b := pair(t, s, shoal)
	c, d := pair2(t, s)
	const signals = 2500
	data := `"` + strings.Repeat("x", 8000) + `"`
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals { // 20 MB, more than sockets hold
			a.signal("healthy-room", b.id, data)
		}
		a.say(&protocol.Message{Type: protocol.TypePing})
	}()
	busy := 0
	for {
		m := a.next()
		if m.Type == protocol.TypePong {
			break
		}
		if m.Code != protocol.CodePeerBusy || m.ReceiverPeerID != b.id {
			t.Fatalf("got %+v", m)
		}
		busy++
	}
	<-done
	if busy == 0 {
		t.Error("the sender was not told")
	}
	healthy2(t, c, d)
	arrived := 0
	for b.in.Buffered() > 0 || arrived == 0 || arrived < signals-busy {
		b.expect(protocol.TypeSignal)
		arrived++
	}
	if arrived+busy != signals {
		t.Errorf("%d arrived and %d were refused", arrived, busy)
	}
	a.signal("healthy-room", b.id, `"still there"`)
	if m := b.expect(protocol.TypeSignal); string(m.Data) != `"still there"` {
		t.Errorf("got %+v", m)
	}
	if got := s.Stats().Cut; got != 0 {
		t.Errorf("%d cut off", got)
	}
}

func pair2(t *testing.T, s *server) (c, d *peer) {
	c, d = s.connect(t, rxdb), s.connect(t, rxdb)
	c.join("another-room")
	c.list(c.id)
	d.join("another-room")
	c.list(c.id, d.id)
	d.list(c.id, d.id)
	return c, d
}

func healthy2(t *testing.T, c, d *peer) {
	t.Helper()
	c.signal("another-room", d.id, `1`)
	if m := d.expect(protocol.TypeSignal); m.SenderPeerID != c.id {
		t.Fatalf("signal %+v", m)
	}
}

// TestGreedyReader asks for more than it reads: that ends it, and nobody else.
func TestGreedyReader(t *testing.T) {
	s := serve(t, &hub.Options{Rate: -1, Burst: -1, MaxQueue: 64 << 10})
	a, b := pair(t, s, shoal)
	p := s.connect(t, shoal)
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"type":"join","room":"x"}`))))
	for s.Stats().Cut == 0 {
		if _, err := p.conn.Write(frame); err != nil {
			break
		}
	}
	p.expectEnd()
	healthy(t, a, b)
}
