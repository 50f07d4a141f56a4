package rtc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

func TestEvents(t *testing.T) {
	l := newLab(t)
	a := l.member("a", setup{})
	a.await("", transport.Open)
	b := l.member("b", setup{})
	a.await("b", transport.Connecting)
	a.await("b", transport.Open)
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	if ca.Peer() != "b" || cb.Peer() != "a" {
		t.Errorf("peers %q and %q, want b and a", ca.Peer(), cb.Peer())
	}
	b.close()
	if e := a.await("b", transport.Closed); e.Err != nil {
		t.Errorf("event after a clean close: %+v", e)
	}
	if err := l.ended(cb); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive = %v", err)
	}
}

// TestSendsUntilClosed: that the other end closed is no failure, even where a send is the first to learn of it.
func TestSendsUntilClosed(t *testing.T) {
	l := newLab(t)
	a, b := l.member("a", setup{}), l.member("b", setup{})
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, _, err := cb.Receive(l.ctx); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		for {
			if err := ca.Send(l.ctx, transport.Live, []byte("x")); err != nil {
				return
			}
		}
	})
	b.close()
	if e := a.await("b", transport.Closed); e.Err != nil {
		t.Errorf("event after a clean close: %+v", e)
	}
	wg.Wait()
}

// TestInitiator: the one with the lesser id begins.
func TestInitiator(t *testing.T) {
	l := newLab(t)
	var mu sync.Mutex
	var offers []string
	l.server.SetFilter(func(from, _ string, data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if kind(data) == "offer" {
			offers = append(offers, from)
		}
		return true
	})
	b := l.member("b", setup{})
	a := l.member("a", setup{})
	c := l.member("c", setup{})
	for range 2 {
		a.accept()
		b.accept()
		c.accept()
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(offers); !slices.Equal(offers, []string{"a", "a", "b"}) {
		t.Errorf("offers from %v, want two from a and one from b", offers)
	}
}

func kind(data []byte) string {
	var s struct{ Kind string }
	_ = json.Unmarshal(data, &s)
	return s.Kind
}

// TestTimeout: an attempt that gets no answer fails in time and is repeated until it works.
func TestTimeout(t *testing.T) {
	l := newLab(t)
	l.server.SetFilter(func(_, _ string, data []byte) bool { return kind(data) != "answer" })
	a, b := l.member("a", setup{times: fast}), l.member("b", setup{times: fast})
	for range 2 {
		if e := a.await("b", transport.Failed); !errors.Is(e.Err, rtc.ErrTimeout) {
			t.Errorf("attempt failed with %v, want %v", e.Err, rtc.ErrTimeout)
		}
	}
	l.server.SetFilter(nil)
	l.exchange(a.accept(), b.accept())
}

// TestWant: a side that waits in vain for an offer asks for one, and gets it although the other side believes that there is a
// connection.
func TestWant(t *testing.T) {
	l := newLab(t)
	times := fast
	times.Ping = l.never()
	times.Restart = l.never() // an offer to restart the path makes a find out by itself
	var asked atomic.Bool
	l.server.SetFilter(func(_, _ string, data []byte) bool {
		if kind(data) == "want" {
			asked.Store(true)
		}
		return kind(data) != "hello" // so does an answer to it
	})
	a := l.member("a", setup{times: times})
	client := l.server.Client("b")
	old := l.member("b", setup{client: client, times: times})
	l.exchange(a.accept(), old.accept())
	client.Vanish()
	asked.Store(false)
	again := l.member("b", setup{times: times})
	l.exchange(a.accept(), again.accept())
	if !asked.Load() {
		t.Error("nobody asked")
	}
}

// TestGlare: when both begin, one connection comes of it.
func TestGlare(t *testing.T) {
	l := newLab(t)
	both := make(chan struct{})
	var mu sync.Mutex
	held := 0
	// Both believe to be the one to begin, and neither offer is passed before both are made.
	hold := func(c *rtctest.Client) rtc.Signaler { return &holdOffers{Client: c, both: both, mu: &mu, held: &held} }
	a := l.member("a", setup{client: hold(l.server.Client("a"))})
	b := l.member("b", setup{client: selfAs{hold(l.server.Client("b")), "0"}})
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	if held != 2 {
		t.Errorf("%d offers crossed, want 2", held)
	}
	a.close()
	b.close()
	if a.count("b", transport.Open) != 1 || b.count("a", transport.Open) != 1 {
		t.Errorf("events: %+v and %+v, want one connection", a.events, b.events)
	}
}

// selfAs makes a network believe that it has another id.
type selfAs struct {
	rtc.Signaler
	self string
}

func (s selfAs) Next(ctx context.Context) (rtc.SignalerEvent, error) {
	e, err := s.Signaler.Next(ctx)
	if c, ok := e.(rtc.Connected); ok {
		c.Self = s.self
		e = c
	}
	return e, err
}

// holdOffers holds back the first offer of each of two clients until both are made.
type holdOffers struct {
	*rtctest.Client
	both chan struct{}
	mu   *sync.Mutex
	held *int
	sent bool
}

func (h *holdOffers) Send(ctx context.Context, room, peer string, data []byte) error {
	if kind(data) == "offer" && !h.sent {
		h.sent = true
		h.mu.Lock()
		if *h.held++; *h.held == 2 {
			close(h.both)
		}
		h.mu.Unlock()
		select {
		case <-h.both:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return h.Client.Send(ctx, room, peer, data)
}

// TestReload: a network that takes the place of another one under the same id, without a word, gets a new connection, and the
// old one ends on both sides.
func TestReload(t *testing.T) {
	for _, ids := range [][2]string{{"a", "b"}, {"b", "a"}} {
		t.Run(fmt.Sprintf("%s comes back to %s", ids[1], ids[0]), func(t *testing.T) {
			l := newLab(t)
			times := fast
			times.Ping = l.never() // it is not the keepalive that is tested
			stays := l.member(ids[0], setup{times: times})
			client := l.server.Client(ids[1])
			old := l.member(ids[1], setup{client: client, times: times})
			c1, c2 := stays.accept(), old.accept()
			l.exchange(c1, c2)
			client.Vanish()
			again := l.member(ids[1], setup{times: times})
			d1, d2 := stays.accept(), again.accept()
			l.exchange(d1, d2)
			if err := l.ended(c1); !errors.Is(err, net.ErrClosed) || !errors.Is(err, rtc.ErrReplaced) {
				t.Errorf("Receive on the old connection = %v, want %v", err, rtc.ErrReplaced)
			}
			if err := l.ended(c2); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive on its other end = %v", err)
			}
			if bytes.Equal(c1.Binding(), d1.Binding()) {
				t.Error("the new connection has the binding of the old one")
			}
			if _, links := stays.Known(); links != 1 {
				t.Errorf("%d links, want 1", links)
			}
		})
	}
}

// TestSignalingDown: connections outlive the server, and are not made twice when it comes back, whatever ids it gives.
func TestSignalingDown(t *testing.T) {
	for name, rename := range map[string]func(string) string{
		"same ids":     nil,
		"new ids":      func(id string) string { return id + "2" },
		"turned round": func(id string) string { return string(rune('z' - (id[0] - 'a'))) },
		"one new id": func(id string) string {
			if id == "b" {
				return "x"
			}
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			a, b := l.member("a", setup{}), l.member("b", setup{})
			ca, cb := a.accept(), b.accept()
			l.exchange(ca, cb)
			l.server.SetDown(true, nil)
			a.await("", transport.Closed)
			b.await("", transport.Closed)
			l.exchange(ca, cb)
			l.server.SetDown(false, rename)
			a.await("", transport.Open)
			// A third peer that meets both shows that the news has come round.
			c := l.member("m", setup{})
			for range 2 {
				c.accept()
			}
			a.accept()
			b.accept()
			l.exchange(ca, cb)
			a.close()
			b.close()
			c.close()
			if n := opens(a) + opens(b); rename == nil && n != 4 {
				t.Errorf("%d connections opened, want 4: %+v, %+v", n, a.events, b.events)
			}
			if pairs := a.accepted(t); pairs != 0 {
				t.Errorf("%d more connections", pairs)
			}
		})
	}
}

// opens counts the connections that m told of.
func opens(m *member) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.events {
		if e.Peer != "" && e.State == transport.Open {
			n++
		}
	}
	return n
}

