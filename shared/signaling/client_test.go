package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// inRoom returns a client that is in roomA with the peers, and its connection.
func inRoom(t *testing.T, s *fakeServer, opts *Options, peers ...string) (*Client, *fakeConn) {
	t.Helper()
	c := s.start(opts)
	conn := s.accept()
	conn.greet("", self)
	want(t, c, Connected{Self: self})
	if err := c.Join(roomA); err != nil {
		t.Fatal(err)
	}
	conn.expect(joinA)
	conn.say(joined(roomA, peers...))
	want(t, c, Joined{Room: roomA})
	for _, p := range peers {
		want(t, c, arrived(roomA, p))
	}
	return c, conn
}

func TestRoomEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := inRoom(t, newFakeServer(t), nil, peerX)
		conn.say(`{"type":"peerJoined","room":"room-a","peer":{"id":"rrrrrrrrrrrr","dialect":"rxdb"}}`)
		want(t, c, PeerJoined{Room: roomA, Peer: "rrrrrrrrrrrr", Dialect: protocol.DialectRxDB})
		conn.say(`{"type":"peerJoined","room":"room-a","peer":{"id":"xxxxxxxxxxxx","dialect":"shoal.v1"}}`) // known
		conn.say(`{"type":"peerLeft","room":"room-a","peerId":"nobodynobody"}`)                             // not known
		conn.say(`{"type":"peerJoined","room":"room-a","peer":{"id":"selfselfself","dialect":"shoal.v1"}}`) // itself
		conn.say(`{"type":"peerJoined","room":"room-b","peer":{"id":"yyyyyyyyyyyy","dialect":"shoal.v1"}}`) // elsewhere
		conn.say(`{"type":"from the future","room":"room-a"}`)
		conn.say(`{"type":"peerLeft","room":"room-a","peerId":"xxxxxxxxxxxx"}`)
		want(t, c, PeerLeft{Room: roomA, Peer: peerX})
		conn.say(joined(roomA, peerY)) // asked again, or not
		want(t, c, PeerLeft{Room: roomA, Peer: "rrrrrrrrrrrr"})
		want(t, c, arrived(roomA, peerY))
		if err := c.Join(roomA); err != nil {
			t.Fatal(err)
		}
		conn.quiet()
		if err := c.Leave(roomA); err != nil {
			t.Fatal(err)
		}
		conn.expect(leaveA)
		conn.say(`{"type":"peerLeft","room":"room-a","peerId":"yyyyyyyyyyyy"}`)
		conn.say(`{"type":"signal","room":"room-a","senderPeerId":"yyyyyyyyyyyy","receiverPeerId":"selfselfself","data":1}`)
		none(t, c)
	})
}

func TestSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := inRoom(t, newFakeServer(t), nil, peerX)
		if err := c.Send(t.Context(), roomA, peerX, json.RawMessage(`{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		conn.expect(`{"type":"signal","room":"room-a","senderPeerId":"selfselfself","receiverPeerId":"xxxxxxxxxxxx","data":{"n":1}}`)
		if err := c.SendAttempt(t.Context(), roomA, peerX, "try", json.RawMessage(`2`)); err != nil {
			t.Fatal(err)
		}
		conn.expect(`{"type":"signal","room":"room-a","senderPeerId":"selfselfself","receiverPeerId":"xxxxxxxxxxxx","data":2,"connectionId":"try"}`)
		conn.say(`{"type":"signal","room":"room-a","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"selfselfself","data":{"s":"\u0001"},"connectionId":"c"}`)
		got, ok := event(t, c).(Signal)
		if !ok || got.Room != roomA || got.Peer != peerX || string(got.Data) != `{"s":"\u0001"}` || got.ConnectionID != "c" {
			t.Fatalf("signal %+v", got)
		}
		conn.say(`{"type":"signal","room":"room-a","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"somebodyelse","data":1}`)
		conn.say(`{"type":"error","code":"unknown_peer","message":"gone","room":"room-a","receiverPeerId":"xxxxxxxxxxxx"}`)
		refused, ok := event(t, c).(Refused)
		if !ok || refused.Peer != peerX || !errors.Is(refused.Err, protocol.ErrUnknownPeer) {
			t.Fatalf("refused %+v", refused)
		}
		big := json.RawMessage(`"` + strings.Repeat("x", protocol.MaxSignalingMessage) + `"`)
		if err := c.Send(t.Context(), roomA, peerX, big); !errors.Is(err, protocol.ErrTooBig) {
			t.Errorf("big: %v", err)
		}
		if err := c.Send(t.Context(), roomA, peerX, json.RawMessage(`{`)); err == nil {
			t.Error("bad JSON was sent")
		}
		conn.quiet()
	})
}

