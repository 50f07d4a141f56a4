//go:build !js

package rtc_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// wire is a simulated network that can be cut.
type wire struct {
	t      *testing.T
	router *vnet.Router
	cut    atomic.Bool
}

func newWire(t *testing.T) *wire {
	t.Helper()
	logger := &logging.DefaultLoggerFactory{Writer: bytes.NewBuffer(nil), DefaultLogLevel: logging.LogLevelDisabled}
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logger})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, router: router}
	router.AddChunkFilter(func(vnet.Chunk) bool { return !w.cut.Load() })
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := router.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// join connects a network to the wire. It notices after a while that its path is lost.
func (w *wire) join(after time.Duration) func(*rtc.NativeConfig) {
	w.t.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.router.AddNet(n); err != nil {
		w.t.Fatal(err)
	}
	return rtc.UseNet(n, after, after)
}

const soon = 200 * time.Millisecond

// TestPathHeals: while a path is lost, ICE is restarted, by whichever side it is; when it works again, the connection goes
// on as if nothing had been, with the same binding.
func TestPathHeals(t *testing.T) {
	l := newLab(t)
	w := newWire(t)
	times := fast
	times.GiveUp, times.Gone, times.Frozen = time.Minute, l.never(), l.never()
	times.Again = soon
	var restarts, asks atomic.Int32
	tried := make(chan struct{}, 100)
	l.server.SetFilter(func(_, _ string, data []byte) bool {
		if w.cut.Load() {
			switch kind(data) {
			case "restart":
				asks.Add(1)
			case "offer":
				tried <- struct{}{}
				return restarts.Add(1) == 1
			}
		}
		return true
	})
	a := l.member("a", setup{times: times, change: w.join(soon)})
	b := l.member("b", setup{times: times, change: w.join(soon)})
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	before := ca.Binding()
	for round := range 2 {
		w.cut.Store(true)
		if err := ca.Send(l.ctx, transport.Live, []byte("while cut")); err != nil {
			t.Fatal(err)
		}
		for range 1 + 2*round { // the second time, the first offers are lost as well
			<-tried
		}
		w.cut.Store(false)
		if _, msg, err := cb.Receive(l.ctx); err != nil || string(msg) != "while cut" {
			t.Fatalf("Receive = %q, %v", msg, err)
		}
		l.exchange(ca, cb)
	}
	if !bytes.Equal(ca.Binding(), before) || a.count("b", transport.Open) != 1 {
		t.Errorf("binding %x, before %x; events %+v", ca.Binding(), before, a.events)
	}
	if restarts.Load() < 2 || asks.Load() < 1 {
		t.Errorf("%d restarts, %d asked for by the other side", restarts.Load(), asks.Load())
	}
}

// TestPathLost: a path that stays lost ends the connection on both sides, and a new one is made when there is a path.
func TestPathLost(t *testing.T) {
	for name, change := range map[string]func(*rtc.Times){
		"no path for long": func(times *rtc.Times) { times.Gone = time.Hour },
		"no pongs":         func(times *rtc.Times) { times.GiveUp = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			w := newWire(t)
			times := fast
			times.GiveUp = time.Second
			change(&times)
			a := l.member("a", setup{times: times, change: w.join(soon)})
			b := l.member("b", setup{times: times, change: w.join(soon)})
			ca, cb := a.accept(), b.accept()
			l.exchange(ca, cb)
			w.cut.Store(true)
			for _, m := range []*member{a, b} {
				other := map[*member]string{a: "b", b: "a"}[m]
				if e := m.await(other, transport.Closed); !errors.Is(e.Err, rtc.ErrPeerGone) {
					t.Errorf("event %+v, want %v", e, rtc.ErrPeerGone)
				}
			}
			if err := l.ended(ca); !errors.Is(err, rtc.ErrPeerGone) {
				t.Errorf("Receive = %v, want %v", err, rtc.ErrPeerGone)
			}
			w.cut.Store(false)
			l.exchange(a.accept(), b.accept())
		})
	}
}

// TestPeerVanishes: of a peer that is gone without a word and that the server says left, the connection ends soon, and
// nothing is left of it.
func TestPeerVanishes(t *testing.T) {
	l := newLab(t)
	w := newWire(t)
	times := fast
	times.Gone, times.Frozen, times.GiveUp, times.Ping = l.never(), l.never(), l.never(), l.never()
	client := l.server.Client("b")
	a := l.member("a", setup{times: times, change: w.join(soon)})
	b := l.member("b", setup{times: times, change: w.join(soon), client: client})
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	w.cut.Store(true)
	if err := client.Leave("room"); err != nil {
		t.Fatal(err)
	}
	if err := l.ended(ca); !errors.Is(err, rtc.ErrPeerGone) {
		t.Errorf("Receive = %v, want %v", err, rtc.ErrPeerGone)
	}
	a.await("b", transport.Closed)
	if peers, links := a.Known(); peers != 0 || links != 0 {
		t.Errorf("%d peers and %d links known, want none", peers, links)
	}
}

// TestCutInMidMessage: of a message that is cut, nothing arrives.
func TestCutInMidMessage(t *testing.T) {
	l := newLab(t)
	w := newWire(t)
	times := rtc.Times{GiveUp: time.Second} // with little else to run out while 20 MB are on their way
	a := l.member("a", setup{times: times, change: w.join(time.Second)})
	b := l.member("b", setup{times: times, change: w.join(time.Second)})
	ca, cb := a.accept(), b.accept()
	sent := make(chan error, 1)
	go func() {
		for {
			if err := ca.Send(l.ctx, transport.Bulk, make([]byte, transport.MaxMessage)); err != nil {
				sent <- err
				return
			}
		}
	}()
	if _, msg, err := cb.Receive(l.ctx); err != nil || len(msg) != transport.MaxMessage {
		t.Fatalf("Receive = %d bytes, %v", len(msg), err)
	}
	w.cut.Store(true)
	if err := <-sent; !errors.Is(err, rtc.ErrPeerGone) {
		t.Errorf("Send = %v, want %v", err, rtc.ErrPeerGone)
	}
	for {
		_, msg, err := cb.Receive(l.ctx)
		if err != nil {
			break
		}
		if len(msg) != transport.MaxMessage {
			t.Fatalf("received %d bytes of a message of %d", len(msg), transport.MaxMessage)
		}
	}
}
