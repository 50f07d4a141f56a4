package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/protocol"
)

// asServer is the environment variable that has this binary be a server.
const asServer = "SHOAL_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	leakcheck.Main(m)
}

// patience bounds waits. What takes so long, on a machine with much else to do, does not come.
const patience = 2 * time.Minute

func noEnv(string) string { return "" }

// start runs the server with args and returns its URL, and a function that stops it and returns its log.
func start(t *testing.T, args ...string) (url string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), noEnv, w)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	var log strings.Builder
	found := regexp.MustCompile(`msg=listening url=(\S+)/`)
	for lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		if m := found.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
			break
		}
	}
	if url == "" {
		cancel()
		t.Fatalf("the server ended: %v", <-ended)
	}
	rest := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		rest <- string(b)
	}()
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			cancel()
			fmt.Fprint(&log, <-rest)
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		return log.String()
	}
	t.Cleanup(func() { stop() })
	return url, stop
}

// client is an HTTP client without connections to keep.
func client(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// shake opens a WebSocket, says hello and returns the answer.
func shake(t *testing.T, c *http.Client, url string) (*websocket.Conn, *protocol.Message) {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: c, Subprotocols: []string{protocol.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"hello"}`)); err != nil {
		t.Fatal(err)
	}
	return conn, read(t, conn)
}

func read(t *testing.T, conn *websocket.Conn) *protocol.Message {
	t.Helper()
	_, text, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var m protocol.Message
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

func TestServe(t *testing.T) {
	url, stop := start(t)
	c := client(nil)
	if status, body := get(t, c, url+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if status, body := get(t, c, url+"/"); status != 200 && !strings.Contains(body, "run make build") {
		t.Errorf("page: %d %q", status, body)
	}
	if status, _ := get(t, c, url+"/nothing"); status != 404 {
		t.Errorf("nothing: %d", status)
	}
	if status, _ := get(t, c, url+"/signal"); status != 426 {
		t.Errorf("signal without upgrade: %d", status)
	}
	var conns []*websocket.Conn
	for _, path := range []string{"/", "/signal", "/signal?x=y"} {
		conn, init := shake(t, c, url+path)
		if init.Type != protocol.TypeInit {
			t.Errorf("%s: %+v", path, init)
		}
		conns = append(conns, conn)
	}
	done := make(chan string)
	go func() { done <- stop() }()
	for _, conn := range conns {
		if m := read(t, conn); m.Code != protocol.CodeGoingAway {
			t.Errorf("at the end: %+v", m)
		}
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("closed with %v", err)
		}
	}
	if log := <-done; strings.Contains(log, "cut off") {
		t.Errorf("did not end gracefully:\n%s", log)
	}
}

func TestServeTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	url, _ := start(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("url %s", url)
	}
	c := client(&tls.Config{RootCAs: pool})
	if status, body := get(t, c, url+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", status, body)
	}
	if _, init := shake(t, c, url+"/signal"); init.Type != protocol.TypeInit {
		t.Errorf("%+v", init)
	}
	two := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	resp, err := two.Get(url + "/signal")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 426 || resp.Header.Get("Upgrade") != "" { // which RFC 9113, section 8.2.2 forbids
		t.Errorf("by HTTP/2: %s %s, %v", resp.Proto, resp.Status, resp.Header)
	}
}

func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

func TestProfiles(t *testing.T) {
	_, stop := start(t, "--pprof", "127.0.0.1:0")
	log := stop()
	if !strings.Contains(log, `msg="serving profiles" url=http://127.0.0.1:`) {
		t.Errorf("log:\n%s", log)
	}
}

// TestSlowloris leaves requests unfinished with the real server's listener; others are served.
func TestSlowloris(t *testing.T) {
	url, _ := start(t)
	for range 50 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /signal HTTP/1.1\r\nUpgrade: websocket\r\n")
	}
	if status, _ := get(t, client(nil), url+"/healthz"); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if _, init := shake(t, client(nil), url+"/signal"); init.Type != protocol.TypeInit {
		t.Errorf("%+v", init)
	}
}

