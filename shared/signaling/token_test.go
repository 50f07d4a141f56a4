package signaling

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// counted returns a token callback that numbers its tokens, and fails while broken.
func counted(broken *atomic.Bool) func(context.Context, string) (string, error) {
	n := 0
	return func(context.Context, string) (string, error) {
		if broken.Load() {
			return "", errors.New("no session")
		}
		n++
		return fmt.Sprintf("token%d", n), nil
	}
}

func joinWith(token string) string {
	return `{"type":"join","room":"room-a","token":"` + token + `"}`
}

// expectJoin returns after how long the client asks for roomA with that token; it may say ping before.
func (c *fakeConn) expectJoin(token string) time.Duration {
	c.t.Helper()
	began := time.Now()
	for {
		select {
		case got := <-c.up:
			if string(got) == joinWith(token) {
				return time.Since(began)
			}
			if string(got) != ping {
				c.t.Fatalf("client said %s, want %s", got, token)
			}
			c.say(pong)
		case <-time.After(2 * time.Hour):
			c.t.Fatalf("client does not ask with %s", token)
		}
	}
}

func joinedFor(ttl int) string {
	return strings.TrimSuffix(joined(roomA, peerX), "}") + fmt.Sprintf(`,"ttl":%d}`, ttl)
}

func TestTokenRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		var broken atomic.Bool
		c := s.start(&Options{Token: counted(&broken)})
		c.Join(roomA)
		conn := s.accept()
		conn.greet("", self)
		want(t, c, Connected{Self: self})
		conn.expect(joinWith("token1"))
		conn.say(joinedFor(800))
		want(t, c, Joined{Room: roomA})
		want(t, c, arrived(roomA, peerX))
		for n := 2; n < 5; n++ {
			if d := conn.expectJoin(fmt.Sprintf("token%d", n)); d < 500*time.Second || d > 600*time.Second {
				t.Errorf("renewed after %v of 800 s", d)
			}
			conn.say(joinedFor(800))
			none(t, c) // nobody notices
		}
		broken.Store(true)
		for n := 0; n < 3; { // tries again and again
			select {
			case <-conn.up:
				conn.say(pong)
			case e := <-c.events:
				if r, ok := e.(Refused); !ok || r.Room != roomA {
					t.Fatalf("event %T%+v", e, e)
				}
				n++
			}
		}
		broken.Store(false)
		if d := conn.expectJoin("token5"); d > protocol.ReconnectMax {
			t.Errorf("asked again after %v", d)
		}
		conn.say(joinedFor(800))
		synctest.Wait()
		conn.say(`{"type":"error","code":"token_expired","room":"room-a"}`) // all the same, its clock is another
		refused, ok := event(t, c).(Refused)
		if !ok || !errors.Is(refused.Err, protocol.ErrExpired) {
			t.Fatalf("%+v", refused)
		}
		if d := conn.expectJoin("token6"); d > time.Second {
			t.Errorf("asked after %v", d)
		}
		conn.say(joined(roomA, peerX)) // from now on without an end
		want(t, c, Joined{Room: roomA})
		none(t, c)
		conn.say(`{"type":"error","code":"unauthorized","room":"room-a"}`)
		if refused, ok := event(t, c).(Refused); !ok || !errors.Is(refused.Err, protocol.ErrUnauthorized) {
			t.Fatalf("%+v", refused)
		}
		for range 20 { // what the server does not want is not repeated by itself
			conn.expect(ping)
			conn.say(pong)
		}
		c.Join(roomA)
		conn.expectJoin("token7")
	})
}

// TestRefusedAgain: a room that was full is asked for again, later each time, until it has room.
func TestRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := s.start(&Options{Token: func(context.Context, string) (string, error) { return "token", nil }})
		defer c.Close()
		if err := c.Join(roomA); err != nil {
			t.Fatal(err)
		}
		conn := s.accept()
		conn.greet("", self)
		if e, ok := event(t, c).(Connected); !ok {
			t.Fatalf("event %+v", e)
		}
		conn.expectJoin("token")
		var waits []time.Duration
		for range 8 {
			conn.say(`{"type":"error","code":"room_full","message":"room is full","room":"room-a"}`)
			if refused, ok := event(t, c).(Refused); !ok || !errors.Is(refused.Err, protocol.ErrRoomFull) {
				t.Fatalf("event %+v", refused)
			}
			waits = append(waits, conn.expectJoin("token"))
		}
		if waits[0] < refusedMin/2 || waits[0] > refusedMin || waits[7] < refusedMax/2 || waits[7] > refusedMax {
			t.Errorf("asked again after %v", waits)
		}
		conn.say(joined(roomA, peerX))
		if e, ok := event(t, c).(Joined); !ok || e.Room != roomA {
			t.Errorf("event %+v", e)
		}
	})
}
