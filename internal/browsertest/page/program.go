//go:build !js

package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Program is what a page runs.
//
// In a page there are no files: standard output and error are all that a program can write, and files to read do not exist.
//
// A program can talk to the Go program that started it through the JavaScript global `host`: host.send(text) calls Message,
// and Page.Send calls the function that the program assigned to host.onmessage.
type Program struct {
	Wasm    string            // path of the compiled program
	Args    []string          // os.Args, with the name of the program first
	Env     map[string]string // the whole environment; with Args at most 8 KB, a limit of wasm_exec.js
	Stdout  io.Writer         // default: discarded
	Stderr  io.Writer         // also receives what the page writes to the console, and uncaught exceptions; default: discarded
	Message func(text string) // called for each host.send, one at a time, in order
}

// Page is a tab in which a program runs.
type Page struct {
	ctx     context.Context
	stop    context.CancelCauseFunc
	program Program
	done    sync.WaitGroup
	exited  chan struct{} // closed when the program ended; code is valid then
	code    int
	flushed chan struct{} // closed when all that came to the console until then was written

	mu sync.Mutex // held while writing to the outputs, which may be one and the same
}

// lastWord is what page.html writes to the console when the program ended: console and bindings come on separate ways.
const lastWord = "page: the program ended"

// Start opens a page that runs p and returns without waiting for its end. The page is closed by Close, or when ctx ends.
func (b *Browser) Start(ctx context.Context, p Program) (*Page, error) {
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	if p.Env == nil {
		p.Env = map[string]string{}
	}
	tab, stopTab := chromedp.NewContext(b.ctx)
	tab, cancel := context.WithCancelCause(tab)
	g := &Page{ctx: tab, program: p, exited: make(chan struct{}), flushed: make(chan struct{})}
	forget := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	g.stop = func(cause error) {
		cancel(cause)
		forget()
		stopTab()
	}
	if err := g.open(b.origin + b.files.add(p)); err != nil {
		g.Close()
		return nil, fmt.Errorf("open page: %w", err)
	}
	return g, nil
}

func (g *Page) open(url string) error {
	if err := chromedp.Do(g.ctx); err != nil {
		return err
	}
	told := chromedp.Events(g.ctx, runtime.BindingCalled)
	console := chromedp.Console(g.ctx)
	detached, err := chromedp.Detached(g.ctx)
	if err != nil {
		return err
	}
	g.done.Go(func() {
		for event, err := range told {
			if err != nil {
				return
			}
			g.hear(event.Payload)
		}
	})
	g.done.Go(func() {
		for message, err := range console {
			if err != nil {
				return
			}
			if message.Text == lastWord {
				close(g.flushed)
				return
			}
			g.write(g.program.Stderr, []byte(message.String()+"\n"))
		}
	})
	g.done.Go(func() {
		select {
		case <-detached:
			g.stop(errors.New("page: closed by the browser"))
		case <-g.ctx.Done():
		}
	})
	if err := crashed(g.ctx, func() { g.stop(errors.New("page: crashed")) }); err != nil {
		return err
	}
	if _, err := chromedp.Call(g.ctx, runtime.AddBinding, runtime.AddBindingParams{Name: "tellHost"}); err != nil {
		return err
	}
	return chromedp.Do(g.ctx, chromedp.Navigate(url))
}

// hear takes one message of the page: its kind, then data.
func (g *Page) hear(payload string) {
	if payload == "" {
		return
	}
	kind, data := payload[0], payload[1:]
	switch kind {
	case 'o':
		g.write(g.program.Stdout, latin1(data))
	case 'e':
		g.write(g.program.Stderr, latin1(data))
	case 't':
		g.write(g.program.Stderr, []byte("page: "+data+"\n"))
	case 'm':
		if g.program.Message != nil {
			g.program.Message(data)
		}
	case 'x':
		g.code, _ = strconv.Atoi(data) // written by page.html
		close(g.exited)
	}
}

func (g *Page) write(w io.Writer, text []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = w.Write(text) // who passed the writer knows whether it failed
}

// latin1 undoes bytesToString of page.html.
func latin1(s string) []byte {
	bytes := make([]byte, 0, len(s))
	for _, r := range s {
		bytes = append(bytes, byte(r))
	}
	return bytes
}

// Wait blocks until the program ended and returns its exit code. It returns an error when the page ended first: closed,
// crashed, or ctx of Start over.
func (g *Page) Wait() (int, error) {
	for _, ended := range []chan struct{}{g.exited, g.flushed} {
		select {
		case <-ended:
		case <-g.ctx.Done():
			return 0, fmt.Errorf("run page: %w", context.Cause(g.ctx))
		}
	}
	return g.code, nil
}

// Send calls host.onmessage(text) in the page, at once or as soon as the program sets it.
func (g *Page) Send(text string) error {
	quoted, err := json.Marshal(text)
	if err != nil {
		return fmt.Errorf("send to page: %w", err)
	}
	call := chromedp.Evaluate[chromedp.Void]("host.deliver(" + string(quoted) + ")")
	if err := chromedp.Do(g.ctx, call); err != nil {
		return fmt.Errorf("send to page: %w", err)
	}
	return nil
}

// Close closes the page and waits until nothing of it runs any more. The program is not asked.
func (g *Page) Close() {
	g.stop(net.ErrClosed)
	g.done.Wait()
}