// TestReconnect tells only what changed meanwhile.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c, conn := inRoom(t, s, nil, peerX, peerY)
		conn.close()
		wantDisconnected(t, c, net.ErrClosed)
		if err := c.Send(t.Context(), roomA, peerX, json.RawMessage(`1`)); !errors.Is(err, ErrDisconnected) {
			t.Errorf("send: %v", err)
		}
		if err := c.Join(roomB); err != nil {
			t.Fatal(err)
		}
		conn = s.accept()
		conn.greet("token-of-"+self, self)
		want(t, c, Connected{Self: self})
		for range 2 {
			switch join := string(<-conn.up); join {
			case joinA:
				conn.say(joined(roomA, peerY, peerZ))
			case joinB:
			default:
				t.Fatalf("client said %s", join)
			}
		}
		want(t, c, Joined{Room: roomA})
		want(t, c, PeerLeft{Room: roomA, Peer: peerX})
		want(t, c, arrived(roomA, peerZ))
		conn.say(joined(roomB, peerX))
		want(t, c, Joined{Room: roomB})
		want(t, c, arrived(roomB, peerX))
		none(t, c)
	})
}

// TestLeaveWhileAway leaves at the server what was left while there was no connection, or was about to break.
func TestLeaveWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c, conn := inRoom(t, s, nil)
		conn.close()
		wantDisconnected(t, c, nil)
		c.Leave(roomA)
		conn = s.accept()
		conn.greet("token-of-"+self, self)
		conn.expect(leaveA)
		want(t, c, Connected{Self: self})
		conn.close() // perhaps before the server got it
		wantDisconnected(t, c, nil)
		conn = s.accept()
		conn.greet("token-of-"+self, self)
		conn.expect(leaveA)
		want(t, c, Connected{Self: self})
		conn.expect(ping)
		conn.say(pong) // now it has it
		synctest.Wait()
		conn.close()
		wantDisconnected(t, c, nil)
		conn = s.accept()
		conn.greet("token-of-"+self, self)
		want(t, c, Connected{Self: self})
		conn.quiet()
		c.Join(roomB)
		conn.expect(joinB)
		c.Leave(roomB)
		conn.expect(`{"type":"leave","room":"room-b"}`)
		conn.close()
		wantDisconnected(t, c, nil)
		conn = s.accept()
		conn.greet("token-of-"+self, "newnewnewnew") // a server that knows nothing
		want(t, c, Connected{Self: "newnewnewnew"})
		conn.quiet()
	})
}

// TestManyRooms joins more rooms at once than the server takes at once.
func TestManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 2000 // twice what the fake takes unread
		s := newFakeServer(t)
		c := s.start(nil)
		for i := range rooms {
			if err := c.Join(fmt.Sprintf("room-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		asked := make(map[string]bool)
		for _, resume := range []string{"", "token-of-" + self} {
			conn := s.accept()
			conn.greet(resume, self)
			want(t, c, Connected{Self: self})
			none(t, c)
			clear(asked)
			for range rooms {
				asked[string(<-conn.up)] = true
			}
			if len(asked) != rooms {
				t.Errorf("asked for %d rooms", len(asked))
			}
			conn.quiet()
			conn.close()
			wantDisconnected(t, c, net.ErrClosed)
		}
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.down = true
		c := s.start(nil)
		for range 10 {
			wantDisconnected(t, c, nil)
		}
		synctest.Wait()
		limit := protocol.ReconnectMin
		for i := 1; i < len(s.dials); i++ {
			d := s.dials[i].Sub(s.dials[i-1])
			if d < limit/2 || d > limit {
				t.Errorf("waited %v before attempt %d, want %v to %v", d, i, limit/2, limit)
			}
			limit = min(2*limit, protocol.ReconnectMax)
		}
		n := len(s.dials)
		c.Wake()
		synctest.Wait()
		if len(s.dials) != n+1 {
			t.Error("Wake does not try at once")
		}
		s.down = false
		c.Wake()
		conn := s.accept()
		conn.greet("", self)
		wantDisconnected(t, c, nil)
		want(t, c, Connected{Self: self})
		time.Sleep(stable)
		conn.close()
		before := time.Now()
		s.accept()
		if d := time.Since(before); d > protocol.ReconnectMin {
			t.Errorf("after a connection that lasted: %v", d)
		}
	})
}

