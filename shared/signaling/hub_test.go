//go:build !js

package signaling_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
)

// patience bounds waits. What takes so long, on a machine with much else to do, does not come.
const patience = 2 * time.Minute

// serve runs a hub on loopback and returns its URL.
func serve(t *testing.T, opts *hub.Options) (*hub.Hub, string) {
	t.Helper()
	h := hub.New(opts)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return h, "ws" + strings.TrimPrefix(s.URL, "http")
}

func connect(t *testing.T, url string, opts *signaling.Options) (*signaling.Client, string) {
	t.Helper()
	c := signaling.New(url, opts)
	t.Cleanup(func() { c.Close() })
	return c, next[signaling.Connected](t, c).Self
}

// next returns the next event, which must be of type T.
func next[T signaling.Event](t *testing.T, c *signaling.Client) T {
	t.Helper()
	e := nextAny(t, c)
	got, ok := e.(T)
	if !ok {
		var want T
		t.Fatalf("event %T%+v, want %T", e, e, want)
	}
	return got
}

func nextAny(t *testing.T, c *signaling.Client) signaling.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := c.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return e
}

func join(t *testing.T, c *signaling.Client, room string) {
	t.Helper()
	if err := c.Join(room); err != nil {
		t.Fatal(err)
	}
	if got := next[signaling.Joined](t, c); got.Room != room {
		t.Fatalf("joined %q, want %q", got.Room, room)
	}
}

func TestTwoPeers(t *testing.T) {
	for _, dialect := range []protocol.Dialect{protocol.DialectShoal, protocol.DialectRxDB} {
		t.Run(string(dialect), func(t *testing.T) {
			_, url := serve(t, nil)
			a, aID := connect(t, url, nil)
			if err := a.JoinAs("room-1", protocol.Role{RxDB: true}); err != nil { // or RxDB's clients are not told of it
				t.Fatal(err)
			}
			next[signaling.Joined](t, a)
			b, bID := connect(t, url, &signaling.Options{Dialect: dialect})
			join(t, b, "room-1")
			if got, want := next[signaling.PeerJoined](t, a), (signaling.PeerJoined{Room: "room-1", Peer: bID, Dialect: dialect, Mine: dialect == protocol.DialectRxDB}); got != want {
				t.Fatalf("a: %+v, want %+v", got, want)
			}
			if got := next[signaling.PeerJoined](t, b); got.Peer != aID {
				t.Fatalf("b: %+v, want peer %s", got, aID)
			}
			data := json.RawMessage(`{"type":"offer","sdp":"v=0\r\n"}`)
			if err := a.Send(t.Context(), "room-1", bID, data); err != nil {
				t.Fatal(err)
			}
			got := next[signaling.Signal](t, b)
			if got.Peer != aID || string(got.Data) != string(data) {
				t.Fatalf("b: %+v", got)
			}
			if err := b.SendAttempt(t.Context(), "room-1", aID, "attempt", data); err != nil {
				t.Fatal(err)
			}
			if got := next[signaling.Signal](t, a); got.Peer != bID || got.ConnectionID != "attempt" {
				t.Fatalf("a: %+v", got)
			}
			b.Close()
			if got := next[signaling.PeerLeft](t, a); got.Peer != bID {
				t.Fatalf("a: %+v, want %s to leave", got, bID)
			}
		})
	}
}

func TestRelay(t *testing.T) {
	_, url := serve(t, &hub.Options{RelayRate: 1, RelayBurst: 100_000})
	a, aID := connect(t, url, nil)
	join(t, a, "room-1")
	b, bID := connect(t, url, nil)
	join(t, b, "room-1")
	next[signaling.PeerJoined](t, a)
	next[signaling.PeerJoined](t, b)
	piece := make([]byte, 40_000)
	for i := range piece {
		piece[i] = byte(i * i)
	}
	if err := a.Relay(t.Context(), "room-1", bID, piece); err != nil {
		t.Fatal(err)
	}
	if got := next[signaling.Relayed](t, b); got.Room != "room-1" || got.Peer != aID || !bytes.Equal(got.Piece, piece) {
		t.Fatalf("b got %d bytes of %s in %s", len(got.Piece), got.Peer, got.Room)
	}
	for range 2 { // the second after there is debt
		if err := a.Relay(t.Context(), "room-1", bID, piece); err != nil {
			t.Fatal(err)
		}
	}
	got := next[signaling.Refused](t, a)
	if !errors.Is(got.Err, protocol.ErrRelayLimit) || got.Peer != bID || got.Room != "room-1" {
		t.Errorf("refused %+v", got)
	}
	if err := a.Relay(t.Context(), "room-1", bID, make([]byte, protocol.MaxSignalingMessage)); !errors.Is(err, protocol.ErrTooBig) {
		t.Errorf("too big: %v", err)
	}
}
