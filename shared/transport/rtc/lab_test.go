package rtc_test

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// lab is a signaling server with networks around it. It checks that the networks leave nothing open.
type lab struct {
	t      *testing.T
	ctx    context.Context
	server *rtctest.Server
	made   uint64 // members
}

func newLab(t *testing.T) *lab {
	t.Helper()
	needRTC(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &lab{t: t, ctx: ctx, server: rtctest.New()}
}

// fast are times for tests in which something is to time out. It is not a peer on a path that works: on a busy machine it may take
// seconds to answer.
var fast = rtc.Times{
	Connect:    2 * time.Second,
	BackoffMin: 10 * time.Millisecond,
	BackoffMax: 100 * time.Millisecond,
	Ping:       50 * time.Millisecond,
	Gone:       500 * time.Millisecond,
	Probe:      500 * time.Millisecond,
	Restart:    20 * time.Millisecond,
	GiveUp:     3 * time.Second,
}

// member is a network of a lab.
type member struct {
	*rtc.Network
	lab    *lab
	client rtc.Signaler

	mu     sync.Mutex // guards the following fields
	events []transport.Event
	seen   int           // events that await returned or passed
	news   chan struct{} // holds one token when events were added
}

type setup struct {
	opts   rtc.Options
	times  rtc.Times
	change func(*rtc.NativeConfig)
	client rtc.Signaler // default: one of the lab's server
}

// member makes a network that the server knows as id, and that is in room.
func (l *lab) member(id string, s setup) *member {
	l.t.Helper()
	m := &member{lab: l, client: s.client, news: make(chan struct{}, 1)}
	if m.client == nil {
		m.client = l.server.Client(id)
	}
	s.opts.LoopbackOnly = native && s.change == nil
	s.opts.Events = m.event
	l.made++
	s.opts.Rand = rand.New(rand.NewPCG(1, l.made))
	if os.Getenv("RTC_LOG") != "" {
		s.opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("self", id)
	}
	n, err := rtc.StartTest(m.client, &s.opts, s.times, s.change)
	if err != nil {
		l.t.Fatal(err)
	}
	m.Network = n
	l.t.Cleanup(m.close)
	if err := n.Join("room"); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// close closes the network and checks that nothing of it is left.
func (m *member) close() {
	if err := m.Close(); err != nil {
		m.lab.t.Errorf("Close: %v", err)
	}
	if pcs, funcs := m.Open(); pcs != 0 || funcs != 0 {
		m.lab.t.Errorf("%d peer connections and %d callbacks left open", pcs, funcs)
	}
}

func (m *member) event(e transport.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// await waits for an event that no await before has passed.
func (m *member) await(peer string, state transport.State) transport.Event {
	m.lab.t.Helper()
	for {
		m.mu.Lock()
		for m.seen < len(m.events) {
			e := m.events[m.seen]
			m.seen++
			if e.Peer == peer && e.State == state {
				m.mu.Unlock()
				return e
			}
		}
		m.mu.Unlock()
		select {
		case <-m.news:
		case <-m.lab.ctx.Done():
			m.lab.t.Fatalf("no event %s of peer %q; all events: %+v", state, peer, m.events)
		}
	}
}

// last is the last event of a peer.
func (m *member) last(peer string) (last transport.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.Peer == peer {
			last = e
		}
	}
	return last
}

// count is how many events of that kind there were.
func (m *member) count(peer string, state transport.State) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.events {
		if e.Peer == peer && e.State == state {
			n++
		}
	}
	return n
}

func (m *member) accept() transport.Conn {
	m.lab.t.Helper()
	c, err := m.Accept(m.lab.ctx)
	if err != nil {
		m.lab.t.Fatalf("Accept: %v", err)
	}
	return c
}

// exchange proves that a and b are the ends of one connection that works.
func (l *lab) exchange(a, b transport.Conn) {
	l.t.Helper()
	for _, pair := range [][2]transport.Conn{{a, b}, {b, a}} {
		word := crand.Text()
		if err := pair[0].Send(l.ctx, transport.Live, []byte(word)); err != nil {
			l.t.Fatalf("Send: %v", err)
		}
		if _, msg, err := pair[1].Receive(l.ctx); err != nil || string(msg) != word {
			l.t.Fatalf("Receive = %.40q, %v, want %q", msg, err, word)
		}
	}
}

// ended waits for the end of c and returns the error.
func (l *lab) ended(c transport.Conn) error {
	for {
		if _, _, err := c.Receive(l.ctx); err != nil {
			return err
		}
	}
}

// never is longer than any test takes.
func (l *lab) never() time.Duration { return time.Hour }

// accepted counts the connections that a closed network has not handed out.
func (m *member) accepted(t *testing.T) int {
	t.Helper()
	n := 0
	for {
		if _, err := m.Accept(m.lab.ctx); err != nil {
			return n
		}
		n++
	}
}

// opened returns a channel that is closed when m has a connection.
func (m *member) opened() <-chan struct{} {
	done := make(chan struct{})
	m.lab.t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		_, _ = m.Accept(m.lab.ctx)
	}()
	return done
}
