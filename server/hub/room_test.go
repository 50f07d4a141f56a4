package hub

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// member makes a connection with that peer id.
func (h *Hub) member(t *testing.T, id string) *conn {
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

// TestLeaveAfterReturn has a connection cleared away after its peer has come back by another: the peer stays in the room.
func TestLeaveAfterReturn(t *testing.T) {
	h := New(nil)
	defer h.Close()
	var b batch
	old := h.member(t, "aaaaaaaaaaaa")
	if _, code := h.join(old, "room-one", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	back := h.member(t, "aaaaaaaaaaaa")
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

// ear is a cluster that hears what a hub says.
type ear struct{ joined []Presence }

func (*ear) Node() string                  { return "here" }
func (e *ear) Joined(_ string, p Presence) { e.joined = append(e.joined, p) }
func (*ear) Left(string, string)           {}
func (*ear) Signal(string, []byte) bool    { return true }

// TestJoinAfterMove has a connection enter a room, its token checked at last, when its peer has come into that by another node: the
// peer stays there when the connection is cleared away.
func TestJoinAfterMove(t *testing.T) {
	h := New(&Options{Cluster: &ear{}})
	defer h.Close()
	var b batch
	old := h.member(t, "aaaaaaaaaaaa")
	if _, code := h.join(old, "room-one", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	p := h.NewRemote("there", Presence{Peer: old.id, Dialect: protocol.DialectShoal, Since: old.since.Load() + 1})
	h.RemoteJoined("room-two", p)
	if _, code := h.join(old, "room-two", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	h.unregister(old)
	r := h.rooms["room-two"]
	if r == nil || r.members[old.id] == nil || r.members[old.id].remote != p {
		t.Error("the peer is no longer in the room")
	}
	if h.rooms["room-one"] != nil {
		t.Error("the connection is still in a room")
	}
}

// TestClocksOfNodes has a peer come from a node whose clock is ahead of this one's: it is here now, and so it is told.
func TestClocksOfNodes(t *testing.T) {
	var said ear
	h := New(&Options{Cluster: &said})
	defer h.Close()
	there := Presence{Peer: "aaaaaaaaaaaa", Dialect: protocol.DialectShoal, Since: time.Now().Add(time.Hour).UnixNano()}
	h.RemoteJoined("room-one", h.NewRemote("there", there))
	c := h.member(t, there.Peer)
	var b batch
	if _, code := h.join(c, "room-one", everything(), protocol.Role{}, &b); code != "" {
		t.Fatal(code)
	}
	if len(said.joined) != 1 || said.joined[0].Since <= there.Since {
		t.Errorf("told %+v, and it is at the other node since %d", said.joined, there.Since)
	}
}

// TestEndedAtOnce ends connections as soon as the hub has them: they are told after the answer to their upgrade.
func TestEndedAtOnce(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + protocol.Subprotocol + "\r\n\r\n"
	h := New(nil)
	defer h.Close()
	for range 1000 {
		near, far := net.Pipe()
		far.Close()
		c := newConn(h, near, nil)
		c.from = &listener{paths: []string{"/"}}
		var wg sync.WaitGroup
		wg.Go(func() {
			for taken := false; !taken; runtime.Gosched() {
				h.mu.Lock()
				_, taken = h.conns[c]
				h.mu.Unlock()
			}
			c.end(protocol.CodeGoingAway, "the server stops")
		})
		if !h.upgrade(c, []byte(head)) {
			t.Fatal("not taken")
		}
		wg.Wait()
		if said := string(c.out.queued.b); !strings.HasPrefix(said, "HTTP/1.1 101 ") || !strings.Contains(said, "going_away") {
			t.Errorf("told %q", said)
		}
		c.flush()
		h.unregister(c)
		h.live.Done()
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
