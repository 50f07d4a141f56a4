package hub_test

import (
	"fmt"
	"testing"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

func (p *peer) joinAs(room string, role protocol.Role) {
	p.t.Helper()
	p.say(&protocol.Message{Type: protocol.TypeJoin, Room: room, RxDB: role.RxDB, AlwaysOn: role.AlwaysOn})
}

// served reads a peerJoined of an RxDB client, which must be with that bridge.
func (p *peer) served(client, bridge string) {
	p.t.Helper()
	want := protocol.PeerInfo{ID: client, Dialect: rxdb, ServedBy: bridge}
	if m := p.expect(protocol.TypePeerJoined); *m.Peer != want {
		p.t.Fatalf("peerJoined %+v, want %+v", *m.Peer, want)
	}
}

// TestBridges has RxDB clients change from each other to a bridge, from that to the next, and back.
func TestBridges(t *testing.T) {
	s := serve(t, nil)
	a, b, plain := s.connect(t, rxdb), s.connect(t, rxdb), s.connect(t, shoal)
	a.join(room)
	a.list(a.id)
	b.join(room)
	a.list(a.id, b.id)
	b.list(a.id, b.id)
	plain.join(room)
	if m := plain.expect(protocol.TypeJoined); len(m.Peers) != 2 || m.Peers[0].ServedBy != "" || m.Peers[1].ServedBy != "" {
		t.Fatalf("joined %+v", m)
	}

	first := s.connect(t, shoal)
	first.joinAs(room, protocol.Role{RxDB: true, AlwaysOn: true})
	for _, p := range first.expect(protocol.TypeJoined).Peers {
		if want := map[string]string{a.id: first.id}[p.ID]; p.ServedBy != want {
			t.Fatalf("%s is with %q, want %q", p.ID, p.ServedBy, want)
		}
	}
	plain.expect(protocol.TypePeerJoined)
	plain.served(a.id, first.id)
	a.list(a.id, b.id, first.id)
	c := s.connect(t, rxdb)
	c.join(room)
	c.list(c.id, first.id)
	for _, p := range []*peer{plain, first} {
		p.served(c.id, first.id)
	}

	next := s.connect(t, shoal)
	next.joinAs(room, protocol.Role{RxDB: true})
	next.expect(protocol.TypeJoined)
	first.conn.Close()
	next.expect(protocol.TypePeerLeft)
	next.served(a.id, next.id)
	next.served(c.id, next.id)
	a.list(a.id, b.id, next.id)
	c.list(c.id, next.id)

	next.joinAs(room, protocol.Role{}) // it is no bridge any more
	for _, p := range next.expect(protocol.TypeJoined).Peers {
		if p.ServedBy != "" {
			t.Fatalf("%s is with %q", p.ID, p.ServedBy)
		}
	}
	a.list(a.id, b.id, c.id)
	c.list(a.id, c.id)
}

// TestRxDBMesh names all to all, in RxDB's bytes.
func TestRxDBMesh(t *testing.T) {
	s := serve(t, &hub.Options{RxDBMesh: true})
	bridge, plain, a := s.connect(t, shoal), s.connect(t, shoal), s.connect(t, rxdb)
	bridge.joinAs(room, protocol.Role{RxDB: true})
	bridge.expect(protocol.TypeJoined)
	plain.join(room)
	plain.expect(protocol.TypeJoined)
	a.join(room)
	text := fmt.Sprintf(`{"type":"joined","otherPeerIds":["%s","%s"]}`, min(a.id, bridge.id), max(a.id, bridge.id))
	if h, got, err := a.frame(); err != nil || h.OpCode != ws.OpText || string(got) != text {
		t.Fatalf("got %s, %v, want %s", got, err, text)
	}
	plain.served(a.id, protocol.ServedByAll)
	b, c := s.connect(t, rxdb), s.connect(t, rxdb)
	b.join(room)
	c.join(room)
	for _, p := range []*peer{a, b, c} {
		p.list(a.id, b.id, c.id, bridge.id)
	}
}
