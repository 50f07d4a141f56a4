//go:build !js

package signaling_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
)

// wire is a TCP connection through which a test's clients reach a server, and which it can cut at the client's end alone.
type wire struct {
	ln    net.Listener
	to    string
	wg    sync.WaitGroup
	mu    sync.Mutex // guards the following fields
	ends  []net.Conn
	fars  []net.Conn
	ended bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{ln: ln, to: to}
	w.wg.Go(w.accept)
	t.Cleanup(func() {
		ln.Close()
		w.cut()
		w.mu.Lock()
		w.ended = true
		for _, c := range w.fars {
			c.Close()
		}
		w.mu.Unlock()
		w.wg.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.ends = append(w.ends, near)
		w.fars = append(w.fars, far)
		w.mu.Unlock()
		w.wg.Go(func() { io.Copy(far, near) })
		w.wg.Go(func() { io.Copy(near, far) })
	}
}

// cut ends the connections for the client. The server does not learn of it.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.ends {
		c.Close()
	}
	w.ends = nil
}

// TestResumeHangingConnection reconnects while the server still holds the old connection for alive: no ghost, and the others
// notice nothing.
func TestResumeHangingConnection(t *testing.T) {
	h, url := serve(t, nil)
	w := newWire(t, url[len("ws://"):])
	a, aID := connect(t, "ws://"+w.ln.Addr().String(), nil)
	join(t, a, "room-1")
	b, bID := connect(t, url, nil)
	join(t, b, "room-1")
	next[signaling.PeerJoined](t, a)
	next[signaling.PeerJoined](t, b)
	for range 3 {
		w.cut()
		next[signaling.Disconnected](t, a)
		a.Wake()
		if got := next[signaling.Connected](t, a).Self; got != aID {
			t.Fatalf("id %s, want %s", got, aID)
		}
		next[signaling.Joined](t, a)
		if err := b.Send(t.Context(), "room-1", aID, json.RawMessage(`1`)); err != nil {
			t.Fatal(err)
		}
		if got := next[signaling.Signal](t, a); got.Peer != bID {
			t.Fatalf("signal %+v", got)
		}
	}
	if err := a.Send(t.Context(), "room-1", bID, json.RawMessage(`2`)); err != nil {
		t.Fatal(err)
	}
	next[signaling.Signal](t, b) // the first event since
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); h.Stats().Connections != 2; <-tick.C { // the server gives the old ones some seconds
		if time.Now().After(deadline) {
			t.Fatalf("%+v", h.Stats())
		}
	}
}

// TestServerRestart stops the server and starts another in its place.
func TestServerRestart(t *testing.T) {
	for _, key := range []string{"", "a key that survives"} {
		t.Run("key "+key, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			opts := &hub.Options{}
			if key != "" {
				opts.ResumeKey = []byte(key)
			}
			stop := run(t, ln, opts)
			url := "ws://" + ln.Addr().String()
			a, aID := connect(t, url, nil)
			join(t, a, "room-1")
			b, _ := connect(t, url, nil)
			join(t, b, "room-1")
			next[signaling.PeerJoined](t, a)
			next[signaling.PeerJoined](t, b)
			stop()
			for _, c := range []*signaling.Client{a, b} {
				e := nextAny(t, c)
				if _, ok := e.(signaling.PeerLeft); ok { // the other one was seen off first
					e = nextAny(t, c)
				}
				if got, ok := e.(signaling.Disconnected); !ok || !errors.Is(got.Err, protocol.ErrGoingAway) {
					t.Fatalf("%T%+v", e, e)
				}
			}
			ln, err = net.Listen("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer run(t, ln, opts)()
			back := make(map[string]string)
			for name, c := range map[string]*signaling.Client{"a": a, "b": b} {
				c.Wake()
				for back[name] == "" {
					if e, ok := nextAny(t, c).(signaling.Connected); ok {
						back[name] = e.Self
					}
				}
				next[signaling.Joined](t, c)
			}
			if (back["a"] == aID) != (key != "") {
				t.Errorf("id %s after %s with key %q", back["a"], aID, key)
			}
			if err := a.Send(t.Context(), "room-1", back["b"], json.RawMessage(`1`)); err != nil {
				t.Fatal(err)
			}
			for {
				if e, ok := nextAny(t, b).(signaling.Signal); ok && e.Peer == back["a"] {
					break
				}
			}
		})
	}
}

// run serves a hub on ln until stop is called.
func run(t *testing.T, ln net.Listener, opts *hub.Options) (stop func()) {
	h := hub.New(opts)
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(h.Listener(ln, "/"))
	}()
	return func() {
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
		<-done
	}
}

func TestRefusalsOfARealHub(t *testing.T) {
	bad := errors.New("expired")
	_, url := serve(t, &hub.Options{Authorize: func(_, token string) (hub.Grant, error) {
		if token != "good" {
			return hub.Grant{}, bad
		}
		return hub.Grant{}, nil
	}, ICEServers: func(string, bool) ([]protocol.ICEServer, time.Duration) {
		return []protocol.ICEServer{{URLs: []string{"stun:127.0.0.1:3478"}}}, time.Hour
	}})
	token := "bad"
	c, _ := connect(t, url, &signaling.Options{Token: func(context.Context, string) (string, error) { return token, nil }})
	if err := c.Join("room-1"); err != nil {
		t.Fatal(err)
	}
	refused := next[signaling.Refused](t, c)
	if refused.Room != "room-1" || !errors.Is(refused.Err, protocol.ErrUnauthorized) {
		t.Fatalf("%+v", refused)
	}
	token = "good"
	if err := c.Join("room-1"); err != nil {
		t.Fatal(err)
	}
	if ice := next[signaling.ICEServers](t, c); len(ice.Servers) != 1 || ice.TTL != time.Hour {
		t.Fatalf("%+v", ice)
	}
	next[signaling.Joined](t, c)
	if err := c.Send(t.Context(), "room-1", "nobodynobody", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	if got := next[signaling.Refused](t, c); got.Peer != "nobodynobody" || !errors.Is(got.Err, protocol.ErrUnknownPeer) {
		t.Fatalf("%+v", got)
	}
}

// TestWrongServer connects to what is no signaling server, or speaks another dialect.
func TestWrongServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	go s.Serve(ln)
	defer s.Close()
	c := signaling.New("ws://"+ln.Addr().String(), nil)
	defer c.Close()
	if got := next[signaling.Disconnected](t, c); got.Err == nil {
		t.Errorf("%+v", got)
	}
	nobody := signaling.New("ws://127.0.0.1:1", nil)
	defer nobody.Close()
	if got := next[signaling.Disconnected](t, nobody); got.Err == nil {
		t.Errorf("%+v", got)
	}
}
