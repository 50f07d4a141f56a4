package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shoaldb/shoal/shared/protocol"
)

// figure returns what /metrics says, -1 where it says nothing.
func figure(t *testing.T, url, name string) float64 {
	t.Helper()
	status, text := get(t, client(nil), url+"/metrics")
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + " ([0-9.e+-]+)$").FindStringSubmatch(text)
	if status != 200 || m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMetrics(t *testing.T) {
	url, _ := start(t, "--auth-key", testSecret, "--max-room-peers", "2", "--origins", "https://good.test", "--turn", "--turn-listen", "127.0.0.1:0")
	token := issued(t, "--room", testRoom, "--auth-key", testSecret)
	a, initA := shake(t, client(nil), url+"/signal")
	b, initB := shake(t, client(nil), url+"/signal")
	c, _ := shake(t, client(nil), url+"/signal")
	for conn, want := range map[*websocket.Conn]protocol.Type{a: protocol.TypeJoined, b: protocol.TypeJoined} {
		if m := join(t, conn, testRoom, token); m.Type != want {
			t.Fatalf("%+v", m)
		}
	}
	if m := join(t, c, testRoom, token); m.Code != protocol.CodeRoomFull {
		t.Fatalf("%+v", m)
	}
	if m := join(t, c, testRoom, "bad"); m.Code != protocol.CodeUnauthorized {
		t.Fatalf("%+v", m)
	}
	signal := &protocol.Message{Type: protocol.TypeSignal, Room: testRoom, SenderPeerID: initA.YourPeerID, Data: json.RawMessage("1")}
	signal.ReceiverPeerID = initB.YourPeerID
	write(t, a, signal)
	for read(t, b).Type != protocol.TypeSignal {
	}
	signal.ReceiverPeerID = "nobodynobody"
	write(t, a, signal)
	for read(t, a).Code != protocol.CodeUnknownPeer {
	}
	_, resp, err := websocket.Dial(t.Context(), url+"/signal", &websocket.DialOptions{
		HTTPClient: client(nil), Subprotocols: []string{protocol.Subprotocol}, HTTPHeader: http.Header{"Origin": {"https://bad.test"}},
	})
	if err == nil || resp == nil || resp.StatusCode != 403 {
		t.Fatalf("bad origin: %v", err)
	}
	for name, want := range map[string]float64{
		"shoal_connections": 3, "shoal_peers": 3, "shoal_rooms": 1, "shoal_room_members": 2,
		"shoal_joins_total": 2, "shoal_signals_total": 1, "shoal_signals_undelivered_total": 1, "shoal_join_seconds_count": 2,
		"shoal_connections_refused_total": 1, `shoal_refusals_total{reason="room_full"}`: 1,
		`shoal_refusals_total{reason="unauthorized"}`: 1, `shoal_refusals_total{reason="origin"}`: 1,
		`shoal_refusals_total{reason="unknown_peer"}`: 1, `shoal_refusals_total{reason="too_big"}`: 0,
		"shoal_turn_allocations": 0, "shoal_turn_bytes_total": 0, `shoal_turn_refusals_total{reason="quota"}`: 0,
	} {
		if got := figure(t, url, name); got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if got := figure(t, url, name); got <= 0 {
			t.Errorf("%s is %g", name, got)
		}
	}
	for _, name := range []string{"shoal_queued_bytes", "shoal_waiting_input", "shoal_relay_bytes_total", "shoal_delays_total"} {
		if got := figure(t, url, name); got < 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestMetricsOfTheirOwnPort has them nowhere else.
func TestMetricsOfTheirOwnPort(t *testing.T) {
	url, stop := start(t, "--metrics", "127.0.0.1:0")
	if status, _ := get(t, client(nil), url+"/metrics"); status != 404 {
		t.Errorf("main port: %d", status)
	}
	m := regexp.MustCompile(`msg="serving metrics" url=(http://\S+)/metrics`).FindStringSubmatch(stop())
	if m == nil {
		t.Fatal("no line in the log")
	}
	off, _ := start(t, "--metrics", "off")
	if status, _ := get(t, client(nil), off+"/metrics"); status != 404 {
		t.Errorf("off: %d", status)
	}
}

// TestStopping follows a server that is told to stop: it is not ready, tells its clients, and ends.
func TestStopping(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := parse([]string{"--listen", "127.0.0.1:0", "--shutdown-delay", "1h"}, noEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if n.ready.Load() {
		t.Error("ready before it serves")
	}
	ended := make(chan error, 1)
	go func() { ended <- n.serve(ctx, http.NotFoundHandler()) }()
	url := "http://" + n.ln.Addr().String()
	for {
		if status, body := get(t, client(nil), url+"/readyz"); status == 200 && body == "ready\n" {
			break
		}
	}
	conn, _ := shake(t, client(nil), url+"/signal")
	cancel()
	for {
		if status, body := get(t, client(nil), url+"/readyz"); status == 503 && body == "not ready\n" {
			break
		}
	}
	if status, _ := get(t, client(nil), url+"/healthz"); status != 200 {
		t.Errorf("healthz while it waits: %d", status)
	}
	if m := join(t, conn, testRoom, ""); m.Type != protocol.TypeJoined {
		t.Errorf("join while it waits: %+v", m)
	}
	n.ln.Close() // ends the hour
	if err := <-ended; err == nil {
		t.Error("no word of the listener's end")
	}
}

func TestTURNFlags(t *testing.T) {
	url, stop := start(t, "--auth-key", testSecret, "--turn", "--turn-listen", "127.0.0.1:0", "--turn-ttl", "10m")
	conn, _ := shake(t, client(nil), url+"/signal")
	for _, tt := range []struct {
		permissions string
		servers     int
	}{{"join", 1}, {"join,turn", 2}} {
		token := issued(t, "--room", testRoom, "--permissions", tt.permissions, "--auth-key", testSecret)
		write(t, conn, &protocol.Message{Type: protocol.TypeJoin, Room: testRoom, Token: token})
		m := read(t, conn)
		if m.Type != protocol.TypeICE || len(m.ICEServers) != tt.servers {
			t.Fatalf("%s: %+v", tt.permissions, m)
		}
		if tt.servers == 2 && (m.TTL != 600 || m.ICEServers[1].Username == "" || len(m.ICEServers[1].URLs) != 2) {
			t.Errorf("%+v", m)
		}
		if u := m.ICEServers[0].URLs; len(u) != 1 || !strings.HasPrefix(u[0], "stun:127.0.0.1:") {
			t.Fatalf("%+v", m)
		}
		if m := read(t, conn); m.Type != protocol.TypeJoined {
			t.Fatalf("%+v", m)
		}
	}
	if log := stop(); !strings.Contains(log, `msg="serving TURN" urls="turn:127.0.0.1:`) {
		t.Errorf("log:\n%s", log)
	}
}

// TestTURNOverTLS shakes hands as clients do that name the protocol, RFC 7443, on the port that has the pages' certificate.
func TestTURNOverTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	url, _ := start(t, "--tls-cert", cert, "--tls-key", key, "--turn", "--turn-listen", "127.0.0.1:0", "--turn-tls-listen", "127.0.0.1:0")
	conn, _ := shake(t, client(&tls.Config{RootCAs: pool}), url+"/signal")
	write(t, conn, &protocol.Message{Type: protocol.TypeJoin, Room: testRoom})
	m := read(t, conn)
	if m.Type != protocol.TypeICE {
		t.Fatalf("%+v", m)
	}
	urls := m.ICEServers[1].URLs
	address, _, _ := strings.Cut(strings.TrimPrefix(urls[len(urls)-1], "turns:"), "?")
	for _, protocols := range [][]string{nil, {"stun.turn"}} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, NextProtos: protocols})
		if err != nil {
			t.Fatalf("%s with %q: %v", address, protocols, err)
		}
		conn.Close()
	}
}