// single is a listener with one connection.
type single struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *single) Close() error   { close(l.closed); return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// TestUnfinishedRequests leaves requests without the rest of their header, or their body: the connection ends.
func TestUnfinishedRequests(t *testing.T) {
	for _, request := range []string{"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"} {
		synctest.Test(t, func(t *testing.T) {
			n := &node{log: slog.New(slog.DiscardHandler)}
			s := n.server(http.NotFoundHandler())
			l := &single{make(chan net.Conn, 1), make(chan struct{})}
			near, far := net.Pipe()
			l.conns <- far
			go s.Serve(l)
			defer s.Close()
			if _, err := io.WriteString(near, request); err != nil {
				t.Fatal(err)
			}
			near.SetReadDeadline(time.Now().Add(time.Hour))
			if answer, err := io.ReadAll(near); err != nil {
				t.Errorf("%q is answered %q, and then: %v", request, answer, err)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", ln.Addr().String()}, "another program uses the port"},
		{[]string{"--listen", ":0"}, "say --open if that is meant"},
		{[]string{"--listen", "0.0.0.0:0"}, "say --open if that is meant"},
		{[]string{"--listen", "[::]:0"}, "say --open if that is meant"},
		{[]string{"--listen", "nonsense"}, "missing port"},
		{[]string{"--listen", "127.0.0.1:0", "--pprof", "0.0.0.0:0"}, "for this machine only"},
		{[]string{"--tls-cert", "x"}, "need each other"},
		{[]string{"--listen", "127.0.0.1:0", "--tls-cert", "none", "--tls-key", "none"}, "none"},
		{[]string{"--max-rooms", "many"}, "max-rooms"},
		{[]string{"--trusted-proxies", "10.0.0.0/8,proxy"}, `"proxy" is neither`},
		{[]string{"--open", "--auth-key", testSecret}, "--open is for a server without keys"},
		{[]string{"--auth-key", "short"}, "HS256 needs at least 32"},
		{[]string{"--auth-key", "file:nowhere"}, "nowhere"},
		{[]string{"--auth-jwks-file", "nowhere"}, "nowhere"},
		{[]string{"--origins", "https://a.test,b.test"}, `"b.test" is not an origin`},
		{[]string{"--origins", "https://a.test/page"}, "without a path"},
		{[]string{"--cluster-name", "x"}, "need --nats"},
		{[]string{"--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:x"}, "--nats: connect"},
		{[]string{"--turn-listen", "127.0.0.1:0"}, "need --turn"},
		{[]string{"--turn", "--turn-tls-listen", "127.0.0.1:0"}, "needs --tls-cert"},
		{[]string{"--turn", "--turn-urls", "stun:x"}, `"stun:x" is not like`},
		{[]string{"--listen", "127.0.0.1:0", "--turn", "--turn-listen", "0.0.0.0:0"}, "say --open if that is meant"},
		{[]string{"--listen", "127.0.0.1:0", "--open", "--turn", "--turn-listen", "0.0.0.0:0"}, "by which name or address"},
		{[]string{"--listen", "127.0.0.1:0", "--metrics", ln.Addr().String()}, "--metrics: listen on"},
		{[]string{"--log-format", "xml"}, "text or json"},
		{[]string{"--listen", "127.0.0.1:0", "--secret", "short"}, "--secret has 5 bytes"},
		{[]string{"--listen", "127.0.0.1:0", "--secret", "file:nowhere"}, "nowhere"},
		{[]string{"serve"}, `unexpected argument "serve"`},
		{[]string{"--log-level", "loud"}, "log-level"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := run(ctx, tt.args, noEnv, io.Discard)
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"--listen", "0.0.0.0:0", "--open"}, noEnv, io.Discard); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	env := map[string]string{"SHOAL_LISTEN": "127.0.0.1:9999", "SHOAL_MAX_ROOMS": "7", "SHOAL_OPEN": "true", "SHOAL_VERSION": "1.2.3", "SHOAL_ORIGINS": "https://a.test, https://b.test"}
	c, err := parse([]string{"--max-rooms=8", "--rate", "-1", "--trusted-proxies", "10.0.0.0/8, ::1, ::ffff:192.0.2.1, ::ffff:198.51.100.0/120"}, func(k string) string { return env[k] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.listen != "127.0.0.1:9999" || !c.open || c.hub.MaxRooms != 8 || c.hub.Rate != -1 {
		t.Errorf("%+v", c)
	}
	if want := []string{"https://a.test", "https://b.test"}; !reflect.DeepEqual(c.hub.Origins, want) {
		t.Errorf("origins %v", c.hub.Origins)
	}
	var want []netip.Prefix
	for _, p := range []string{"10.0.0.0/8", "::1/128", "192.0.2.1/32", "198.51.100.0/24"} {
		want = append(want, netip.MustParsePrefix(p))
	}
	if !reflect.DeepEqual(c.hub.TrustedProxies, want) {
		t.Errorf("proxies %v", c.hub.TrustedProxies)
	}
	_, err = parse(nil, func(k string) string { return map[string]string{"SHOAL_BURST": "x"}[k] }, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `environment variable SHOAL_BURST="x"`) {
		t.Errorf("bad variable: %v", err)
	}
	var help bytes.Buffer
	if _, err := parse([]string{"--help"}, noEnv, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "SHOAL_MAX_ROOMS") {
		t.Errorf("help: %v\n%s", err, help.String())
	}
	if c, err := parse(nil, noEnv, io.Discard); err != nil || c.listen != "127.0.0.1:8080" || c.open {
		t.Errorf("default: %+v, %v", c, err)
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, noEnv, &out); err != nil || !strings.HasPrefix(out.String(), "shoal-server ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
