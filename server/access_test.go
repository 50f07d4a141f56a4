package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/shoaldb/shoal/server/auth"
	"github.com/shoaldb/shoal/shared/protocol"
)

const (
	testSecret = "a secret of more than 32 bytes, for tests"
	testRoom   = "my-users-pool"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// handmade makes a token by hand, so that what is checked is not what made it.
func handmade(header, claims string, sign func(text string) []byte) string {
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	return text + "." + b64(sign(text))
}

func hmac256(key string) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func claims(room string, end time.Time) string {
	return fmt.Sprintf(`{"rooms":[%q],"exp":%d}`, room, end.Unix())
}

// issued runs the command token.
func issued(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := runToken(args, noEnv, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

func write(t *testing.T, conn *websocket.Conn, m *protocol.Message) {
	t.Helper()
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, text); err != nil {
		t.Fatal(err)
	}
}

// join asks to enter a room and returns the answer to that.
func join(t *testing.T, conn *websocket.Conn, room, token string) *protocol.Message {
	t.Helper()
	write(t, conn, &protocol.Message{Type: protocol.TypeJoin, Room: room, Token: token})
	for {
		if m := read(t, conn); m.Type == protocol.TypeJoined || m.Type == protocol.TypeError {
			return m
		}
	}
}

func TestTokens(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks := filepath.Join(t.TempDir(), "keys.json")
	set := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":%q}]}`, b64(public))
	if err := os.WriteFile(jwks, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, "--auth-key", testSecret, "--auth-jwks-file", jwks)
	later := time.Now().Add(time.Hour)
	good := claims(testRoom, later)
	hs384 := func(text string) []byte {
		mac := hmac.New(sha512.New384, []byte(testSecret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	ed := func(text string) []byte { return ed25519.Sign(private, []byte(text)) }
	none := func(string) []byte { return nil }
	for _, tt := range []struct {
		name, token, refusal string // refusal "" for none
	}{
		{"HS256", handmade(`{"alg":"HS256"}`, good, hmac256(testSecret)), ""},
		{"EdDSA", handmade(`{"alg":"EdDSA","kid":"ed"}`, good, ed), ""},
		{"command", issued(t, "--room", testRoom, "--auth-key", testSecret), ""},
		{"command with a prefix", issued(t, "--room", "x*", "--room", "my-*", "--ttl", "2m", "--auth-key", testSecret), ""},
		{"no token", "", "no token"},
		{"garbage", "garbage", "not a signed JWT"},
		{"expired", handmade(`{"alg":"HS256"}`, claims(testRoom, time.Now().Add(-time.Second)), hmac256(testSecret)), "token expired at"},
		{"without an end", handmade(`{"alg":"HS256"}`, `{"rooms":["my-users-pool"]}`, hmac256(testSecret)), "exp"},
		{"other room", handmade(`{"alg":"HS256"}`, claims("your-users-pool", later), hmac256(testSecret)), `not for this room "my-users-pool"`},
		{"other key", handmade(`{"alg":"HS256"}`, good, hmac256("another secret of more than 32 bytes, too")), "none of this server's keys"},
		{"HS384", handmade(`{"alg":"HS384"}`, good, hs384), `algorithm not allowed: "HS384"`},
		{"alg none", handmade(`{"alg":"none"}`, good, none), `algorithm not allowed: "none"`},
		{"alg None", handmade(`{"alg":"None"}`, good, none), `algorithm not allowed: "None"`},
		{"the public key as a secret", handmade(`{"alg":"HS256","kid":"ed"}`, good, hmac256(string(public))), "none of this server's keys"},
		{"without permission", issued(t, "--room", testRoom, "--permissions", "relay,turn", "--auth-key", testSecret), "permission to join"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, _ := shake(t, client(nil), url+"/signal")
			m := join(t, conn, testRoom, tt.token)
			switch {
			case tt.refusal == "" && (m.Type != protocol.TypeJoined || m.TTL == 0):
				t.Errorf("%+v, want to be in", m)
			case tt.refusal != "" && (m.Code != protocol.CodeUnauthorized || !strings.Contains(m.Text, tt.refusal)):
				t.Errorf("%+v, want a refusal that says %q", m, tt.refusal)
			}
		})
	}
}

// TestTokenOfRxDBClient has a token in the URL, where alone RxDB's clients can have it.
func TestTokenOfRxDBClient(t *testing.T) {
	url, _ := start(t, "--auth-key", testSecret)
	for _, tt := range []struct {
		token string
		in    bool
	}{
		{issued(t, "--room", testRoom, "--auth-key", testSecret), true},
		{issued(t, "--room", "your-users-pool", "--auth-key", testSecret), false},
	} {
		conn, _, err := websocket.Dial(t.Context(), url+"/?token="+tt.token, &websocket.DialOptions{HTTPClient: client(nil)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.CloseNow() })
		id := read(t, conn).YourPeerID
		write(t, conn, &protocol.Message{Type: protocol.TypeJoin, Room: testRoom})
		if !tt.in { // that dialect has no word for it: nothing may come before the answer to something final
			write(t, conn, &protocol.Message{Type: "nonsense"})
			if _, text, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusInvalidFramePayloadData {
				t.Errorf("%s, %v", text, err)
			}
			continue
		}
		if m := read(t, conn); len(m.OtherPeerIDs) != 1 || m.OtherPeerIDs[0] != id {
			t.Errorf("%+v", m)
		}
	}
}

func TestKeysOffLoopback(t *testing.T) {
	url, _ := start(t, "--listen", "0.0.0.0:0", "--auth-key", testSecret)
	if !strings.Contains(url, "[::]") && !strings.Contains(url, "0.0.0.0") {
		t.Errorf("url %s", url)
	}
}

// lines is a log whose lines can be waited for.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	written chan struct{}
}

func newLines() *lines { return &lines{written: make(chan struct{}, 1)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.written <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

// await waits until the log has the words.
func (l *lines) await(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		l.mu.Lock()
		text := l.text.String()
		l.mu.Unlock()
		if strings.Contains(text, words) {
			return
		}
		select {
		case <-l.written:
		case <-ctx.Done():
			t.Fatalf("no %q in the log:\n%s", words, text)
		}
	}
}

func TestWatchKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	put := func(text string) {
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put(testSecret)
	keys, err := auth.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	log := newLines()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { watchKeys(ctx, keys, time.Millisecond, slog.New(slog.NewTextHandler(log, nil))) })
	enter := authorize(keys)
	old := issued(t, "--room", testRoom, "--auth-key", testSecret)
	const next = "the next secret, of more than 32 bytes too"
	put("short")
	log.await(t, "keys stay what they were")
	if _, err := enter(testRoom, old); err != nil {
		t.Errorf("after a bad file: %v", err)
	}
	put(next + "\n" + testSecret + "\n")
	log.await(t, "keys=2")
	put(next + "\n")
	log.await(t, "keys=1")
	if g, err := enter(testRoom, old); err == nil {
		t.Errorf("the old key still counts: %+v", g)
	}
	g, err := enter(testRoom, issued(t, "--room", testRoom, "--permissions", "join,turn", "--auth-key", next))
	if err != nil || !g.TURN || g.Relay || time.Until(g.Expires) > time.Hour || time.Until(g.Expires) < 59*time.Minute {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestTokenCommand(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"SHOAL_AUTH_KEY": testSecret, "SHOAL_ROOM": "not-a-variable"}[name]
	}
	var out bytes.Buffer
	if err := runToken([]string{"--room", testRoom, "--subject", "ann", "--permissions", "join"}, env, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(strings.TrimSpace(out.String()), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || len(parts) != 3 {
		t.Fatalf("%s: %v", out.String(), err)
	}
	var c auth.Claims
	if err := json.Unmarshal(payload, &c); err != nil || c.Subject != "ann" || len(c.Rooms) != 1 || len(c.Permissions) != 1 {
		t.Errorf("%s: %v", payload, err)
	}
	many := []string{"--auth-key", testSecret}
	for i := range 99 {
		many = append(many, "--room", fmt.Sprintf("%0*d", 99, i))
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--auth-key", testSecret}, "give --room"},
		{[]string{"--room", testRoom}, "give --auth-key"},
		{[]string{"--room", "five5", "--auth-key", testSecret}, "6 to 99"},
		{[]string{"--room", testRoom, "--auth-key", "short"}, "at least 32"},
		{[]string{"--room", testRoom, "--auth-key", testSecret, "--ttl", "0s"}, "--ttl"},
		{[]string{"--room", testRoom, "--auth-key", testSecret, "--permissions", "all"}, `no "all"`},
		{[]string{"--room", testRoom, "--auth-key", testSecret, "more"}, `unexpected argument "more"`},
		{[]string{"--room", testRoom, "--auth-jwks-file", "nowhere"}, "nowhere"},
		{many, "fewer rooms"},
	} {
		var out bytes.Buffer
		err := runToken(tt.args, noEnv, &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%v: %q, %v, want %q", tt.args, out.String(), err, tt.want)
		}
	}
}
