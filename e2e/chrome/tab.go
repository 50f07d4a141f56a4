package chrome

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// Tab is a tab of a browser.
type Tab struct {
	b      *Browser
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	allowed bool
	closed  bool
}

// Tab opens a tab.
func (b *Browser) Tab(url string) *Tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	tab := &Tab{b: b, ctx: ctx, cancel: cancel}
	b.t.Cleanup(tab.Close)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("open tab: %v", err)
	}
	console := chromedp.Console(ctx)
	tab.done.Go(func() {
		for message, err := range console {
			if err != nil {
				return
			}
			tab.heard(message)
		}
	})
	tab.Navigate(url)
	return tab
}

func (tab *Tab) heard(m chromedp.ConsoleMessage) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if tab.closed {
		return // what a page that goes away still says is of no use
	}
	tab.b.t.Logf("console: %s", m)
	if (m.IsException() || m.Type == chromedp.ConsoleError && m.Source == "") && !tab.allowed {
		tab.b.t.Errorf("the page says: %s", m)
	}
}

// AllowErrors makes errors of the page stop failing the test: those that are meant to happen.
func (tab *Tab) AllowErrors() {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.allowed = true
}

// Close closes the tab.
func (tab *Tab) Close() {
	tab.mu.Lock()
	tab.closed = true
	tab.mu.Unlock()
	tab.cancel()
	tab.done.Wait()
}

// Open reports whether the tab is there: neither it nor its browser was closed or has crashed.
func (tab *Tab) Open() bool {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return !tab.closed && tab.ctx.Err() == nil
}

// patience bounds all waits. What takes so long does not come.
const patience = 3 * time.Minute

func (tab *Tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	tab.b.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.b.t.Fatalf("%s: %v", what, err)
	}
}

// Navigate goes to a page and waits until it is loaded.
func (tab *Tab) Navigate(url string) {
	tab.b.t.Helper()
	tab.do("go to "+url, chromedp.Navigate(url))
}

// Reload loads the page anew.
func (tab *Tab) Reload() {
	tab.b.t.Helper()
	tab.do("reload", chromedp.Reload())
}

// Crash ends the renderer of the tab as the kernel would. The tab is of no use any more.
func (tab *Tab) Crash() {
	tab.b.t.Helper()
	crashed := chromedp.Events(tab.ctx, inspector.TargetCrashed)
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	go chromedp.Call(ctx, page.Crash, struct{}{}) // never answered
	for _, err := range crashed {
		if err != nil {
			tab.b.t.Fatalf("crash: %v", err)
		}
		break
	}
	tab.Close()
}

// Freeze has the browser freeze the page, as it does to tabs in the background, after it has told the page so. Nothing in it runs until Thaw.
func (tab *Tab) Freeze() {
	tab.b.t.Helper()
	tab.lifecycle(page.SetWebLifecycleStateStateFrozen)
}

// Thaw undoes Freeze.
func (tab *Tab) Thaw() {
	tab.b.t.Helper()
	tab.lifecycle(page.SetWebLifecycleStateStateActive)
}

func (tab *Tab) lifecycle(state page.SetWebLifecycleStateState) {
	tab.b.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state}); err != nil {
		tab.b.t.Fatalf("make the page %s: %v", state, err)
	}
}

// Quota lets the page's origin store so many bytes, or, below 0, as many as the browser does otherwise.
func (tab *Tab) Quota(bytes int64) {
	tab.b.t.Helper()
	params := storage.OverrideQuotaForOriginParams{Origin: Eval[string](tab, `location.origin`)}
	if bytes >= 0 {
		size := float64(bytes)
		params.QuotaSize = &size
	}
	if _, err := chromedp.Call(tab.ctx, storage.OverrideQuotaForOrigin, params); err != nil {
		tab.b.t.Fatalf("set the quota: %v", err)
	}
}

// Dark makes the page see a user who prefers dark colours, or light ones.
func (tab *Tab) Dark(dark bool) {
	tab.b.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	_, err := chromedp.Call(tab.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
	})
	if err != nil {
		tab.b.t.Fatalf("prefer %s colours: %v", value, err)
	}
}

// Resize gives the page another width and height.
func (tab *Tab) Resize(width, height int) {
	tab.b.t.Helper()
	tab.do("resize", chromedp.EmulateViewport(int64(width), int64(height)))
}

// Screenshot writes a picture of the whole page to a PNG file.
func (tab *Tab) Screenshot(file string) {
	tab.b.t.Helper()
	picture, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		tab.b.t.Fatalf("screenshot: %v", err)
	}
}

// Type sends keys to what has the focus.
func (tab *Tab) Type(keys string) {
	tab.b.t.Helper()
	tab.do("type", chromedp.KeyEvent(keys))
}

// Click clicks the first element that a CSS selector finds, once it is visible.
func (tab *Tab) Click(selector string) {
	tab.b.t.Helper()
	tab.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Eval returns the value of a JavaScript expression, or what its promise is fulfilled with.
func Eval[T any](tab *Tab, expression string) T {
	tab.b.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// Do runs JavaScript statements, in which await can be used.
func (tab *Tab) Do(statements string) {
	tab.b.t.Helper()
	Eval[chromedp.Void](tab, "(async () => {"+statements+"\n})()")
}

// Wait blocks until an expression is true, on this page or on one that follows it. It is looked at whenever the page has time.
func (tab *Tab) Wait(expression string) {
	tab.b.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
		if err == nil {
			return
		}
		if ctx.Err() != nil || !navigated(err) {
			tab.b.t.Fatalf("wait for %s: %v", expression, err)
		}
	}
}

// navigated reports whether an error says that the page went away. Chromium has no code of its own for it.
func navigated(err error) bool {
	for _, text := range []string{"Cannot find context with specified id", "Inspected target navigated or closed", "Execution context was destroyed"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