// TestSecretOutlivesTheServer has a client keep its id with a server that was started anew.
func TestSecretOutlivesTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	resume := func(url, token string) *protocol.Message {
		conn, _, err := websocket.Dial(t.Context(), url+"/signal", &websocket.DialOptions{HTTPClient: client(nil), Subprotocols: []string{protocol.Subprotocol}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		write(t, conn, &protocol.Message{Type: protocol.TypeHello, Resume: token})
		return read(t, conn)
	}
	one, stop := start(t, "--secret", "file:"+path)
	first := resume(one, "")
	stop()
	two, _ := start(t, "--secret", testSecret)
	other, _ := start(t)
	if m := resume(two, first.Resume); m.YourPeerID != first.YourPeerID {
		t.Errorf("%+v, want %s", m, first.YourPeerID)
	}
	if m := resume(other, first.Resume); m.YourPeerID == first.YourPeerID {
		t.Errorf("another server took it: %+v", m)
	}
}

func TestKeyPair(t *testing.T) {
	cert, key, _ := certificate(t)
	log := newLines()
	pair, err := newKeyPair(cert, key, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serial := func(c *tls.Certificate) string { return string(c.Certificate[0]) }
	now := time.Now()
	old := serial(pair.get(now))
	replace := func(from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
		later := now.Add(time.Hour) // whatever the file system's clock is worth
		now = later
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	newCert, newKey, _ := certificate(t)
	replace(newCert, cert)
	if serial(pair.get(now.Add(certInterval))) != old {
		t.Error("a certificate without its key was taken")
	}
	log.await(t, "certificate stays")
	replace(newKey, key)
	if serial(pair.get(now.Add(certInterval))) == old {
		t.Error("still the old one")
	}
	log.await(t, "certificate read again")
}

func TestJSONLog(t *testing.T) {
	log := newLines()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--log-format", "json"}, noEnv, log) }()
	log.await(t, `"msg":"listening"`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
