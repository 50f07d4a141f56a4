//go:build !js

package pool

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// signalServer runs a real signaling server and returns its address.
func signalServer(t *testing.T, opts *hub.Options) (h *hub.Hub, url string) {
	t.Helper()
	h = hub.New(opts)
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return h, "ws" + strings.TrimPrefix(s.URL, "http")
}

// pathless makes a replica that finds no direct path: none but over TURN servers, of which there are none.
func pathless(t *testing.T, url string, mesh MeshOptions) *replica {
	t.Helper()
	m, err := Connect(url, &ConnectOptions{Mesh: mesh, RTC: rtc.Options{LoopbackOnly: true, RelayOnly: true, ConnectTimeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{disk: memlog.New(nil)}
	r.startOn(t, m, nil, nil)
	t.Cleanup(r.stop)
	return r
}

// TestRelayed: replicas without a direct path replicate through the server, more than it takes at once.
func TestRelayed(t *testing.T) {
	h, url := signalServer(t, &hub.Options{RelayRate: 64 << 10, RelayBurst: 64 << 10}) // so little that a busy machine, too, sends more
	secret := MeshOptions{Secret: "correct horse"}
	a, b := pathless(t, url, secret), pathless(t, url, secret)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text := strings.Repeat("0123456789", 2000)
	for _, id := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		a.insert(t, id, text)
	}
	d := a.insert(t, "10", "the last")
	if err := a.pool.AwaitReplicated(ctx, d.Version, 1); err != nil {
		t.Fatal(err, a.told(), b.told())
	}
	if err := a.pool.AwaitInSync(ctx); err != nil { // the last comes before the others
		t.Fatal(err, a.told(), b.told())
	}
	if len(b.text("9")) < len(text) {
		t.Errorf("b has %d bytes", len(b.text("9")))
	}
	peers := a.pool.Peers()
	if len(peers) != 1 || !peers[0].Path.Relayed || peers[0].Path.LocalCandidate != "server" {
		t.Errorf("peers %+v", peers)
	}
	stats := h.Stats()
	if stats.RelayBytes < uint64(9*len(text)) || stats.Refusals["relay_limit"] == 0 {
		t.Errorf("the server has relayed %d bytes and refused %d pieces", stats.RelayBytes, stats.Refusals["relay_limit"])
	}
	t.Logf("%d pieces, %d bytes, refused %d", stats.Relayed, stats.RelayBytes, stats.Refusals["relay_limit"])
}

// TestRelayNotAllowed: where the server does not relay, that is told.
func TestRelayNotAllowed(t *testing.T) {
	_, url := signalServer(t, &hub.Options{NoRelay: true})
	a, b := pathless(t, url, MeshOptions{}), pathless(t, url, MeshOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := a.pool.await(ctx, func([]Peer) bool {
		for _, e := range append(a.told(), b.told()...) {
			if f, ok := e.(Failed); ok && errors.Is(f.Err, rtc.ErrRelay) {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err, a.told(), b.told())
	}
}
