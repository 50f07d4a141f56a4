//go:build js

package idblog

import (
	"math/rand/v2"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// waker carries the word of commits between the tabs of an origin.
//
// While there is no other tab nobody is told, which would take a tenth of the time of a small commit. So whoever comes asks for the others. They
// tell of their commits from then on, and answer, upon which the newcomer looks for what came before that, and tells of its own if there were any.
type waker struct {
	channel   js.Value // BroadcastChannel, undefined where there is none (Safari before 15.4)
	post      js.Value // its postMessage
	listeners []*jsbridge.Listener
	self      float64 // names this waker in questions and answers, above 0

	mu     sync.Mutex // guards the following fields
	others bool       // somebody else was heard of
	kept   bool       // there were commits before that, which nobody was told of
}

// newWaker listens on the channel with that name. wake must not block; it gets the name of a log, or "" when something may have been
// missed: what others did before they knew of this tab, or while the page was frozen.
//
// The name of a log stands for a commit to it, 0 for commits to any; a number above 0 asks whoever hears it, and that number below 0
// is the answer.
func newWaker(name string, wake func(log string)) *waker {
	w := &waker{self: 1 + rand.Float64()}
	if constructor := js.Global().Get("BroadcastChannel"); constructor.Truthy() {
		w.channel = constructor.New(name)
		w.post = w.channel.Get("postMessage").Call("bind", w.channel)
		w.listeners = append(w.listeners, jsbridge.Listen(w.channel, "message", func(event js.Value) { w.hear(event.Get("data"), wake) }))
		w.ask()
	}
	all := func(js.Value) {
		w.ask() // who came meanwhile was not heard
		wake("")
	}
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

func (w *waker) hear(data js.Value, wake func(log string)) {
	w.meet()
	switch data.Type() {
	case js.TypeString:
		wake(data.String())
	case js.TypeNumber:
		switch n := data.Float(); {
		case n > 0:
			w.post.Invoke(-n)
		case n == 0 || n == -w.self:
			wake("")
		}
	}
}

// meet notes that there are others.
func (w *waker) meet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept {
		w.post.Invoke(0)
	}
	w.others, w.kept = true, false
}

func (w *waker) ask() {
	if w.channel.Truthy() {
		w.post.Invoke(w.self)
	}
}

// tell tells the other tabs of a commit, if there are any.
func (w *waker) tell(log js.Value) {
	if !w.channel.Truthy() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.others {
		w.kept = true
		return
	}
	w.post.Invoke(log)
}

func (w *waker) close() {
	for _, l := range w.listeners {
		l.Release()
	}
	if w.channel.Truthy() {
		w.channel.Call("close")
	}
}
