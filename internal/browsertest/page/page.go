//go:build !js

// Package page runs Go programs that were compiled for GOOS=js GOARCH=wasm in pages of a headless Chromium. It is for tests
// and benchmarks; nothing that users build imports it.
package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/chromedp"
)

// ErrNoBrowser is returned by Open when there is no Chromium on this machine.
var ErrNoBrowser = errors.New("page: no Chromium found, install one or set Options.Path")

// Options of Open. The zero value of a field is its default.
type Options struct {
	// Path of the browser. Default: the first Chromium or Chrome on PATH.
	Path string
	// MDNS leaves the local addresses in ICE candidates hidden behind mDNS names, as they are for users. Default: shown,
	// which makes connections start in half the time and works where there is no multicast.
	MDNS bool
	// Switches are further command line switches, name to value; "" stands for a switch without value.
	Switches map[string]string
	// Log receives what the browser itself prints. Default: discarded.
	Log io.Writer
}

// Browser is one Chromium with an empty profile of its own, and the loopback server that its pages come from. All pages have
// one origin, so they share IndexedDB, Web Locks and BroadcastChannels as the tabs of one user do.
type Browser struct {
	ctx    context.Context
	stop   context.CancelFunc
	server *http.Server
	origin string
	files  *files
	served sync.WaitGroup
	close  sync.Once
}

// Open starts a browser. It ends at Close, or when ctx does.
func Open(ctx context.Context, opts *Options) (*Browser, error) {
	if opts == nil {
		opts = &Options{}
	}
	path, err := find(opts.Path)
	if err != nil {
		return nil, err
	}
	files, err := newFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("open browser: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open browser: %w", err)
	}
	b := &Browser{files: files, origin: "http://" + listener.Addr().String(), server: &http.Server{Handler: files}}
	b.served.Go(func() { _ = b.server.Serve(listener) }) // always ErrServerClosed: Close ended it

	allocCtx, stopAlloc := chromedp.NewExecAllocator(ctx, flags(path, opts)...)
	browserCtx, stopBrowser := chromedp.NewContext(allocCtx)
	b.ctx, b.stop = browserCtx, func() { stopBrowser(); stopAlloc() }
	if err := chromedp.Do(browserCtx); err != nil {
		b.Close()
		return nil, fmt.Errorf("open browser: %w", err)
	}
	return b, nil
}

// Close ends the browser with all its pages and waits until its processes are gone and its profile is removed.
func (b *Browser) Close() {
	b.close.Do(func() {
		b.stop()
		_ = b.server.Close() // nothing to do about a listener that does not close
		b.served.Wait()
	})
}

func find(path string) (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	if path != "" {
		names = []string{path}
	}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", ErrNoBrowser
}

func flags(path string, opts *Options) []chromedp.ExecAllocatorOption {
	hidden := []string{"Translate", "BlinkGenPropertyTrees"}
	if !opts.MDNS {
		hidden = append(hidden, "WebRtcHideLocalIpsWithMdns")
	}
	switches := map[string]string{
		"no-sandbox":               "",
		"disable-gpu":              "",
		"disable-component-update": "",
		"disable-features":         strings.Join(hidden, ","),
	}
	maps.Copy(switches, opts.Switches)
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if opts.Log != nil {
		flags = append(flags, chromedp.CombinedOutput(opts.Log))
	}
	for name, value := range switches {
		if value == "" {
			flags = append(flags, chromedp.Flag(name, true))
		} else {
			flags = append(flags, chromedp.Flag(name, value))
		}
	}
	return flags
}

// crashed calls f when the page of ctx crashes.
func crashed(ctx context.Context, f func()) error {
	if err := chromedp.Listen(ctx, func(event any) {
		if _, ok := event.(*inspector.EventTargetCrashed); ok {
			f()
		}
	}); err != nil {
		return err
	}
	_, err := chromedp.Call(ctx, inspector.Enable, struct{}{})
	return err
}
