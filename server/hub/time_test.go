package hub_test

import (
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// elapse lets d pass in a bubble, and whatever it causes happen.
func elapse(d time.Duration) {
	time.Sleep(d) // in a bubble, whose clock is not real
	synctest.Wait()
}

// TestTwoMinuteRule ends connections of clients that do not say ping, though they answer WebSocket pings.
func TestTwoMinuteRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, nil)
		a, b, c := s.connect(t, rxdb), s.connect(t, shoal), s.connect(t, rxdb)
		a.join(room)
		b.join(room)
		c.join(room)
		fromA, fromB := a.collect(), b.collect()
		c.collect()
		for range 10 {
			elapse(time.Minute)
			a.text(`{"type":"ping"}`)
			b.text(`{"type":"ping"}`)
			c.text(`{"type":"ping"}`)
		}
		elapse(0)
		if ended, _ := fromA.ended(); ended {
			t.Fatal("a client that says ping was cut off")
		}
		fromA.take()
		fromB.take()
		elapse(118 * time.Second)
		a.text(`{"type":"ping"}`)
		elapse(4 * time.Second)
		if ended, status := fromB.ended(); !ended || status != ws.StatusPolicyViolation {
			t.Fatalf("silent client: ended %t with %d", ended, status)
		}
		if m := fromB.take(); len(m) == 0 || m[0].Code != protocol.CodeIdle {
			t.Fatalf("silent client was told %+v", m)
		}
		if m := fromA.take(); len(m) != 1 || len(m[0].OtherPeerIDs) != 1 || m[0].OtherPeerIDs[0] != a.id {
			t.Fatalf("the other was told %+v", m)
		}
	})
}

// TestNoLimit lets clients be as silent as they like where the limits of silence are negative, or so long that they are none.
func TestNoLimit(t *testing.T) {
	for _, d := range []time.Duration{-1, math.MaxInt64} {
		synctest.Test(t, func(t *testing.T) {
			s := serveInBubble(t, &hub.Options{HandshakeTimeout: d, PingInterval: d, PingTimeout: d, IdleTimeout: d, WriteTimeout: d})
			s.connect(t, rxdb)
			elapse(time.Hour)
			if got := s.Stats().Connections; got != 1 {
				t.Errorf("%d: %d connections after an hour", d, got)
			}
		})
	}
}

// TestDeadSocket notices a client that takes everything and answers nothing.
func TestDeadSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, nil)
		a, b := s.connect(t, shoal), s.connect(t, shoal)
		a.join(room)
		fromA := a.collect()
		b.join(room)
		b.expect(protocol.TypeJoined)
		go io.Copy(io.Discard, b.conn)
		elapse(20 * time.Second)
		if got := s.Stats().Connections; got != 2 {
			t.Fatalf("%d connections", got)
		}
		fromA.take()
		elapse(12 * time.Second)
		if m := fromA.take(); len(m) != 1 || m[0].Type != protocol.TypePeerLeft || m[0].PeerID != b.id {
			t.Fatalf("after half a minute: %+v", m)
		}
	})
}

// TestStoppedReader cuts off a client that has stopped reading, for which something waits.
func TestStoppedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{PingInterval: time.Hour})
		a, b := s.connect(t, shoal), s.connect(t, shoal)
		a.join(room)
		fromA := a.collect()
		b.join(room)
		b.expect(protocol.TypeJoined)
		a.signal(room, b.id, `"not read"`)
		elapse(9 * time.Second)
		if got := s.Stats().Connections; got != 2 {
			t.Fatalf("%d connections", got)
		}
		elapse(4 * time.Second)
		if m := fromA.take(); len(m) < 2 || m[len(m)-1].Type != protocol.TypePeerLeft || s.Stats().Connections != 1 {
			t.Fatalf("stopped reader is still there: %+v", m)
		}
	})
}

func TestNoHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, nil)
		client, far := net.Pipe()
		s.l.conns <- far
		p := upgrade(t, client, shoal)
		p.conn.SetDeadline(time.Time{})
		from := p.collect()
		elapse(9 * time.Second)
		if ended, _ := from.ended(); ended {
			t.Fatal("too early")
		}
		elapse(4 * time.Second)
		if ended, status := from.ended(); !ended || status != ws.StatusPolicyViolation {
			t.Fatalf("ended %t with %d", ended, status)
		}
	})
}

