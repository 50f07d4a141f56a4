// Package chrome runs headless Chromium for tests: processes with a profile on disk, and tabs in them. Its functions fail the test
// rather than return errors.
package chrome

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Profile is what one user has on disk.
type Profile struct{ dir string }

// NewProfile makes an empty profile that is removed after the test.
func NewProfile(t testing.TB) *Profile {
	t.Helper()
	dir, err := os.MkdirTemp("", "chrome-profile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not t.TempDir: processes of a browser that has ended may write for a moment more, which is no fault of what is tested.
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove profile: %v", err)
		}
	})
	return &Profile{dir: dir}
}

// Options of Profile.Open. The zero value is good.
type Options struct {
	// MDNS leaves local addresses in ICE candidates hidden, as they are for users. Default: shown, which is quicker.
	MDNS bool
	// Width and Height of the window. Default: 1280 by 800.
	Width, Height int
}

// Browser is one process on a profile.
type Browser struct {
	t      testing.TB
	ctx    context.Context
	cancel context.CancelFunc
	close  sync.Once
}

// Open starts a browser. It is closed after the test at the latest. A profile is open in one browser at a time.
func (p *Profile) Open(t testing.TB, opts *Options) *Browser {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	path := find(t)
	width, height := 1280, 800
	if opts.Width > 0 {
		width, height = opts.Width, opts.Height
	}
	hidden := []string{"Translate", "BlinkGenPropertyTrees"}
	if !opts.MDNS {
		hidden = append(hidden, "WebRtcHideLocalIpsWithMdns")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(p.dir),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.WindowSize(width, height),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", strings.Join(hidden, ",")),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &Browser{t: t, ctx: ctx, cancel: func() { cancel(); stop() }}
	t.Cleanup(b.Close)
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		t.Fatalf("start Chromium: %v", err)
	}
	return b
}

func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is not on PATH; make chromium installs it")
	return ""
}

// closing bounds how long a browser may take to close itself.
const closing = 10 * time.Second

// Close closes the browser as its user does, and waits until the profile is free.
func (b *Browser) Close() {
	b.close.Do(func() {
		ctx, cancel := context.WithTimeout(b.ctx, closing)
		defer cancel()
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			b.t.Logf("close Chromium: %v", err)
		}
		b.cancel()
	})
}

// Kill ends the browser's main process without a word, and all others follow it.
func (b *Browser) Kill() {
	b.t.Helper()
	b.close.Do(func() {
		process := chromedp.FromContext(b.ctx).Browser.Process()
		if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			b.t.Errorf("kill Chromium: %v", err)
		}
		b.cancel()
	})
}
