package hub_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const (
	shoal = protocol.DialectShoal
	rxdb  = protocol.DialectRxDB
)

// patience bounds waits for what the server does by itself. What takes so long, on a machine with much else to do, does not come.
const patience = 5 * time.Minute

// server is a hub on loopback, behind its own listener as in production.
type server struct {
	*hub.Hub
	addr string
}

func serve(t testing.TB, opts *hub.Options) *server {
	t.Helper()
	h := hub.New(opts)
	s := httptest.NewUnstartedServer(h)
	s.Listener = h.Listener(s.Listener, "/")
	s.Start()
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return &server{h, s.Listener.Addr().String()}
}

// peer is a client that does as it is told, right or wrong.
type peer struct {
	t      testing.TB
	conn   net.Conn
	in     *bufio.Reader
	id     string
	resume string
}

func (s *server) dial(t testing.TB, dialect protocol.Dialect) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return upgrade(t, conn, dialect)
}

// upgrade makes a WebSocket of a connection.
func upgrade(t testing.TB, conn net.Conn, dialect protocol.Dialect) *peer {
	t.Helper()
	return upgradeAt(t, conn, "/", dialect)
}

func upgradeAt(t testing.TB, conn net.Conn, uri string, dialect protocol.Dialect) *peer {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	head := "GET " + uri + " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if dialect == shoal {
		head += "Sec-WebSocket-Protocol: " + protocol.Subprotocol + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %s: %s", resp.Status, body)
	}
	// RFC 6455, section 1.3, has the answer to this key.
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("accept key %q", got)
	}
	return p
}

// connect dials and says hello where the dialect has it.
func (s *server) connect(t testing.TB, dialect protocol.Dialect) *peer {
	t.Helper()
	p := s.dial(t, dialect)
	p.greet(dialect, "")
	return p
}

func (p *peer) greet(dialect protocol.Dialect, resume string) {
	p.t.Helper()
	if dialect == shoal {
		p.say(&protocol.Message{Type: protocol.TypeHello, Resume: resume})
	}
	m := p.expect(protocol.TypeInit)
	p.id, p.resume = m.YourPeerID, m.Resume
	if len(p.id) != protocol.PeerIDLength || (p.resume != "") != (dialect == shoal) {
		p.t.Fatalf("init %+v", m)
	}
}

// raw sends a frame.
func (p *peer) raw(op ws.OpCode, fin bool, payload []byte) {
	p.t.Helper()
	f := ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, payload)))
	if _, err := p.conn.Write(f); err != nil { // in one piece, for a pong may be written at the same time
		p.t.Fatalf("write %v %.100q: %v", op, payload, err)
	}
}

func (p *peer) text(text string) {
	p.t.Helper()
	p.raw(ws.OpText, true, []byte(text))
}

func (p *peer) say(m *protocol.Message) {
	p.t.Helper()
	b, err := m.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	p.text(string(b))
}

func (p *peer) join(room string) {
	p.t.Helper()
	p.say(&protocol.Message{Type: protocol.TypeJoin, Room: room})
}

func (p *peer) signal(room, to, data string) {
	p.t.Helper()
	p.say(&protocol.Message{
		Type: protocol.TypeSignal, Room: room, SenderPeerID: p.id, ReceiverPeerID: to, Data: json.RawMessage(data),
	})
}

// frame returns the next frame; WebSocket pings are answered.
func (p *peer) frame() (ws.Header, []byte, error) {
	for {
		h, err := ws.ReadHeader(p.in)
		if err != nil {
			return h, nil, err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(p.in, payload); err != nil {
			return h, nil, err
		}
		if h.OpCode != ws.OpPing {
			return h, payload, nil
		}
		p.raw(ws.OpPong, true, payload)
	}
}

// next returns the next message.
func (p *peer) next() *protocol.Message {
	p.t.Helper()
	h, payload, err := p.frame()
	if err != nil {
		p.t.Fatal(err)
	}
	if h.OpCode != ws.OpText {
		p.t.Fatalf("frame %v %q", h.OpCode, payload)
	}
	m, err := protocol.ParseMessage(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *peer) expect(typ protocol.Type) *protocol.Message {
	p.t.Helper()
	m := p.next()
	if m.Type != typ {
		p.t.Fatalf("got %+v, want %s", m, typ)
	}
	return m
}

// expectError returns the next message, which must be an error of that code.
func (p *peer) expectError(code protocol.Code) *protocol.Message {
	p.t.Helper()
	m := p.expect(protocol.TypeError)
	if m.Code != code {
		p.t.Fatalf("got %+v, want %s", m, code)
	}
	return m
}

// expectClose reads up to the close frame, which must have that status, and answers it.
func (p *peer) expectClose(status ws.StatusCode) {
	p.t.Helper()
	for {
		h, payload, err := p.frame()
		if err != nil {
			p.t.Fatalf("no close frame: %v", err)
		}
		if h.OpCode != ws.OpClose {
			continue
		}
		if code, reason := ws.ParseCloseFrameData(payload); code != status {
			p.t.Fatalf("closed with %d %q, want %d", code, reason, status)
		}
		p.raw(ws.OpClose, true, payload)
		return
	}
}

// expectEnd reads until the connection is closed or reset.
func (p *peer) expectEnd() {
	p.t.Helper()
	for {
		if _, _, err := p.frame(); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				p.t.Fatal("still open")
			}
			return
		}
	}
}