// TestUnlisted: that the server says a peer left does not end a connection that works.
func TestUnlisted(t *testing.T) {
	l := newLab(t)
	client := l.server.Client("b")
	times := rtc.Times{Ping: l.never()} // it is not the keepalive that is tested
	a, b := l.member("a", setup{times: times}), l.member("b", setup{client: client, times: times})
	ca, cb := a.accept(), b.accept()
	l.exchange(ca, cb)
	if err := client.Leave("room"); err != nil { // the server's doing: the network b does not know
		t.Fatal(err)
	}
	for range 5 {
		l.exchange(ca, cb)
	}
	if err := client.Join("room"); err != nil {
		t.Fatal(err)
	}
	c := l.member("c", setup{})
	c.accept()
	c.accept()
	l.exchange(ca, cb)
	if a.count("b", transport.Open) != 1 {
		t.Errorf("events %+v, want one connection to b", a.events)
	}
}

// TestOwnerCloses: a connection that its owner closes is made anew.
func TestOwnerCloses(t *testing.T) {
	l := newLab(t)
	a, b := l.member("a", setup{times: fast}), l.member("b", setup{times: fast})
	for _, closer := range []int{0, 1} {
		conns := []transport.Conn{a.accept(), b.accept()}
		l.exchange(conns[0], conns[1])
		conns[closer].Close()
	}
	l.exchange(a.accept(), b.accept())
}