func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c, conn := inRoom(t, s, nil)
		for range 10 {
			conn.expect(ping)
			conn.say(pong)
		}
		began := time.Now()
		wantDisconnected(t, c, errSilent)
		if d := time.Since(began); d > protocol.ShoalPingInterval+pongWait {
			t.Errorf("noticed after %v", d)
		}
	})
}

func TestWakeFindsDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c, conn := inRoom(t, s, nil)
		c.Wake()
		conn.expect(ping)
		conn.say(pong)
		time.Sleep(2 * wakeWait)
		none(t, c)
		c.Wake()
		began := time.Now()
		wantDisconnected(t, c, errSilent)
		if d := time.Since(began); d > wakeWait {
			t.Errorf("noticed after %v", d)
		}
	})
}

// TestReplaced does not fight with whoever resumed the peer.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c, conn := inRoom(t, s, nil)
		conn.say(`{"type":"error","code":"replaced","message":"another connection resumed this peer"}`)
		wantDisconnected(t, c, protocol.ErrReplaced)
		s.accept().greet("", "newnewnewnew")
		want(t, c, Connected{Self: "newnewnewnew"})
	})
}

func TestRefusedJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := s.start(nil)
		if err := c.Join("five5"); !errors.Is(err, protocol.ErrBadRoom) {
			t.Errorf("bad name: %v", err)
		}
		c.Join(roomA)
		conn := s.accept()
		conn.greet("", self)
		conn.expect(joinA)
		want(t, c, Connected{Self: self})
		conn.say(`{"type":"error","code":"room_full","message":"room is full","room":"room-a"}`)
		refused, ok := event(t, c).(Refused)
		if !ok || refused.Room != roomA || refused.Peer != "" || !errors.Is(refused.Err, protocol.ErrRoomFull) {
			t.Fatalf("refused %+v", refused)
		}
		conn.quiet()
		c.Join(roomA)
		conn.expect(joinA)
		conn.close()
		wantDisconnected(t, c, nil)
		conn = s.accept()
		conn.greet("token-of-"+self, self)
		conn.expect(joinA)
	})
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		fail := errors.New("no session")
		release := make(chan struct{})
		c := s.start(&Options{Token: func(ctx context.Context, room string) (string, error) {
			switch room {
			case roomB:
				return "", fail
			case "room-slow":
				select {
				case <-release:
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			return "token-for-" + room, nil
		}})
		c.Join("room-slow")
		conn := s.accept()
		conn.greet("", self)
		want(t, c, Connected{Self: self})
		c.Join(roomA)
		conn.expect(`{"type":"join","room":"room-a","token":"token-for-room-a"}`)
		c.Join(roomB)
		refused, ok := event(t, c).(Refused)
		if !ok || refused.Room != roomB || !errors.Is(refused.Err, fail) {
			t.Fatalf("refused %+v", refused)
		}
		close(release)
		conn.expect(`{"type":"join","room":"room-slow","token":"token-for-room-slow"}`)
		conn.close()
		wantDisconnected(t, c, nil)
	})
}

// TestCloseWhileWaiting closes in every state.
func TestCloseWhileWaiting(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, s *fakeServer) *Client{
		"dialling":      func(t *testing.T, s *fakeServer) *Client { s.hangs = true; return s.start(nil) },
		"backing off":   func(t *testing.T, s *fakeServer) *Client { s.down = true; return s.start(nil) },
		"shaking hands": func(t *testing.T, s *fakeServer) *Client { c := s.start(nil); s.accept(); return c },
		"connected":     func(t *testing.T, s *fakeServer) *Client { c, _ := inRoom(t, s, nil); return c },
		"getting a token": func(t *testing.T, s *fakeServer) *Client {
			c := s.start(&Options{Token: func(ctx context.Context, _ string) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}})
			c.Join(roomA)
			s.accept().greet("", self)
			return c
		},
		"nobody takes the events": func(t *testing.T, s *fakeServer) *Client {
			c, conn := inRoom(t, s, nil)
			for range 2 * eventQueue {
				conn.say(`{"type":"signal","room":"room-a","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"selfselfself","data":1}`)
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := prepare(t, newFakeServer(t))
				synctest.Wait()
				began := time.Now()
				c.Close()
				if d := time.Since(began); d > closeWait {
					t.Errorf("took %v", d)
				}
				if _, err := c.Next(t.Context()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("next: %v", err)
				}
				for _, err := range []error{c.Join(roomB), c.Leave(roomA), c.Send(t.Context(), roomA, peerX, json.RawMessage(`1`)), c.Close()} {
					if err != nil && !errors.Is(err, net.ErrClosed) {
						t.Errorf("after Close: %v", err)
					}
				}
			})
		})
	}
}

func TestNotASignalingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := s.start(nil)
		s.accept().say(`{"type":"welcome"}`)
		wantDisconnected(t, c, protocol.ErrBadMessage)
		s.accept().say(`<html>`)
		wantDisconnected(t, c, protocol.ErrBadMessage)
		s.accept().say(`{"type":"error","code":"idle","message":"no hello"}`)
		wantDisconnected(t, c, protocol.ErrIdle)
		s.accept() // says nothing
		wantDisconnected(t, c, context.DeadlineExceeded)
		conn := s.accept()
		conn.greet("", self)
		want(t, c, Connected{Self: self})
		conn.say(`null`)
		wantDisconnected(t, c, protocol.ErrBadMessage)
	})
}

func TestRxDBDialect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := s.start(&Options{Dialect: protocol.DialectRxDB})
		c.Join(roomA)
		if err := c.Join(roomB); !errors.Is(err, ErrOneRoom) {
			t.Errorf("second room: %v", err)
		}
		conn := s.accept()
		conn.quiet()
		conn.say(`{"type":"init","yourPeerId":"selfselfself"}`)
		want(t, c, Connected{Self: self})
		conn.expect(joinA)
		conn.say(`{"type":"joined","otherPeerIds":["selfselfself","xxxxxxxxxxxx"]}`)
		want(t, c, Joined{Room: roomA})
		want(t, c, PeerJoined{Room: roomA, Peer: peerX, Dialect: protocol.DialectRxDB})
		conn.say(`{"type":"joined","otherPeerIds":["selfselfself","yyyyyyyyyyyy"]}`)
		want(t, c, PeerLeft{Room: roomA, Peer: peerX})
		want(t, c, PeerJoined{Room: roomA, Peer: peerY, Dialect: protocol.DialectRxDB})
		for range 5 { // nobody answers these
			conn.expect(ping)
		}
		none(t, c) // the last of the probes included
		conn.dead.Store(true)
		wantDisconnected(t, c, errSilent)
		conn = s.accept()
		conn.say(`{"type":"init","yourPeerId":"otherotherot"}`)
		want(t, c, Connected{Self: "otherotherot"})
		conn.expect(joinA)
		conn.say(`{"type":"joined","otherPeerIds":["otherotherot","yyyyyyyyyyyy"]}`)
		want(t, c, Joined{Room: roomA})
		none(t, c)
		c.Leave(roomA)
		wantDisconnected(t, c, errLeft)
		if err := c.Join(roomB); err != nil {
			t.Fatal(err)
		}
		conn = s.accept()
		conn.say(`{"type":"init","yourPeerId":"selfselfself"}`)
		conn.expect(joinB)
	})
}

// TestRelayPieces: pieces go last, and what is no piece, or not for this client, is passed over.
func TestRelayPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := inRoom(t, newFakeServer(t), nil, peerX)
		if err := c.Relay(t.Context(), roomA, peerX, []byte{0, 1, 0xff}); err != nil {
			t.Fatal(err)
		}
		conn.expect(`{"type":"relay","room":"room-a","senderPeerId":"selfselfself","receiverPeerId":"xxxxxxxxxxxx","data":"AAH/"}`)
		const from = `{"type":"relay","room":"room-a","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"selfselfself","data":`
		for _, data := range []string{`1`, `"?"`, `""`, `null`, `["AAH/"]`} {
			conn.say(from + data + `}`)
		}
		conn.say(`{"type":"relay","room":"room-a","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"somebodyelse","data":"AAH/"}`)
		conn.say(`{"type":"relay","room":"room-b","senderPeerId":"xxxxxxxxxxxx","receiverPeerId":"selfselfself","data":"AAH/"}`)
		conn.say(from + `"AAH\/"}`)
		if got, ok := event(t, c).(Relayed); !ok || got.Room != roomA || got.Peer != peerX || string(got.Piece) != "\x00\x01\xff" {
			t.Fatalf("relayed %+v", got)
		}
		for code, want := range map[string]error{
			"relay_limit": protocol.ErrRelayLimit, "relay_busy": protocol.ErrRelayBusy, "relay_denied": protocol.ErrRelayDenied,
		} {
			conn.say(`{"type":"error","code":"` + code + `","message":"not relayed","room":"room-a","receiverPeerId":"xxxxxxxxxxxx"}`)
			if got, ok := event(t, c).(Refused); !ok || got.Peer != peerX || !errors.Is(got.Err, want) {
				t.Errorf("refused %+v, want %v", got, want)
			}
		}
		conn.quiet()
	})
}
