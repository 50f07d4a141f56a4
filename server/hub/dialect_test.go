package hub_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

const room = "my-users-pool"

// TestRxDB walks through what RxDB's client does with RxDB's server.
func TestRxDB(t *testing.T) {
	s := serve(t, nil)
	a := s.connect(t, rxdb)
	a.join(room)
	a.list(a.id)
	b := s.connect(t, rxdb)
	b.join(room)
	a.list(a.id, b.id)
	b.list(a.id, b.id)
	const text = `{"type":"signal","senderPeerId":"%a","receiverPeerId":"%b","room":"my-users-pool","data":{"type":"offer","sdp":"v=0\r\n"},"connectionId":"hdkwpqmzrt","later":[1]}`
	sent := replace(text, a, b)
	a.text(sent)
	if _, got, err := b.frame(); err != nil || string(got) != sent {
		t.Fatalf("signal arrived as %s, %v", got, err)
	}
	a.text(`{"type":"ping"}`)
	a.join(room) // again: nothing
	a.sync()
	b.conn.Close()
	a.list(a.id)
}

// TestRxDBSilence checks what RxDB's server passes over without a word, and what it ends a connection for.
func TestRxDBSilence(t *testing.T) {
	s := serve(t, nil)
	a := s.connect(t, rxdb)
	a.join(room)
	a.list(a.id)
	for _, text := range []string{
		`{"type":"signal","senderPeerId":"%a","receiverPeerId":"nobodynobody","room":"my-users-pool","data":1}`,
		`{"type":"signal","senderPeerId":"%a","receiverPeerId":5,"room":"my-users-pool","data":1}`,
		`{"type":"signal","senderPeerId":"%a","room":"my-users-pool","data":1}`,
		`{"type":"signal","senderPeerId":"%a","receiverPeerId":"nobodynobody"}`,
	} {
		a.text(replace(text, a, a))
	}
	a.ping2(t)
	for _, text := range []string{
		`{"type":"leave","room":"my-users-pool"}`, `{"type":"hello"}`, `{"type":"join"}`, `{"type":"join","room":"five5"}`,
		`{"type":"join","room":5}`, `{"type":["join"],"room":"my-users-pool"}`, `{}`, `{"type":"JOIN","room":"my-users-pool"}`,
	} {
		p := s.connect(t, rxdb)
		p.text(text)
		p.expectEnd()
	}
}

// ping2 checks that nothing came before the answer to a WebSocket ping.
func (p *peer) ping2(t *testing.T) {
	t.Helper()
	p.raw(ws.OpPing, true, nil)
	h, payload, err := p.frame()
	if err != nil || h.OpCode != ws.OpPong {
		t.Fatalf("got %v %s, %v", h.OpCode, payload, err)
	}
}

func TestShoal(t *testing.T) {
	s := serve(t, nil)
	a := s.connect(t, shoal)
	a.join(room)
	if m := a.expect(protocol.TypeJoined); m.Room != room || m.Peers == nil || len(m.Peers) != 0 {
		t.Fatalf("joined %+v", m)
	}
	b := s.connect(t, shoal)
	b.join(room)
	if m := b.expect(protocol.TypeJoined); !slices.Equal(m.Peers, []protocol.PeerInfo{{ID: a.id, Dialect: shoal}}) {
		t.Fatalf("joined %+v", m)
	}
	if m := a.expect(protocol.TypePeerJoined); m.Room != room || *m.Peer != (protocol.PeerInfo{ID: b.id, Dialect: shoal}) {
		t.Fatalf("peerJoined %+v", m)
	}
	a.signal(room, b.id, `{"x":1}`)
	if m := b.expect(protocol.TypeSignal); m.SenderPeerID != a.id || string(m.Data) != `{"x":1}` {
		t.Fatalf("signal %+v", m)
	}
	a.signal(room, "nobodynobody", `1`)
	if m := a.expectError(protocol.CodeUnknownPeer); m.Room != room || m.ReceiverPeerID != "nobodynobody" {
		t.Fatalf("error %+v", m)
	}
	a.signal("other-room", b.id, `1`)
	a.expectError(protocol.CodeNotInRoom)
	b.say(&protocol.Message{Type: protocol.TypeLeave, Room: room})
	if m := a.expect(protocol.TypePeerLeft); m.Room != room || m.PeerID != b.id {
		t.Fatalf("peerLeft %+v", m)
	}
	a.signal(room, b.id, `1`)
	a.expectError(protocol.CodeUnknownPeer)
	b.say(&protocol.Message{Type: protocol.TypeLeave, Room: room}) // again: nothing
	b.ping()
	a.join(room) // again: the list
	a.expect(protocol.TypeJoined)
	a.ping()
}