// TestFrozenPeer: a peer that answers nothing is given up although its path works.
func TestFrozenPeer(t *testing.T) {
	l := newLab(t)
	times := fast
	times.Frozen = time.Second
	a := l.member("a", setup{times: times})
	b := l.member("b", setup{times: rtc.Times{Ping: l.never()}})
	ca, cb := a.accept(), b.accept()
	unmute := rtc.Mute(cb)
	t.Cleanup(sync.OnceFunc(unmute))
	if err := ca.Send(l.ctx, transport.Live, []byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	if err := l.ended(ca); !errors.Is(err, rtc.ErrPeerGone) {
		t.Errorf("Receive = %v, want %v", err, rtc.ErrPeerGone)
	}
	if e := a.await("b", transport.Closed); !errors.Is(e.Err, rtc.ErrPeerGone) {
		t.Errorf("event %+v, want one with %v", e, rtc.ErrPeerGone)
	}
}

// TestWake: on a path that works, Wake harms nothing; an attempt that waits is made at once.
func TestWake(t *testing.T) {
	l := newLab(t)
	times := rtc.Times{Restart: fast.Restart, Ping: l.never(), BackoffMin: l.never(), BackoffMax: l.never()}
	client := l.server.Client("b")
	offers := make(chan []byte, 1)
	l.server.SetFilter(func(_, _ string, data []byte) bool {
		if kind(data) == "offer" {
			offers <- bytes.Clone(data)
		}
		return kind(data) == "full"
	})
	a, b := l.member("a", setup{times: times}), l.member("b", setup{times: times, client: client})
	var offer struct{ ID string }
	if err := json.Unmarshal(<-offers, &offer); err != nil {
		t.Fatal(err)
	}
	if err := client.Send(l.ctx, "room", "a", fmt.Appendf(nil, `{"shoal":1,"kind":"full","id":%q}`, offer.ID)); err != nil {
		t.Fatal(err)
	}
	a.await("b", transport.Failed)
	l.server.SetFilter(nil)
	a.Wake()
	ca, cb := a.accept(), b.accept()
	for range 3 {
		a.Wake()
		b.Wake()
		l.exchange(ca, cb)
	}
	if a.count("b", transport.Open) != 1 {
		t.Errorf("events %+v, want one connection", a.events)
	}
}

// TestMaxPeers: what is too much is refused, on both sides, and taken when there is room again.
func TestMaxPeers(t *testing.T) {
	l := newLab(t)
	m := l.member("m", setup{opts: rtc.Options{MaxPeers: 1}, times: fast})
	a := l.member("a", setup{times: fast})
	l.exchange(m.accept(), a.accept())
	z := l.member("z", setup{times: fast}) // m is to begin
	m.await("z", transport.Failed)
	b := l.member("b", setup{times: fast}) // b is to begin
	if e := b.await("m", transport.Failed); !errors.Is(e.Err, rtc.ErrFull) {
		t.Errorf("event %+v, want %v", e, rtc.ErrFull)
	}
	a.close()
	c := m.accept()
	switch c.Peer() {
	case "b":
		b.await("m", transport.Open)
	case "z":
		z.await("m", transport.Open)
	default:
		t.Errorf("connection to %q", c.Peer())
	}
}

// TestHostileSignals: signals that are wrong in any way change nothing.
func TestHostileSignals(t *testing.T) {
	l := newLab(t)
	a, b := l.member("a", setup{}), l.member("b", setup{})
	ca, cb := a.accept(), b.accept()
	evil := l.server.Client("evil")
	defer evil.Close()
	if err := evil.Join("room"); err != nil {
		t.Fatal(err)
	}
	id := rtc.ConnID(ca)
	media := "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=fingerprint:sha-256 " + strings.Repeat("00:", 31) + "00\r\n"
	for _, text := range []string{
		"", "null", "{}", "[1,2", `"text"`, `{"shoal":2,"kind":"want","from":"x"}`, `{"shoal":1,"kind":"nonsense","id":"x"}`,
		`{"shoal":1,"kind":"restart","id":"` + id + `"}`,
		`{"shoal":1,"kind":"full","id":"` + id + `"}`,
		`{"shoal":1,"kind":"candidates","id":"` + id + `","candidates":[{"candidate":"x"}]}`,
		`{"shoal":1,"kind":"candidates","id":"` + id + `","candidates":[` + strings.Repeat(`{"candidate":""},`, 100) + `{}]}`,
		`{"shoal":1,"kind":"have","id":"` + id + `","from":"me"}`,
		`{"shoal":1,"kind":"offer","id":"new","from":"me","sdp":` + quote(media) + `}`,
		`{"shoal":1,"kind":"offer","id":"new","from":"me","sdp":` + quote(strings.Repeat("v", 40_000)) + `}`,
		`{"shoal":1,"kind":"answer","id":"` + id + `","from":"me","sdp":` + quote(media) + `}`,
		`{"shoal":1,"kind":"want","from":"` + strings.Repeat("x", 100) + `"}`,
		strings.Repeat("x", 100_000),
	} {
		for _, to := range []string{"a", "b"} {
			if err := evil.Send(l.ctx, "room", to, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := l.member("c", setup{}) // when c is connected, the signals before have been read
	c.accept()
	c.accept()
	l.exchange(ca, cb)
	if a.count("b", transport.Open) != 1 || a.count("evil", transport.Open) != 0 {
		t.Errorf("events %+v", a.events)
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// TestHostilePieces: a peer that breaks the rules of the data channels loses its connection.
func TestHostilePieces(t *testing.T) {
	for name, pieces := range map[string][][]byte{
		"empty":                    {{}},
		"unknown kind":             {{0x7f}},
		"more without first":       {{2, 1, 2, 3}},
		"whole inside a message":   {{1, 0, 0, 0, 9, 1}, {0, 1}},
		"longer than it said":      {{1, 0, 0, 0, 2, 1}, {2, 1, 2}},
		"too long":                 {{1, 0xff, 0xff, 0xff, 0xff, 1}},
		"short control":            {{0x10}},
		"credit for no lane":       {{0x12, 9, 0, 0, 0, 0, 0, 0, 0, 1}},
		"beyond the credit, whole": slices.Repeat([][]byte{make([]byte, rtc.MaxPiece)}, 1+(rtc.Window+transport.MaxMessage)/(rtc.MaxPiece-1)),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			a, b := l.member("a", setup{}), l.member("b", setup{})
			ca, cb := a.accept(), b.accept()
			for _, piece := range pieces {
				if err := rtc.SendRaw(l.ctx, ca, transport.Live, piece); err != nil {
					break // it was cut off before the end
				}
			}
			e := b.await("a", transport.Closed)
			if e.Err == nil {
				t.Errorf("event %+v, want one with an error", e)
			}
			if err := l.ended(cb); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive = %v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	server := rtctest.New()
	for name, opts := range map[string]*rtc.Options{
		"ConnectTimeout": {ConnectTimeout: -1}, "MaxPeers": {MaxPeers: -1}, "HighWater": {HighWater: -1},
		"ICE server": {ICEServers: []rtc.ICEServer{{}}},
	} {
		if _, err := rtc.New(server.Client("x"), opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New with a bad %s = %v", name, err)
		}
	}
	n, err := rtc.New(server.Client("x"), &rtc.Options{LoopbackOnly: true})
	switch {
	case !native && !errors.Is(err, errors.ErrUnsupported):
		t.Errorf("LoopbackOnly in the browser: %v, want %v", err, errors.ErrUnsupported)
	case native && err != nil:
		t.Error(err)
	case native:
		n.Close()
	}
}

// TestCloseAnytime: closing in any moment of making a connection leaves nothing behind. That is what lab checks.
func TestCloseAnytime(t *testing.T) {
	l := newLab(t)
	for stage := range 8 {
		reached := make(chan struct{})
		seen := 0
		l.server.SetFilter(func(_, _ string, _ []byte) bool {
			if seen++; seen == stage {
				close(reached)
			}
			return true
		})
		a, b := l.member("a", setup{}), l.member("b", setup{})
		if stage > 0 {
			select {
			case <-reached:
			case <-a.opened(): // with fewer signals than that
			}
		}
		if stage%2 == 0 {
			a, b = b, a
		}
		a.close()
		b.close()
	}
}

// TestAvoid: a peer that is avoided gets no answer, whoever begins, until the time is over.
func TestAvoid(t *testing.T) {
	l := newLab(t)
	times := fast
	times.Connect = fast.Probe
	a := l.member("a", setup{times: times})
	b := l.member("b", setup{times: times})
	ca := a.accept()
	b.accept()
	ca.Close()
	refused := errors.New("refused")
	a.Avoid("b", refused, l.never())
	if e := a.await("b", transport.Failed); !errors.Is(e.Err, refused) {
		t.Errorf("failed with %v, want the cause", e.Err)
	}
	opened := a.count("b", transport.Open)
	b.await("a", transport.Open)
	b.await("a", transport.Closed)
	c := l.member("c", setup{times: times})
	b.await("c", transport.Open) // so much later
	a.await("c", transport.Open)
	if n := a.count("b", transport.Open); n != opened {
		t.Errorf("%d connections to the peer that is avoided, want %d", n, opened)
	}
	a.Wake()
	a.Avoid("b", refused, 0)
	c.close()
	a.await("b", transport.Open)
}

// TestAvoidConnecting: the last that is told of a peer that is avoided during an attempt is why.
func TestAvoidConnecting(t *testing.T) {
	l := newLab(t)
	l.server.SetFilter(func(_, _ string, data []byte) bool { return kind(data) != "answer" })
	a := l.member("a", setup{times: fast})
	l.member("b", setup{times: fast})
	a.await("b", transport.Connecting)
	a.Avoid("b", errors.New("refused"), l.never())
	l.member("c", setup{times: fast})
	a.await("c", transport.Connecting) // so much later
	if last := a.last("b"); last.State != transport.Failed || last.Err == nil || last.Err.Error() != "refused" {
		t.Errorf("the last event is %+v", last)
	}
}

// TestGone: of a peer that left before there was a connection nothing is shown any more.
func TestGone(t *testing.T) {
	l := newLab(t)
	l.server.SetFilter(func(_, _ string, data []byte) bool { return kind(data) != "answer" })
	a := l.member("a", setup{times: fast})
	b := l.member("b", setup{times: fast})
	a.await("b", transport.Connecting)
	b.close()
	a.await("b", transport.Closed)
	if last := a.last("b"); last.State != transport.Closed {
		t.Errorf("the last event is %+v", last)
	}
}
