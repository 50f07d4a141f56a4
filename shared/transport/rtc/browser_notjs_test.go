//go:build !js

package rtc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/internal/browsertest/page"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// browsers compiles testdata/page and returns a function that opens a browser.
func browsers(t *testing.T) (wasm string, open func(t *testing.T, opts page.Options) *page.Browser) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a browser")
	}
	wasm = filepath.Join(t.TempDir(), "page.wasm")
	build := exec.Command("go", "build", "-o", wasm, "./testdata/page")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return wasm, func(t *testing.T, opts page.Options) *page.Browser {
		t.Helper()
		browser, err := page.Open(t.Context(), &opts)
		if errors.Is(err, page.ErrNoBrowser) && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(browser.Close)
		return browser
	}
}

// show opens a page that the lab's server knows as id.
func (l *lab) show(browser *page.Browser, wasm, id string) (p *page.Page, output *bytes.Buffer) {
	l.t.Helper()
	output = new(bytes.Buffer)
	started := make(chan struct{})
	var sending sync.Mutex
	deliver := l.server.Serve(l.ctx, id, func(text string) {
		<-started
		sending.Lock()
		defer sending.Unlock()
		_ = p.Send(text) // it fails when the page is gone, as signals to a peer that is gone do
	})
	p, err := browser.Start(l.ctx, page.Program{
		Wasm: wasm, Args: []string{"page"}, Stdout: output, Stderr: output, Message: func(text string) { _ = deliver(text) },
	})
	if err != nil {
		l.t.Fatal(err)
	}
	close(started)
	l.t.Cleanup(p.Close)
	return p, output
}

// echo sends msg to a page and expects it back.
func (l *lab) echo(c transport.Conn, lane transport.Lane, msg []byte) {
	l.t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- c.Send(l.ctx, lane, msg) }()
	gotLane, got, err := c.Receive(l.ctx)
	if err != nil || gotLane != lane || !bytes.Equal(got, msg) {
		l.t.Fatalf("%d bytes on lane %d came back as %d bytes on lane %d, error %v", len(msg), lane, len(got), gotLane, err)
	}
	if err := <-sent; err != nil {
		l.t.Fatal(err)
	}
}

// checkPath exchanges messages of all sorts with a page, and compares what the two ends say of their connection.
func (l *lab) checkPath(c transport.Conn) {
	l.t.Helper()
	const big = 2 << 20
	for _, size := range []int{0, 1, 65_534, 65_535, 65_536, 300_000, big} {
		l.echo(c, transport.Live, bytes.Repeat([]byte{byte(size)}, size))
		l.echo(c, transport.Bulk, bytes.Repeat([]byte{byte(size + 1)}, size))
	}
	if err := c.Send(l.ctx, transport.Live, []byte("report")); err != nil {
		l.t.Fatal(err)
	}
	_, msg, err := c.Receive(l.ctx)
	var there struct {
		Binding []byte
		Stats   transport.Stats
	}
	if err := errors.Join(err, json.Unmarshal(msg, &there)); err != nil {
		l.t.Fatal(err)
	}
	here := c.Stats(l.ctx)
	if !bytes.Equal(there.Binding, c.Binding()) {
		l.t.Errorf("bindings %x here and %x there", c.Binding(), there.Binding)
	}
	for name, s := range map[string]transport.Stats{"pion": here, "page": there.Stats} {
		if s.LocalCandidate == "" || s.RemoteCandidate == "" || s.Relayed || s.RTT <= 0 ||
			s.BytesSent < big || s.BytesReceived < big {
			l.t.Errorf("statistics of %s: %+v", name, s)
		}
	}
}

// TestPage: pion and a page understand each other, whoever begins, with local addresses shown or hidden behind mDNS names; an
// end is noticed on both sides.
func TestPage(t *testing.T) {
	wasm, open := browsers(t)
	loopback := map[string]string{"allow-loopback-in-peer-connection": ""}
	for name, test := range map[string]struct {
		browser page.Options
		all     bool // interfaces
	}{
		"loopback":          {browser: page.Options{Switches: loopback}},
		"loopback and mDNS": {browser: page.Options{Switches: loopback, MDNS: true}},
		"as for users":      {browser: page.Options{MDNS: true}, all: true},
	} {
		t.Run(name, func(t *testing.T) {
			browser := open(t, test.browser)
			for _, id := range []string{"a", "z"} {
				t.Run(id, func(t *testing.T) {
					l := newLab(t)
					s := setup{}
					if test.all {
						s.change = func(*rtc.NativeConfig) {}
					}
					m := l.member("m", s)
					p, output := l.show(browser, wasm, id)
					c := m.accept()
					l.checkPath(c)
					if err := c.Close(); err != nil { // a new one is made then
						t.Error(err)
					}
					c = m.accept()
					l.echo(c, transport.Live, []byte("again"))
					if err := p.Send("!quit"); err != nil {
						t.Fatal(err)
					}
					if err := l.ended(c); !errors.Is(err, net.ErrClosed) {
						t.Errorf("Receive = %v", err)
					}
					if code, err := p.Wait(); code != 0 || err != nil {
						t.Errorf("page: code %d, %v\n%s", code, err, output)
					}
				})
			}
		})
	}
}

// TestPageVanishes: of a tab that is closed or reloaded, without its program being asked, pion notices the end, and connects to
// the page that comes in its place.
func TestPageVanishes(t *testing.T) {
	wasm, open := browsers(t)
	browser := open(t, page.Options{Switches: map[string]string{"allow-loopback-in-peer-connection": ""}})
	for _, id := range []string{"a", "z"} {
		t.Run(id, func(t *testing.T) {
			l := newLab(t)
			m := l.member("m", setup{})
			p, _ := l.show(browser, wasm, id)
			c := m.accept()
			l.echo(c, transport.Live, []byte("hello"))
			p.Close()
			l.server.Drop(id)
			err := l.ended(c)
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("Receive = %v", err)
			}
			t.Log(err)
			l.show(browser, wasm, id)
			l.echo(m.accept(), transport.Live, []byte("hello again"))
		})
	}
}