// TestEndedClientThatStays is told that it is over and does not go.
func TestEndedClientThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, nil)
		p := s.connect(t, rxdb)
		p.text("null")
		go io.Copy(io.Discard, p.conn)
		go func() {
			for range 1000 {
				if _, err := p.conn.Write([]byte("more and more and more")); err != nil {
					return
				}
			}
		}()
		elapse(8 * time.Second)
		if got := s.Stats().Connections; got != 0 {
			t.Fatalf("%d connections", got)
		}
	})
}

// TestRate slows a client down that sends faster than it may, and loses nothing.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, &hub.Options{Rate: 10, Burst: 20})
		a, b := s.connect(t, shoal), s.connect(t, shoal)
		a.join(room)
		b.join(room)
		fromA, fromB := a.collect(), b.collect()
		elapse(time.Minute)
		a.text(`{"type":"ping"}`)
		b.text(`{"type":"ping"}`)
		elapse(10 * time.Second) // both have their burst again
		fromA.take()
		fromB.take()
		go func() {
			for n := range 120 {
				a.signal(room, b.id, fmt.Sprint(n))
			}
		}()
		elapse(time.Second)
		total := len(fromB.take())
		if total < 28 || total > 32 {
			t.Errorf("%d in the first second", total)
		}
		elapse(time.Second)
		got := len(fromB.take())
		if got < 9 || got > 11 {
			t.Errorf("%d in the next", got)
		}
		total += got
		b.text(`{"type":"ping"}`)
		elapse(0)
		if m := fromB.take(); len(m) == 0 || m[len(m)-1].Type != protocol.TypePong {
			t.Errorf("another client waits too")
		}
		elapse(9 * time.Second)
		if total += len(fromB.take()); total != 120 {
			t.Errorf("%d of 120 arrived", total)
		}
		if s.Stats().Delayed == 0 || s.Stats().Cut != 0 {
			t.Errorf("%+v", s.Stats())
		}
		// Long messages cost more.
		go a.signal(room, b.id, `"`+strings.Repeat("x", 60000)+`"`)
		elapse(time.Second)
		fromB.take()
		go a.signal(room, b.id, `2`)
		elapse(2 * time.Second)
		if got := len(fromB.take()); got != 0 {
			t.Error("60 KB cost no more than a byte")
		}
		elapse(10 * time.Second)
		if got := len(fromB.take()); got != 1 {
			t.Errorf("%d arrived", got)
		}
	})
}

// TestListsAreGathered counts what the first member is sent while many join.
func TestListsAreGathered(t *testing.T) {
	for _, dialect := range []protocol.Dialect{shoal, rxdb} {
		t.Run(string(dialect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const joiners = 100
				s := serveInBubble(t, &hub.Options{RxDBMesh: true})
				first := s.connect(t, dialect)
				first.join(room)
				fromFirst := first.collect()
				elapse(time.Second)
				fromFirst.take()
				var all []*peer
				var collectors []*collector
				for range joiners {
					p := s.connect(t, dialect)
					collectors = append(collectors, p.collect())
					all = append(all, p)
				}
				for _, p := range all {
					p.join(room)
				}
				elapse(time.Second)
				m := fromFirst.take()
				if dialect == rxdb {
					if len(m) > 10 || len(m[len(m)-1].OtherPeerIDs) != joiners+1 {
						t.Errorf("%d lists", len(m))
					}
				} else if len(m) != joiners {
					t.Errorf("%d changes", len(m))
				}
				for i, c := range collectors {
					if got := view(c.take(), all[i].id); len(got) != joiners {
						t.Errorf("%d sees %d others", i, len(got))
					}
				}
				time.Sleep(time.Second)
				first.join("a-quiet-room")
				synctest.Wait()
				if m := fromFirst.take(); len(m) != 1 {
					t.Errorf("not at once in a quiet room: %+v", m)
				}
			})
		})
	}
}

// view is who a client believes is in its room besides itself, after the messages of either dialect, and the bridges of those.
func view(messages []*protocol.Message, self string) map[string]string {
	seen := make(map[string]string)
	for _, m := range messages {
		switch m.Type {
		case protocol.TypeJoined:
			clear(seen)
			for _, p := range m.Peers {
				seen[p.ID] = p.ServedBy
			}
			for _, id := range m.OtherPeerIDs {
				seen[id] = ""
			}
		case protocol.TypePeerJoined:
			seen[m.Peer.ID] = m.Peer.ServedBy
		case protocol.TypePeerLeft:
			delete(seen, m.PeerID)
		}
	}
	delete(seen, self)
	return seen
}
