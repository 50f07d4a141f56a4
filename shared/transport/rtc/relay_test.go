package rtc_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
	"github.com/shoaldb/shoal/shared/transport/transporttest"
)

// quickly are times for tests of relayed connections: RelayOnly without a TURN server finds no direct path, so there is no need to wait for one.
var quickly = rtc.Times{Relay: time.Millisecond, BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond}

// pathless makes a member that finds no direct path.
func (l *lab) pathless(id string) *member {
	return l.member(id, setup{client: l.server.Relaying(id), opts: rtc.Options{RelayOnly: true}, times: quickly})
}

func TestRelayConformance(t *testing.T) {
	needRTC(t)
	transporttest.Run(t, func(t *testing.T) transporttest.Harness {
		server := rtctest.New()
		names := 0
		return transporttest.Harness{Network: func() transport.Network {
			names++
			n, err := rtc.StartTest(server.Relaying(fmt.Sprintf("peer%d", names)), &rtc.Options{RelayOnly: true}, quickly, nil)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}}
	})
}

// TestRelayHostile: a server that loses, repeats, reorders and changes frames delays a connection, and does nothing else to it. It sees none
// of what is said.
func TestRelayHostile(t *testing.T) {
	l := newLab(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	var held []byte
	done := make(map[string]int)
	l.server.SetRelay(func(_, _ string, frame []byte) ([][]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if bytes.Contains(frame, []byte("plain text")) {
			t.Error("the server can read what is said")
		}
		if len(done) > 3 && rng.IntN(3) > 0 {
			return [][]byte{frame}, nil
		}
		switch rng.IntN(16) {
		case 0:
			done["lost"]++
			return nil, nil
		case 1:
			done["repeated"]++
			return [][]byte{frame, frame}, nil
		case 2:
			done["changed"]++
			changed := bytes.Clone(frame)
			changed[rng.IntN(len(frame))] ^= 1 << rng.IntN(8)
			return [][]byte{changed, frame}, nil
		case 3:
			done["cut"]++
			return [][]byte{frame[:rng.IntN(len(frame))], frame}, nil
		case 4:
			if held == nil {
				held = frame
				return nil, nil
			}
			done["reordered"]++
			early := held
			held = nil
			return [][]byte{frame, early}, nil
		}
		return [][]byte{frame}, nil
	})
	a, b := l.pathless("a"), l.pathless("b")
	ca, cb := a.accept(), b.accept()
	const count = 60
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			if err := ca.Send(l.ctx, transport.Live, fmt.Appendf(bytes.Repeat([]byte("plain text"), 2000), "%d", i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range count {
		_, msg, err := cb.Receive(l.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(i); !bytes.HasSuffix(msg, []byte("text"+want)) || len(msg) != 20_000+len(want) {
			t.Fatalf("message %d has %d bytes and ends with %q", i, len(msg), msg[max(0, len(msg)-20):])
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	l.exchange(ca, cb)
	mu.Lock()
	defer mu.Unlock()
	t.Log(done)
	if len(done) < 4 {
		t.Errorf("the server has done no more than %v", done)
	}
}

// TestRelayUpgrade: peers that find no direct path talk through the server until they do.
func TestRelayUpgrade(t *testing.T) {
	l := newLab(t)
	l.server.SetFilter(func(_, _ string, data []byte) bool {
		return kind(data) != "candidates" && !bytes.Contains(data, []byte("a=candidate"))
	})
	times := quickly
	times.Connect, times.Relay, times.Upgrade = fast.Connect, time.Minute, time.Millisecond
	join := func(id string) *member { return l.member(id, setup{client: l.server.Relaying(id), times: times}) }
	a, b := join("a"), join("b")
	e := a.await("b", transport.Failed)
	if !errors.Is(e.Err, rtc.ErrTimeout) || !strings.Contains(e.Err.Error(), "candidates here: host; there: none") {
		t.Errorf("failed with %v, want %v and what was seen", e.Err, rtc.ErrTimeout)
	}
	a.await("b", transport.Open)
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	for _, c := range []transport.Conn{ca, cb} {
		if s := c.Stats(l.ctx); !s.Relayed || s.LocalCandidate != "server" || s.RemoteCandidate != "server" || s.BytesSent == 0 || s.BytesReceived == 0 {
			t.Errorf("statistics %+v", s)
		}
	}
	failed := a.count("b", transport.Failed)
	l.server.SetFilter(nil)
	da, db := a.accept(), b.accept()
	l.exchange(da, db)
	if s := da.Stats(l.ctx); s.Relayed || s.LocalCandidate == "server" {
		t.Errorf("statistics %+v of a direct path", s)
	}
	if errs := []error{l.ended(ca), l.ended(cb)}; !errors.Is(errs[0], rtc.ErrReplaced) && !errors.Is(errs[1], rtc.ErrReplaced) {
		t.Errorf("the relayed connection ended with %v, want one that matches %v", errs, rtc.ErrReplaced)
	}
	if bytes.Equal(ca.Binding(), da.Binding()) {
		t.Error("both connections have the same binding")
	}
	a.close()
	b.close()
	if n := a.count("b", transport.Failed); n != failed {
		t.Errorf("%d failures were told while there was a connection", n-failed)
	}
	if last := a.events[len(a.events)-1]; last.State == transport.Open {
		t.Errorf("events %+v", a.events)
	}
}

// TestRelayRefused: who forbids relayed connections gets none, and the other side is told.
func TestRelayRefused(t *testing.T) {
	for name, change := range map[string]func(l *lab, b *setup){
		"by the peer": func(_ *lab, b *setup) { b.opts.NoRelay = true },
		"by the server": func(l *lab, _ *setup) {
			l.server.SetRelay(func(string, string, []byte) ([][]byte, error) { return nil, fmt.Errorf("%w: not here", rtc.ErrRelay) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			s := setup{client: l.server.Relaying("b"), opts: rtc.Options{RelayOnly: true}, times: quickly}
			change(l, &s)
			b := l.member("b", s)
			a := l.pathless("a")
			for {
				if e := a.await("b", transport.Failed); errors.Is(e.Err, rtc.ErrRelay) {
					break
				}
			}
			a.close()
			b.close()
			if n := a.count("b", transport.Open) + b.count("a", transport.Open); n > 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestRelayForbiddenHere: with NoRelay a side does not begin one either.
func TestRelayForbiddenHere(t *testing.T) {
	l := newLab(t)
	l.server.SetRelay(func(from, to string, frame []byte) ([][]byte, error) {
		t.Errorf("%s sent %s a frame of %d bytes", from, to, len(frame))
		return nil, nil
	})
	times := quickly
	times.Connect = fast.Probe
	a := l.member("a", setup{client: l.server.Relaying("a"), opts: rtc.Options{RelayOnly: true, NoRelay: true}, times: times})
	l.pathless("b")
	a.await("b", transport.Failed)
	a.await("b", transport.Failed)
}

// TestRelayLimited: a server that refuses much of what is sent slows a connection down, and loses nothing of it.
func TestRelayLimited(t *testing.T) {
	l := newLab(t)
	var mu sync.Mutex
	count, refused := 0, 0
	l.server.SetRelay(func(_, _ string, frame []byte) ([][]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if count++; count > 8 && count < 12 {
			refused++
			return nil, errors.New("too much")
		}
		return [][]byte{frame}, nil
	})
	a, b := l.pathless("a"), l.pathless("b")
	ca, cb := a.accept(), b.accept()
	big := bytes.Repeat([]byte("0123456789"), 50_000)
	if err := ca.Send(l.ctx, transport.Bulk, big); err != nil {
		t.Fatal(err)
	}
	if _, msg, err := cb.Receive(l.ctx); err != nil || !bytes.Equal(msg, big) {
		t.Fatalf("received %d bytes, %v", len(msg), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestRelayReconnect: a relayed connection outlives a reconnect to the server under the same id, but not under another one.
func TestRelayReconnect(t *testing.T) {
	l := newLab(t)
	a, b := l.pathless("a"), l.pathless("b")
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	l.server.SetDown(true, nil)
	a.await("", transport.Closed)
	if err := ca.Send(l.ctx, transport.Live, []byte("meanwhile")); err != nil {
		t.Fatal(err)
	}
	l.server.SetDown(false, nil)
	if _, msg, err := cb.Receive(l.ctx); err != nil || string(msg) != "meanwhile" {
		t.Fatalf("received %q, %v", msg, err)
	}
	l.exchange(ca, cb)
	l.server.SetDown(true, nil)
	l.server.SetDown(false, func(id string) string { return id + "2" })
	if err := l.ended(ca); !errors.Is(err, rtc.ErrPeerGone) {
		t.Errorf("ended with %v, want %v", err, rtc.ErrPeerGone)
	}
	l.exchange(a.accept(), b.accept())
}

// TestRelayGone: a peer that comes back under the same id, as a reloaded page, does not wait until the other side misses it.
func TestRelayGone(t *testing.T) {
	l := newLab(t)
	a := l.pathless("a")
	client := l.server.Relaying("b")
	l.member("b", setup{client: client, opts: rtc.Options{RelayOnly: true}, times: quickly})
	ca := a.accept()
	client.Vanish()
	again := l.pathless("b")
	if err := ca.Send(l.ctx, transport.Live, []byte("are you there")); err != nil {
		t.Fatal(err)
	}
	_ = l.ended(ca)
	l.exchange(a.accept(), again.accept())
}

// TestRelayMiddle: a server that answers in the peer's stead has two connections, with two bindings. Package pool has the secret to find out.
func TestRelayMiddle(t *testing.T) {
	left, right := newLab(t), newLab(t)
	a, b := left.pathless("a"), right.pathless("b")
	ma, mb := left.pathless("m"), right.pathless("m")
	bindings := [][]byte{a.accept().Binding(), b.accept().Binding()}
	if !bytes.Equal(bindings[0], ma.accept().Binding()) || !bytes.Equal(bindings[1], mb.accept().Binding()) {
		t.Error("the two ends of a connection have different bindings")
	}
	if slices.Equal(bindings[0], bindings[1]) {
		t.Error("two connections have the same binding")
	}
}
