//go:build js

package idblog

import (
	"syscall/js"

	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// waker carries the word of commits between the tabs of an origin.
type waker struct {
	channel   js.Value // BroadcastChannel, undefined where there is none (Safari before 15.4)
	listeners []*jsbridge.Listener
}

// newWaker listens on the channel with that name. wake must not block; it gets the name of a log, or "" when the page was
// frozen and may have missed something.
func newWaker(name string, wake func(log string)) *waker {
	w := &waker{}
	if constructor := js.Global().Get("BroadcastChannel"); constructor.Truthy() {
		w.channel = constructor.New(name)
		w.listeners = append(w.listeners, jsbridge.Listen(w.channel, "message", func(event js.Value) {
			if data := event.Get("data"); data.Type() == js.TypeString {
				wake(data.String())
			}
		}))
	}
	all := func(js.Value) { wake("") }
	if js.Global().Get("addEventListener").Truthy() {
		w.listeners = append(w.listeners, jsbridge.Listen(js.Global(), "pageshow", all))
	}
	if document := js.Global().Get("document"); document.Truthy() {
		// Not when the page goes out of sight: it may be frozen next, in the middle of a transaction, which all other tabs have to wait for.
		seen := func(event js.Value) {
			if document.Get("visibilityState").String() != "hidden" {
				all(event)
			}
		}
		w.listeners = append(w.listeners, jsbridge.Listen(document, "resume", all), jsbridge.Listen(document, "visibilitychange", seen))
	}
	return w
}

// post tells the other tabs.
func (w *waker) post(log string) {
	if w.channel.Truthy() {
		w.channel.Call("postMessage", log)
	}
}

func (w *waker) close() {
	for _, l := range w.listeners {
		l.Release()
	}
	if w.channel.Truthy() {
		w.channel.Call("close")
	}
}
