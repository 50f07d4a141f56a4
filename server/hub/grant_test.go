package hub_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// byToken grants as many seconds as the token says, "" for none.
func byToken(room, token string) (hub.Grant, error) {
	d, err := time.ParseDuration(token)
	if err != nil {
		return hub.Grant{}, errors.New("bad token")
	}
	return hub.Grant{Expires: time.Now().Add(d), TURN: room == "turn-room"}, nil
}

func (p *peer) joinWith(room, token string) {
	p.t.Helper()
	p.say(&protocol.Message{Type: protocol.TypeJoin, Room: room, Token: token})
}

// only returns the one message that came since the last time.
func (c *collector) only(t *testing.T) *protocol.Message {
	t.Helper()
	m := c.take()
	if len(m) != 1 {
		t.Fatalf("got %d messages: %+v", len(m), m)
	}
	return m[0]
}

// TestExpiry lets a token end: its bearer is told and has left, others are told, and it may come back.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{Authorize: byToken})
		a, b := s.connect(t, shoal), s.connect(t, shoal)
		fromA, fromB := a.collect(), b.collect()
		a.joinWith(room, "30s")
		elapse(0)
		if m := fromA.only(t); m.Type != protocol.TypeJoined || m.TTL != 30 {
			t.Fatalf("joined %+v", m)
		}
		b.joinWith(room, "1m")
		elapse(0)
		fromA.take()
		fromB.take()
		elapse(20 * time.Second)
		a.joinWith(room, "30s") // in time
		elapse(0)
		if m := fromA.only(t); m.Type != protocol.TypeJoined || m.TTL != 30 || len(m.Peers) != 1 {
			t.Fatalf("renewed %+v", m)
		}
		elapse(25 * time.Second)
		if m := append(fromA.take(), fromB.take()...); len(m) != 0 {
			t.Fatalf("too early: %+v", m)
		}
		elapse(7 * time.Second)
		if m := fromA.only(t); m.Code != protocol.CodeExpired || m.Room != room {
			t.Fatalf("a was told %+v", m)
		}
		if m := fromB.only(t); m.Type != protocol.TypePeerLeft || m.PeerID != a.id {
			t.Fatalf("b was told %+v", m)
		}
		a.signal(room, b.id, `1`)
		elapse(0)
		if m := fromA.only(t); m.Code != protocol.CodeNotInRoom {
			t.Fatalf("a may still send: %+v", m)
		}
		elapse(30 * time.Second) // b's ends, in a room that then is empty
		if m := fromB.only(t); m.Code != protocol.CodeExpired || s.Stats().Rooms != 0 {
			t.Fatalf("b was told %+v, %d rooms", m, s.Stats().Rooms)
		}
		a.joinWith(room, "30s")
		elapse(0)
		if m := fromA.only(t); m.Type != protocol.TypeJoined {
			t.Fatalf("came back: %+v", m)
		}
	})
}

// TestRefusedRenewal ends a stay at once.
func TestRefusedRenewal(t *testing.T) {
	s := serve(t, &hub.Options{Authorize: byToken})
	a, b := s.connect(t, shoal), s.connect(t, shoal)
	a.joinWith(room, "1h")
	a.expect(protocol.TypeJoined)
	b.joinWith(room, "1h")
	b.expect(protocol.TypeJoined)
	a.expect(protocol.TypePeerJoined)
	b.joinWith(room, "revoked")
	b.expectError(protocol.CodeUnauthorized)
	if m := a.expect(protocol.TypePeerLeft); m.PeerID != b.id {
		t.Errorf("%+v", m)
	}
	b.signal(room, a.id, `1`)
	b.expectError(protocol.CodeNotInRoom)
	p := s.dial(t, shoal) // a comes back by another connection, with a token that does not do any more
	p.greet(shoal, a.resume)
	p.joinWith(room, "revoked")
	p.expectError(protocol.CodeUnauthorized)
	if got := s.Stats().Rooms; got != 0 {
		t.Errorf("%d rooms", got)
	}
}

// TestResumedGrantEnds has the grant outlive the connection, and end when it would have.
func TestResumedGrantEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{Authorize: byToken})
		a := s.connect(t, shoal)
		fromA := a.collect()
		a.joinWith(room, "30s")
		elapse(0)
		fromA.take()
		client, far := net.Pipe()
		s.l.conns <- far
		p := upgrade(t, client, shoal)
		p.conn.SetDeadline(time.Time{})
		p.greet(shoal, a.resume)
		fromP := p.collect()
		elapse(32 * time.Second)
		if m := fromP.only(t); m.Code != protocol.CodeExpired || s.Stats().Rooms != 0 {
			t.Fatalf("%+v, %d rooms", m, s.Stats().Rooms)
		}
	})
}

// TestTokenInURL is how an RxDB client shows a token. When that ends the connection does, for the dialect has no word for it.
func TestTokenInURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{Authorize: byToken})
		a, b := s.connectAt(t, "/?x=y&token=30s", rxdb), s.connect(t, rxdb)
		fromA, fromB := a.collect(), b.collect()
		a.join(room)
		b.join(room)
		elapse(0)
		if m := fromA.only(t); len(m.OtherPeerIDs) != 1 {
			t.Errorf("a got %+v", m)
		}
		if m := fromB.take(); len(m) != 0 {
			t.Errorf("without a token b got %+v", m)
		}
		elapse(32 * time.Second)
		if ended, status := fromA.ended(); !ended || status != ws.StatusPolicyViolation {
			t.Errorf("ended %t with %d", ended, status)
		}
		if got := s.Stats(); got.Rooms != 0 || got.Connections != 1 {
			t.Errorf("%+v", got)
		}
	})
	s := serve(t, &hub.Options{Authorize: byToken}) // the way past net/http
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	a := upgradeAt(t, conn, "/?token=1h", rxdb)
	a.greet(rxdb, "")
	a.join(room)
	a.list(a.id)
}

// TestICERenewal gives new credentials before the old ones end, and TURN only where a token has it.
func TestICERenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{Authorize: byToken, ICEServers: func(peer string, turn bool) ([]protocol.ICEServer, time.Duration) {
			if !turn {
				return []protocol.ICEServer{{URLs: []string{"stun:127.0.0.1"}}}, 0
			}
			return []protocol.ICEServer{{URLs: []string{"turn:127.0.0.1"}, Username: peer, Credential: "c"}}, time.Minute
		}})
		a := s.connect(t, shoal)
		from := a.collect()
		expect := func(when, url string) {
			t.Helper()
			var ice []*protocol.Message
			for _, m := range from.take() {
				if m.Type == protocol.TypeICE {
					ice = append(ice, m)
				}
			}
			if url == "" && len(ice) == 0 || len(ice) == 1 && ice[0].ICEServers[0].URLs[0] == url {
				return
			}
			t.Fatalf("%s: %+v, want %q", when, ice, url)
		}
		a.joinWith(room, "1h")
		elapse(0)
		expect("first room", "stun:127.0.0.1")
		a.joinWith("turn-room", "100s")
		elapse(0)
		expect("room with TURN", "turn:127.0.0.1")
		elapse(44 * time.Second)
		expect("before they end", "")
		elapse(3 * time.Second)
		expect("when they end soon", "turn:127.0.0.1")
		elapse(43 * time.Second)
		a.text(`{"type":"ping"}`)
		elapse(5 * time.Second)
		expect("again", "turn:127.0.0.1")
		elapse(60 * time.Second)
		expect("out of the room with TURN", "stun:127.0.0.1")
		elapse(50 * time.Second)
		expect("nothing to renew", "")
	})
}