func TestBothDialectsInOneRoom(t *testing.T) {
	s := serve(t, nil)
	a, b := s.connect(t, shoal), s.connect(t, rxdb)
	a.join(room)
	a.expect(protocol.TypeJoined)
	b.join(room)
	b.list(b.id)
	if m := a.expect(protocol.TypePeerJoined); *m.Peer != (protocol.PeerInfo{ID: b.id, Dialect: rxdb}) {
		t.Fatalf("peerJoined %+v", m)
	}
	a.signal(room, b.id, `"a"`)
	if m := b.expect(protocol.TypeSignal); m.SenderPeerID != a.id {
		t.Fatalf("b got %+v", m)
	}
	b.signal(room, a.id, `"b"`)
	if m := a.expect(protocol.TypeSignal); m.SenderPeerID != b.id {
		t.Fatalf("a got %+v", m)
	}
	c := s.connect(t, shoal)
	c.join(room)
	m := c.expect(protocol.TypeJoined)
	want := []protocol.PeerInfo{{ID: a.id, Dialect: shoal}, {ID: b.id, Dialect: rxdb}}
	slices.SortFunc(want, func(a, b protocol.PeerInfo) int { return map[bool]int{true: -1, false: 1}[a.ID < b.ID] })
	if !slices.Equal(m.Peers, want) {
		t.Fatalf("joined %+v, want %+v", m.Peers, want)
	}
	d := s.connect(t, rxdb)
	d.join(room)
	b.list(b.id, d.id)
	d.list(b.id, d.id)
	if m := c.expect(protocol.TypePeerJoined); m.Peer.ID != d.id {
		t.Fatalf("peerJoined %+v", m)
	}
	a.conn.Close()
	if m := c.expect(protocol.TypePeerLeft); m.PeerID != a.id {
		t.Fatalf("peerLeft %+v", m)
	}
}

func TestSignalsStayInTheirRoom(t *testing.T) {
	s := serve(t, nil)
	a, b := s.connect(t, rxdb), s.connect(t, shoal)
	a.join("room-a")
	a.list(a.id)
	b.join("room-b")
	b.expect(protocol.TypeJoined)
	for _, r := range []string{"room-a", "room-b"} {
		a.signal(r, b.id, `1`)
		a.sync()
		b.signal(r, a.id, `1`)
	}
	b.expectError(protocol.CodeNotInRoom)
	b.expectError(protocol.CodeUnknownPeer)
	b.ping()
	a.ping2(t)
}

func TestResume(t *testing.T) {
	s := serve(t, nil)
	watcher, old := s.connect(t, shoal), s.connect(t, shoal)
	other := s.connect(t, rxdb)
	for _, p := range []*peer{watcher, old} {
		p.join(room)
		p.expect(protocol.TypeJoined)
	}
	watcher.expect(protocol.TypePeerJoined)
	other.join(room)
	other.list(other.id)
	watcher.expect(protocol.TypePeerJoined)

	p := s.dial(t, shoal)
	p.greet(shoal, old.resume)
	if p.id != old.id {
		t.Fatalf("id %s, want %s", p.id, old.id)
	}
	old.expect(protocol.TypePeerJoined) // other's
	old.expectError(protocol.CodeReplaced)
	old.expectClose(ws.StatusPolicyViolation)
	old.expectEnd()
	watcher.ping() // nobody noticed
	watcher.signal(room, p.id, `"to the new one"`)
	if m := p.expect(protocol.TypeSignal); m.SenderPeerID != watcher.id {
		t.Fatalf("signal %+v", m)
	}
	p.join(room)
	if m := p.expect(protocol.TypeJoined); len(m.Peers) != 2 {
		t.Fatalf("joined %+v", m)
	}
	watcher.ping()
	p.conn.Close()
	if m := watcher.expect(protocol.TypePeerLeft); m.PeerID != p.id {
		t.Fatalf("peerLeft %+v", m)
	}
	other.ping2(t)

	back := s.dial(t, shoal) // nobody has the id now
	back.greet(shoal, p.resume)
	if back.id != p.id {
		t.Fatalf("id %s, want %s", back.id, p.id)
	}
}

