package signaling

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// fakeServer stands for the network and the server, in a synctest bubble.
type fakeServer struct {
	t     *testing.T
	dials []time.Time
	down  bool // dialling fails
	hangs bool // dialling does not end
	conns chan *fakeConn
}

// fakeConn is a socket of the client, and the server's end of it.
type fakeConn struct {
	t     *testing.T
	up    chan []byte // from the client
	down  chan []byte // to the client
	ended chan struct{}
	once  sync.Once
	dead  atomic.Bool // probes fail
}

func newFakeServer(t *testing.T) *fakeServer {
	return &fakeServer{t: t, conns: make(chan *fakeConn, 16)}
}

func (s *fakeServer) dial(ctx context.Context) (socket, error) {
	s.dials = append(s.dials, time.Now())
	if s.down {
		return nil, errors.New("no route to host")
	}
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := &fakeConn{t: s.t, up: make(chan []byte, 1000), down: make(chan []byte, 1000), ended: make(chan struct{})}
	s.conns <- c
	return c, nil
}

func (c *fakeConn) read() ([]byte, error) {
	select {
	case text := <-c.down:
		return text, nil
	default:
	}
	select {
	case text := <-c.down:
		return text, nil
	case <-c.ended:
		return nil, net.ErrClosed
	}
}

func (c *fakeConn) write(text []byte) error {
	select {
	case c.up <- text:
		return nil
	case <-c.ended:
		return net.ErrClosed
	}
}

func (c *fakeConn) probe() error {
	if c.dead.Load() {
		return errors.New("no pong")
	}
	return nil
}

func (c *fakeConn) close() { c.once.Do(func() { close(c.ended) }) }

// start runs a client against the fake.
func (s *fakeServer) start(opts *Options) *Client {
	o := opts.withDefaults()
	o.Rand = rand.New(rand.NewPCG(1, 2))
	c := start(o, s.dial)
	s.t.Cleanup(func() { c.Close() })
	return c
}

// accept waits for the client's next connection.
func (s *fakeServer) accept() *fakeConn {
	s.t.Helper()
	select {
	case c := <-s.conns:
		return c
	case <-time.After(time.Hour):
		s.t.Fatal("the client does not connect")
		return nil
	}
}

// say sends the client a message.
func (c *fakeConn) say(text string) { c.down <- []byte(text) }

// expect returns the client's next message, which must be text.
func (c *fakeConn) expect(text string) {
	c.t.Helper()
	select {
	case got := <-c.up:
		if string(got) != text {
			c.t.Fatalf("client said %s, want %s", got, text)
		}
	case <-time.After(time.Hour):
		c.t.Fatalf("client says nothing, want %s", text)
	}
}

// quiet checks that the client has said nothing more.
func (c *fakeConn) quiet() {
	c.t.Helper()
	synctest.Wait()
	select {
	case got := <-c.up:
		c.t.Fatalf("client said %s", got)
	default:
	}
}

// greet shakes hands as a Shoal server.
func (c *fakeConn) greet(resume, id string) {
	c.t.Helper()
	hello := `{"type":"hello"}`
	if resume != "" {
		hello = `{"type":"hello","resume":"` + resume + `"}`
	}
	c.expect(hello)
	c.say(`{"type":"init","yourPeerId":"` + id + `","resume":"token-of-` + id + `"}`)
}

// want checks the client's next event.
func want(t *testing.T, c *Client, e Event) {
	t.Helper()
	got := event(t, c)
	if got != e {
		t.Fatalf("event %T%+v, want %T%+v", got, got, e, e)
	}
}

// wantDisconnected checks that the next event is a Disconnected whose error matches.
func wantDisconnected(t *testing.T, c *Client, err error) {
	t.Helper()
	got := event(t, c)
	if d, ok := got.(Disconnected); !ok || d.Err == nil || err != nil && !errors.Is(d.Err, err) {
		t.Fatalf("event %T%+v, want Disconnected: %v", got, got, err)
	}
}

func event(t *testing.T, c *Client) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	e, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// none checks that no event waits.
func none(t *testing.T, c *Client) {
	t.Helper()
	synctest.Wait()
	select {
	case e := <-c.events:
		t.Fatalf("event %T%+v", e, e)
	default:
	}
}

const (
	roomA  = "room-a"
	roomB  = "room-b"
	self   = "selfselfself"
	peerX  = "xxxxxxxxxxxx"
	peerY  = "yyyyyyyyyyyy"
	peerZ  = "zzzzzzzzzzzz"
	joinA  = `{"type":"join","room":"room-a"}`
	joinB  = `{"type":"join","room":"room-b"}`
	leaveA = `{"type":"leave","room":"room-a"}`
	ping   = `{"type":"ping"}`
	pong   = `{"type":"pong"}`
)

// joined is a Shoal server's answer to a join.
func joined(room string, peers ...string) string {
	text := `{"type":"joined","room":"` + room + `","peers":[`
	for i, p := range peers {
		if i > 0 {
			text += ","
		}
		text += `{"id":"` + p + `","dialect":"shoal.v1"}`
	}
	return text + `]}`
}

func arrived(room, peer string) Event {
	return PeerJoined{Room: room, Peer: peer, Dialect: protocol.DialectShoal}
}
