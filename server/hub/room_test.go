package hub

import (
	"net"
	"net/netip"
	"testing"

	"github.com/shoaldb/shoal/shared/protocol"
)

// TestLeaveAfterReturn has a connection cleared away after its peer has come back by another: the peer stays in the room.
func TestLeaveAfterReturn(t *testing.T) {
	h := New(nil)
	defer h.Close()
	var b batch
	member := func(id string) *conn {
		near, far := net.Pipe()
		t.Cleanup(func() {
			near.Close()
			far.Close()
		})
		c := newConn(h, near, nil)
		c.shoal = true
		h.mu.Lock()
		h.name(c, id)
		h.mu.Unlock()
		return c
	}
	old := member("aaaaaaaaaaaa")
	if _, code := h.join(old, "room-one", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	back := member("aaaaaaaaaaaa")
	if _, code := h.join(back, "room-one", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	r, _ := back.room([]byte("room-one"))
	h.leave(old, r, &b)
	if m := r.members["aaaaaaaaaaaa"]; m == nil || m.conn != back {
		t.Fatalf("member %+v", m)
	}
	if _, code := h.join(old, "room-two", everything(), protocol.Role{}, &b); code != "" || h.rooms["room-two"] != nil {
		t.Error("a replaced connection entered another room")
	}
	h.leave(back, r, &b)
	if len(r.members) != 0 || len(h.rooms) != 0 {
		t.Errorf("%d members, %d rooms are left", len(r.members), len(h.rooms))
	}
}

// TestClientAddr finds out whose a connection is that came by proxies.
func TestClientAddr(t *testing.T) {
	h := New(&Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}})
	defer h.Close()
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1", []string{"192.0.2.9"}, "192.0.2.1"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"192.0.2.8, 192.0.2.9", "10.0.0.2"}, "192.0.2.9"},
		{"::ffff:10.0.0.1", []string{"::ffff:192.0.2.9"}, "192.0.2.9"},
		{"fe80::1%eth0", []string{"192.0.2.9"}, "192.0.2.9"},
		{"fe80::1%eth0", []string{"192.0.2.9, fe80::2%eth1"}, "192.0.2.9"},
		{"fe80::1", []string{"2001:db8::1:2:3:4"}, "2001:db8::"},
	} {
		if got := h.clientAddr(netip.MustParseAddr(tt.peer), tt.forwarded); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s for %q: %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