// ping waits until the server has handled all that was sent before. For Shoal peers.
func (p *peer) ping() {
	p.t.Helper()
	p.say(&protocol.Message{Type: protocol.TypePing})
	p.expect(protocol.TypePong)
}

// sync is ping for any dialect: a WebSocket ping. It drops the messages that come before.
func (p *peer) sync() {
	p.t.Helper()
	p.raw(ws.OpPing, true, []byte("sync"))
	for {
		h, payload, err := p.frame()
		if err != nil {
			p.t.Fatal(err)
		}
		if h.OpCode == ws.OpPong && bytes.Equal(payload, []byte("sync")) {
			return
		}
	}
}

// list reads until a list in RxDB's dialect names exactly ids.
func (p *peer) list(ids ...string) {
	p.t.Helper()
	want := make(map[string]bool)
	for _, id := range ids {
		want[id] = true
	}
	for {
		m := p.expect(protocol.TypeJoined)
		match := len(m.OtherPeerIDs) == len(want)
		for _, id := range m.OtherPeerIDs {
			match = match && want[id]
		}
		if match {
			return
		}
	}
}

// pipeListener is a network in memory, for tests in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// bubble is a hub in a synctest bubble.
type bubble struct {
	*hub.Hub
	l *pipeListener
}

func serveInBubble(t *testing.T, opts *hub.Options) *bubble {
	l := newPipeListener()
	h := hub.New(opts)
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	t.Cleanup(func() {
		h.Close()
		s.Close()
		<-done
	})
	return &bubble{h, l}
}

func (b *bubble) connect(t *testing.T, dialect protocol.Dialect) *peer {
	return b.connectAt(t, "/", dialect)
}

func (b *bubble) connectAt(t *testing.T, uri string, dialect protocol.Dialect) *peer {
	client, far := net.Pipe()
	b.l.conns <- far
	p := upgradeAt(t, client, uri, dialect)
	p.conn.SetDeadline(time.Time{})
	p.greet(dialect, "")
	return p
}

// collect reads in the background until the connection ends.
func (p *peer) collect() *collector {
	c := &collector{done: make(chan struct{}), news: make(chan struct{}, 1)}
	go func() {
		defer close(c.done)
		for {
			h, payload, err := p.frame()
			if err != nil {
				return
			}
			c.mu.Lock()
			if h.OpCode == ws.OpText {
				m, err := protocol.ParseMessage(payload)
				if err != nil {
					p.t.Error(err)
				}
				c.messages = append(c.messages, m)
			} else if h.OpCode == ws.OpClose {
				c.status, c.reason = ws.ParseCloseFrameData(payload)
				p.conn.Close()
			}
			c.mu.Unlock()
			select {
			case c.news <- struct{}{}:
			default:
			}
		}
	}()
	return c
}

type collector struct {
	done chan struct{} // closed when the connection has ended
	news chan struct{} // something came

	mu       sync.Mutex // guards the following fields
	messages []*protocol.Message
	status   ws.StatusCode
	reason   string
}

// take returns what came since the last time.
func (c *collector) take() []*protocol.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.messages
	c.messages = nil
	return m
}

// ended reports whether the connection has ended, and the status of the close frame, 0 for none.
func (c *collector) ended() (bool, ws.StatusCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return true, c.status
	default:
		return false, c.status
	}
}

func get(t *testing.T, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}
