//go:build !js

package pool

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

// webrtc makes a replica on a network.
func webrtc(t *testing.T, network *rtc.Network, secret string) *replica {
	t.Helper()
	r := &replica{disk: memlog.New(nil)}
	r.startOn(t, NewMesh(network, &MeshOptions{Secret: secret}), nil, nil)
	t.Cleanup(r.stop)
	return r
}

func peerOn(t *testing.T, server *rtctest.Server, id string) *rtc.Network {
	t.Helper()
	n, err := rtc.New(server.Client(id), &rtc.Options{LoopbackOnly: true, Rand: rand.New(rand.NewPCG(1, uint64(id[0])))})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// middle puts two networks of a hostile signaling server between two peers: it gives each a certificate of its own instead of the other's.
func middle(t *testing.T, a, b *rtc.Network) {
	t.Helper()
	t.Cleanup(rtctest.Middle(a, b))
	for _, n := range []*rtc.Network{a, b} {
		if err := n.Join(topic); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMiddle: without a secret a hostile signaling server can sit in the middle, and read and change everything; with one it is found out
// before a word was said, although it passes on all that belongs to the proof.
func TestMiddle(t *testing.T) {
	t.Run("direct", func(t *testing.T) { testMiddle(t, peerOn) })
	t.Run("relayed", func(t *testing.T) { testMiddle(t, relayedOn) })
}

// relayedOn makes a network whose connections are all relayed.
func relayedOn(t *testing.T, server *rtctest.Server, id string) *rtc.Network {
	t.Helper()
	n, err := rtc.New(server.Relaying(id), &rtc.Options{RelayOnly: true, LoopbackOnly: true, ConnectTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testMiddle(t *testing.T, peerOn func(t *testing.T, server *rtctest.Server, id string) *rtc.Network) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	t.Run("without a secret", func(t *testing.T) {
		left, right := rtctest.New(), rtctest.New()
		middle(t, peerOn(t, left, "zz"), peerOn(t, right, "zz"))
		a, b := webrtc(t, peerOn(t, left, "a"), ""), webrtc(t, peerOn(t, right, "b"), "")
		d := a.insert(t, "1", "of a")
		if err := a.pool.AwaitReplicated(ctx, d.Version, 1); err != nil {
			t.Fatal(err)
		}
		if b.text("1") == "" {
			t.Error("the middle passes nothing on, so the other test shows nothing")
		}
	})
	t.Run("with a secret", func(t *testing.T) {
		left, right := rtctest.New(), rtctest.New()
		middle(t, peerOn(t, left, "zz"), peerOn(t, right, "zz"))
		a, b := webrtc(t, peerOn(t, left, "a"), "correct horse"), webrtc(t, peerOn(t, right, "b"), "correct horse")
		a.insert(t, "1", "of a")
		for _, r := range []*replica{a, b} {
			if err := r.awaitFault(ctx, protocol.FaultSecret); err != nil {
				t.Fatal(err, r.told())
			}
			_, pending := r.mesh.States()
			if len(pending) != 1 || pending[0].Peer != "zz" || pending[0].State != transport.Failed {
				t.Errorf("states %+v", pending)
			}
		}
		if b.text("1") != "" {
			t.Error("a document has moved")
		}
	})
	t.Run("nobody in the middle", func(t *testing.T) {
		server := rtctest.New()
		a, b := webrtc(t, peerOn(t, server, "a"), "correct horse"), webrtc(t, peerOn(t, server, "b"), "correct horse")
		d := a.insert(t, "1", "of a")
		if err := a.pool.AwaitReplicated(ctx, d.Version, 1); err != nil {
			t.Fatal(err, a.told(), b.told())
		}
	})
}

// awaitFault waits until r was told of a fault.
func (r *replica) awaitFault(ctx context.Context, want protocol.Fault) error {
	return r.pool.await(ctx, func([]Peer) bool {
		for _, f := range r.faults() {
			if f == want {
				return true
			}
		}
		return false
	})
}
