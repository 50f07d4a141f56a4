//go:build js

package jsbridge

import (
	"sync/atomic"
	"syscall/js"
)

// live counts the callbacks that JavaScript can call into this program, all of which the runtime holds for ever unless they
// are released.
var live atomic.Int64

// LiveFuncs is how many Funcs and Listeners there are that were not released. It is for tests that look for leaks.
func LiveFuncs() int { return int(live.Load()) }

// Func is a Go function that JavaScript can call. Its one owner releases it.
type Func struct {
	js.Value
	fn       js.Func
	released atomic.Bool
}

// NewFunc makes fn callable. fn must not block.
func NewFunc(fn func(this js.Value, args []js.Value) any) *Func {
	live.Add(1)
	f := js.FuncOf(fn)
	return &Func{Value: f.Value, fn: f}
}

// Release frees f; JavaScript must not call it any more. Only the first call does something.
func (f *Func) Release() {
	if f.released.CompareAndSwap(false, true) {
		f.fn.Release()
		live.Add(-1)
	}
}

// Listener is a function that an EventTarget calls.
type Listener struct {
	target js.Value
	event  string
	fn     *Func
}

// Listen calls fn, which must not block, with each event of that name, until the listener is released.
func Listen(target js.Value, event string, fn func(event js.Value)) *Listener {
	l := &Listener{target: target, event: event, fn: NewFunc(func(_ js.Value, args []js.Value) any {
		if len(args) == 0 {
			fn(js.Undefined())
			return nil
		}
		fn(args[0])
		return nil
	})}
	target.Call("addEventListener", event, l.fn.Value)
	return l
}

// Release takes the listener from its target and frees it. Only the first call does something.
func (l *Listener) Release() {
	if !l.fn.released.Load() {
		l.target.Call("removeEventListener", l.event, l.fn.Value)
	}
	l.fn.Release()
}
