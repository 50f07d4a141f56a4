package hub_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// mixed is a server with a page at "/page" and the hub at "/".
func mixed(t *testing.T, opts *hub.Options) *server {
	t.Helper()
	h := hub.New(opts)
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
		io.WriteString(w, "page")
	})
	mux.Handle("/", h)
	s := httptest.NewUnstartedServer(mux)
	s.Listener = h.Listener(s.Listener, "/")
	s.Start()
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return &server{h, s.Listener.Addr().String()}
}

// TestListenerPassesRequestsOn sends what is not for the hub, or not as it should be, in several pieces: the HTTP server must
// answer it.
func TestListenerPassesRequestsOn(t *testing.T) {
	s := mixed(t, &hub.Options{Origins: []string{"https://good.test"}})
	const upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for name, tt := range map[string]struct {
		request string
		status  int
		body    string
	}{
		"page":               {"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", 200, "page"},
		"post":               {"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200, "hellopage"},
		"long header":        {"GET /page HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", 20000) + "\r\n\r\n", 200, "page"},
		"HTTP/1.0":           {"GET /page HTTP/1.0\r\n\r\n", 200, "page"},
		"no upgrade":         {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426, "this is a signaling server"},
		"garbage":            {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, ""}, // nothing that stays unread and resets the connection
		"no key":             {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", 400, "handshake"},
		"another version":    {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 426, ""},
		"bad origin":         {"GET / HTTP/1.1\r\n" + upgrade + "Origin: https://bad.test\r\n\r\n", 403, "origin not allowed"},
		"another protocol":   {"GET / HTTP/1.1\r\n" + upgrade + "Sec-WebSocket-Protocol: chat\r\n\r\n", 400, "unknown subprotocol"},
		"upgrade for a page": {"GET /page HTTP/1.1\r\n" + upgrade + "\r\n", 200, "page"},
		"upgrade with POST":  {"POST / HTTP/1.1\r\n" + upgrade + "\r\n", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			for rest := tt.request; rest != ""; {
				n := min(len(rest), 1+len(rest)/2)
				if _, err := io.WriteString(conn, rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			conn.(*net.TCPConn).CloseWrite()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(body), tt.body) {
				t.Errorf("%d %q, %v, want %d %q", resp.StatusCode, body, err, tt.status, tt.body)
			}
		})
	}
}

// TestUpgradeAfterRequest makes a WebSocket of a connection that served a page first.
func TestUpgradeAfterRequest(t *testing.T) {
	s := mixed(t, nil)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	a := upgrade(t, conn, shoal)
	a.greet(shoal, "")
	a.join(room)
	a.expect(protocol.TypeJoined)
}

// TestEarlyFrames sends messages together with the upgrade.
func TestEarlyFrames(t *testing.T) {
	s := serve(t, nil)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req := "GET /?token=x HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, shoal.v1\r\n\r\n"
	for _, text := range []string{`{"type":"hello"}`, `{"type":"join","room":"my-users-pool"}`} {
		req += string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(text)))))
	}
	if _, err := io.WriteString(conn, req); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Protocol") != protocol.Subprotocol {
		t.Fatalf("%+v", resp)
	}
	p.expect(protocol.TypeInit)
	p.expect(protocol.TypeJoined)
}

// TestSlowHandshake leaves requests unfinished: each is given up, and others are served meanwhile.
func TestSlowHandshake(t *testing.T) {
	s := serve(t, &hub.Options{HandshakeTimeout: 3 * time.Second}) // which those who are served must keep to as well
	var slow []net.Conn
	for _, begin := range []string{"", "G", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	a, b := pair(t, s, rxdb)
	for _, conn := range slow {
		conn.SetDeadline(time.Now().Add(patience))
		if rest, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) || len(rest) > 0 { // it may be reset, with what it said unread
			t.Errorf("%q, %v, want the end", rest, err)
		}
	}
	healthy(t, a, b)
}

// TestManySilentConnections refuses those beyond the limit of an address, while the others may still speak.
func TestManySilentConnections(t *testing.T) {
	s := serve(t, &hub.Options{MaxConnsPerAddress: 2, HandshakeTimeout: time.Hour})
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
	first := dial()
	dial()
	if third, err := net.Dial("tcp", s.addr); err == nil { // it may be reset before this knows that it was accepted
		third.SetDeadline(time.Now().Add(patience))
		if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the third: %v", err)
		}
		third.Close()
	}
	p := upgrade(t, first, shoal)
	p.greet(shoal, "")
	s.connect(t, rxdb) // there is room again
}

// TestCloseListenerWithPending closes while it is not known what a connection is.
func TestCloseListenerWithPending(t *testing.T) {
	h := hub.New(nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := h.Listener(ln, "/")
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET ")
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("accepted after Close")
	}
	h.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("read something")
	}
}

func TestTLS(t *testing.T) {
	h := hub.New(nil)
	s := httptest.NewTLSServer(h)
	defer s.Close()
	defer h.Close()
	dial := func() net.Conn {
		conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	a := upgrade(t, dial(), shoal)
	a.greet(shoal, "")
	a.join(room)
	a.expect(protocol.TypeJoined)
	b := upgrade(t, dial(), rxdb)
	b.greet(rxdb, "")
	b.join(room)
	b.list(b.id)
	a.expect(protocol.TypePeerJoined)
	big := `"` + strings.Repeat("x", 60000) + `"`
	for range 20 {
		a.signal(room, b.id, big)
		if m := b.expect(protocol.TypeSignal); string(m.Data) != big {
			t.Fatal("signal is damaged")
		}
	}
	b.text("null")
	b.expectClose(ws.StatusInvalidFramePayloadData)
	b.expectEnd()
	if m := a.expect(protocol.TypePeerLeft); m.PeerID != b.id {
		t.Fatalf("%+v", m)
	}
}

func TestShutdown(t *testing.T) {
	s := serve(t, nil)
	a, b := s.connect(t, shoal), s.connect(t, rxdb)
	a.join(room)
	a.expect(protocol.TypeJoined)
	done := make(chan error)
	go func() { done <- s.Shutdown(t.Context()) }()
	a.expectError(protocol.CodeGoingAway)
	a.expectClose(1012)
	b.expectClose(1012)
	a.expectEnd()
	b.expectEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if status := s.keep(t, upgradeHeader()); status != http.StatusServiceUnavailable {
		t.Errorf("%d after the end", status)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestShutdownCutsOff does not wait for ever for a client that does not go.
func TestShutdownCutsOff(t *testing.T) {
	s := serve(t, nil)
	a := s.connect(t, shoal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err != context.Canceled && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
	a.expectEnd()
}
