//go:build js

package jsbridge

import (
	"context"
	"syscall/js"
)

// Yield lets the event loop run, and with it what waits there: input, painting, timers, messages, storage. It returns the
// cause of ctx where that has ended. It must not be called within a callback.
//
// It queues up behind the other tasks, with scheduler.postTask where there is that, or a MessageChannel. scheduler.yield
// would come back before all others: in a loop of it in Chromium 156, painting went on, but no timer, message, fetch or
// IndexedDB event came for as long as the loop went. setTimeout waits for 4 ms each time once it is nested
// (https://html.spec.whatwg.org/multipage/timers-and-user-prompts.html).
func Yield(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	come := make(chan struct{}, 1) // takes the one call, so that the callback does not block
	f := NewFunc(func(js.Value, []js.Value) any {
		come <- struct{}{}
		return nil
	})
	defer f.Release()
	if scheduler := js.Global().Get("scheduler"); scheduler.Truthy() && scheduler.Get("postTask").Truthy() {
		scheduler.Call("postTask", f.Value)
		<-come
		return context.Cause(ctx)
	}
	channel := js.Global().Get("MessageChannel").New()
	in := channel.Get("port1")
	in.Set("onmessage", f.Value)
	channel.Get("port2").Call("postMessage", js.Null())
	<-come
	in.Call("close")
	return context.Cause(ctx)
}