func TestResumeRefused(t *testing.T) {
	s, elsewhere := serve(t, nil), serve(t, nil)
	a, b := s.connect(t, shoal), elsewhere.connect(t, shoal)
	r := s.connect(t, rxdb)
	for _, token := range []string{
		a.id, a.id + ".", a.resume + "x", a.resume[:len(a.resume)-1], b.resume, r.id + a.resume[len(a.id):], ".", "x",
	} {
		p := s.dial(t, shoal)
		p.greet(shoal, token)
		if p.id == a.id || p.id == b.id || p.id == r.id {
			t.Fatalf("token %q gave %s", token, p.id)
		}
	}
	a.ping()
}

// TestResumeKey lets a peer keep its id when the server is another.
func TestResumeKey(t *testing.T) {
	opts := &hub.Options{ResumeKey: []byte("a key that two servers share")}
	s, next := serve(t, opts), serve(t, opts)
	a := s.connect(t, shoal)
	p := next.dial(t, shoal)
	p.greet(shoal, a.resume)
	if p.id != a.id {
		t.Fatalf("id %s, want %s", p.id, a.id)
	}
}

func TestICEServersBeforeTheFirstRoom(t *testing.T) {
	s := serve(t, &hub.Options{ICEServers: func(peer string, _ bool) ([]protocol.ICEServer, time.Duration) {
		return []protocol.ICEServer{{URLs: []string{"turn:127.0.0.1"}, Username: peer, Credential: "c"}}, time.Hour
	}})
	a := s.connect(t, shoal)
	a.ping()
	a.join(room)
	if m := a.expect(protocol.TypeICE); m.TTL != 3600 || len(m.ICEServers) != 1 || m.ICEServers[0].Username != a.id {
		t.Fatalf("ice %+v", m)
	}
	a.expect(protocol.TypeJoined)
	a.join("another-room")
	a.expect(protocol.TypeJoined)
	b := s.connect(t, rxdb)
	b.join(room)
	b.list(b.id)
}

func TestAuthorize(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, &hub.Options{Authorize: func(room, token string) (hub.Grant, error) {
		if token == "slow" {
			<-release
		}
		if token == "bad" {
			return hub.Grant{}, errors.New("token expired")
		}
		return hub.Grant{}, nil
	}})
	a, b := s.connect(t, shoal), s.connect(t, shoal)
	a.say(&protocol.Message{Type: protocol.TypeJoin, Room: room, Token: "bad"})
	if m := a.expectError(protocol.CodeUnauthorized); m.Room != room || m.Text != "token expired" {
		t.Fatalf("error %+v", m)
	}
	a.say(&protocol.Message{Type: protocol.TypeJoin, Room: room, Token: "slow"})
	a.say(&protocol.Message{Type: protocol.TypePing}) // waits behind the join
	b.say(&protocol.Message{Type: protocol.TypeJoin, Room: room, Token: "good"})
	if m := b.expect(protocol.TypeJoined); len(m.Peers) != 0 {
		t.Fatalf("joined %+v", m)
	}
	b.ping() // others do not wait
	close(release)
	if m := a.expect(protocol.TypeJoined); len(m.Peers) != 1 {
		t.Fatalf("joined %+v", m)
	}
	a.expect(protocol.TypePong)
}
