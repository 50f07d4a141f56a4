//go:build js

package jsbridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall/js"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// noLeak fails the test when it ends with callbacks that were not released.
func noLeak(t *testing.T) {
	t.Helper()
	before := jsbridge.LiveFuncs()
	t.Cleanup(func() {
		if n := jsbridge.LiveFuncs() - before; n != 0 {
			t.Errorf("%d callbacks were not released", n)
		}
	})
}

func eval(body string) js.Value { return js.Global().Get("Function").New(body).Invoke() }

func TestAwait(t *testing.T) {
	noLeak(t)
	for body, want := range map[string]string{
		"return Promise.resolve('x')": "x",
		"return 'x'":                  "x",
		"return new Promise(f => queueMicrotask(() => f('x')))":         "x",
		"return {then(f) { f('x') }}":                                   "x",
		"return {then(f) { f('x'); f('y') }}":                           "x",
		"return Promise.reject(new RangeError('too far'))":              "RangeError: too far",
		"return Promise.reject('text')":                                 "text",
		"return Promise.reject()":                                       "undefined",
		"return Promise.reject(null)":                                   "null",
		"return Promise.reject(Symbol('s'))":                            "Symbol(s)",
		"return Promise.reject(7n)":                                     "7",
		"return Promise.reject({name: 7n, message: 'big'})":             "big",
		"return Promise.reject({})":                                     "an object that is not an Error was thrown",
		"return {then() { throw new Error('no') }}":                     "Error: no",
		"return {get then() { throw new Error('getter') }}":             "Error: getter",
		"return Promise.reject({get name() { throw this }})":            "an object that is not an Error was thrown",
		"return Promise.reject(new DOMException('full', 'QuotaError'))": "QuotaError: full",
	} {
		got, err := jsbridge.Await(t.Context(), eval(body))
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			text = got.String()
		}
		if text != want {
			t.Errorf("%s: %q, want %q", body, text, want)
		}
	}
}

func TestAwaitContext(t *testing.T) {
	noLeak(t)
	cause := errors.New("had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	later := eval("let settle; const p = new Promise(f => settle = f); return {p, settle}")
	go cancel(cause)
	if _, err := jsbridge.Await(ctx, later.Get("p")); err != cause {
		t.Fatalf("await: %v, want the cause", err)
	}
	if _, err := jsbridge.Await(ctx, later.Get("p")); err != cause {
		t.Fatalf("await with a context that has ended: %v, want the cause", err)
	}
	later.Call("settle", 1) // or the two callbacks would stay
	if _, err := jsbridge.Await(t.Context(), later.Get("p")); err != nil {
		t.Fatal(err)
	}
}

func TestTry(t *testing.T) {
	_, err := jsbridge.Try(func() js.Value { return js.Global().Get("JSON").Call("parse", "{") })
	if !jsbridge.IsNamed(err, "SyntaxError") || jsbridge.IsNamed(err, "RangeError") {
		t.Errorf("try: %v, want a SyntaxError", err)
	}
	got, err := jsbridge.Try(func() int { return js.Global().Get("JSON").Call("parse", "7").Int() })
	if err != nil || got != 7 {
		t.Errorf("try: %d, %v", got, err)
	}
	_, err = jsbridge.Get(eval("return {get x() { throw new RangeError('trap') }}"), "x")
	if !jsbridge.IsNamed(err, "RangeError") {
		t.Errorf("get: %v, want a RangeError", err)
	}
	if got, err := jsbridge.Get(eval("return {x: 7}"), "x"); err != nil || got.Int() != 7 {
		t.Errorf("get: %v, %v", got, err)
	}
	for name, fn := range map[string]func(){
		"a panic of Go":          func() { panic("ours") },
		"a value of wrong type":  func() { js.ValueOf(1).Get("x") },
		"a function that is not": func() { js.Global().Call("noSuchFunction") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not go on", name)
				}
			}()
			err := jsbridge.Do(fn)
			t.Errorf("%s became the error %v", name, err)
		}()
	}
}

// rejection returns what a promise is rejected with.
func rejection(t *testing.T, promise js.Value) *jsbridge.Error {
	t.Helper()
	got, err := jsbridge.Await(t.Context(), promise)
	var e *jsbridge.Error
	if !errors.As(err, &e) {
		t.Fatalf("the promise was fulfilled with %v, %v", got, err)
	}
	return e
}

func TestPromise(t *testing.T) {
	noLeak(t)
	full := errors.New("full")
	tasks := jsbridge.NewTasks(&jsbridge.TasksOptions{Code: func(err error) string {
		if errors.Is(err, full) {
			return "quota"
		}
		return ""
	}})
	t.Cleanup(tasks.Close)
	got, err := jsbridge.Await(t.Context(), tasks.Promise(func(context.Context) (any, error) { return "x", nil }))
	if err != nil || got.String() != "x" {
		t.Errorf("promise: %v, %v", got, err)
	}
	thrown := jsbridge.Do(func() { js.Global().Get("JSON").Call("parse", "{") })
	for _, c := range []struct {
		err                 error
		name, code, message string
	}{
		{fmt.Errorf("write: %w", full), "ShoalError", "quota", "write: full"},
		{errors.New("other"), "ShoalError", "error", "other"},
		{fmt.Errorf("write: %w", net.ErrClosed), "ShoalError", "closed", "write: " + net.ErrClosed.Error()},
		{fmt.Errorf("insert: %w", jsbridge.TypeError("no id")), "TypeError", "", "insert: no id"},
		{fmt.Errorf("read: %w", thrown), "ShoalError", "error", "read: " + thrown.Error()},
	} {
		e := rejection(t, tasks.Promise(func(context.Context) (any, error) { return nil, c.err }))
		if e.Name != c.name || e.Code != c.code || e.Message != c.message || !e.Value.InstanceOf(js.Global().Get("Error")) {
			t.Errorf("%v became %q with name %q and code %q", c.err, e.Message, e.Name, e.Code)
		}
		cause := e.Value.Get("cause")
		if isThrown := errors.Is(c.err, thrown); isThrown != cause.Truthy() || isThrown && cause.Get("name").String() != "SyntaxError" {
			t.Errorf("%v has the cause %v", c.err, cause)
		}
	}
}

func TestTasksClose(t *testing.T) {
	noLeak(t)
	tasks := jsbridge.NewTasks(nil)
	ended := false
	promise := tasks.Promise(func(ctx context.Context) (any, error) {
		<-ctx.Done()
		runtime.Gosched()
		ended = true
		return nil, context.Cause(ctx)
	})
	tasks.Close()
	if !ended {
		t.Error("Close did not wait")
	}
	if e := rejection(t, promise); e.Code != jsbridge.CodeClosed {
		t.Errorf("the call under way was rejected with code %q", e.Code)
	}
	if e := rejection(t, tasks.Promise(nil)); e.Code != jsbridge.CodeClosed {
		t.Errorf("a call after Close was rejected with code %q", e.Code)
	}
	tasks.Close()
}

func TestPanicIsFatal(t *testing.T) {
	noLeak(t)
	told := make(chan error, 2)
	tasks := jsbridge.NewTasks(&jsbridge.TasksOptions{Fatal: func(err error) { told <- err }})
	waits := tasks.Promise(func(ctx context.Context) (any, error) { <-ctx.Done(); return 1, nil })
	breaks := tasks.Promise(func(context.Context) (any, error) { panic("ours") })
	for _, promise := range []js.Value{waits, breaks} {
		if e := rejection(t, promise); e.Code != jsbridge.CodeFatal || !strings.Contains(e.Message, "ours") {
			t.Errorf("rejected with code %q: %s", e.Code, e.Message)
		}
	}
	if err := <-told; !strings.Contains(err.Error(), "ours") || !strings.Contains(err.Error(), "TestPanicIsFatal") {
		t.Errorf("told %v, want the panic and its stack", err)
	}
	if e := rejection(t, tasks.Promise(nil)); e.Code != jsbridge.CodeFatal {
		t.Errorf("a call after the panic was rejected with code %q", e.Code)
	}
	tasks.Fail(errors.New("once more"))
	tasks.Close()
	if len(told) != 0 {
		t.Errorf("told again: %v", <-told)
	}
}

func TestFunc(t *testing.T) {
	before := jsbridge.LiveFuncs()
	f := jsbridge.NewFunc(func(_ js.Value, args []js.Value) any { return args[0].Int() + 1 })
	if got := f.Invoke(1).Int(); got != 2 || jsbridge.LiveFuncs() != before+1 {
		t.Errorf("the function returned %d, %d are live", got, jsbridge.LiveFuncs()-before)
	}
	f.Release()
	f.Release()
	if n := jsbridge.LiveFuncs(); n != before {
		t.Errorf("%d are live after Release", n-before)
	}
}

func TestListen(t *testing.T) {
	noLeak(t)
	target := js.Global().Get("EventTarget").New()
	var got []string
	l := jsbridge.Listen(target, "ping", func(event js.Value) { got = append(got, event.Get("type").String()) })
	ping := func() { target.Call("dispatchEvent", js.Global().Get("Event").New("ping")) }
	ping()
	ping()
	l.Release()
	ping()
	l.Release()
	if fmt.Sprint(got) != "[ping ping]" {
		t.Errorf("heard %v, want two pings", got)
	}
}

func TestQueue(t *testing.T) {
	var got []int
	done := make(chan struct{})
	q := jsbridge.NewQueue(100, func(n int) {
		runtime.Gosched() // what blocks does not change the order
		if got = append(got, n); len(got) == 100 {
			close(done)
		}
	})
	var want []int
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any {
		for n := range 100 {
			want = append(want, n)
			if !q.Push(n) {
				t.Errorf("push %d was refused", n)
			}
		}
		if q.Push(100) {
			t.Error("a full queue took one more")
		}
		return nil
	})
	f.Invoke()
	f.Release()
	<-done
	q.Close()
	q.Close()
	if !slices.Equal(got, want) {
		t.Errorf("took %v", got)
	}
	if q.Push(1) {
		t.Error("a closed queue took an event")
	}
}

func TestQueueClose(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	taken := 0
	q := jsbridge.NewQueue(10, func(int) { taken++; close(begun); <-end })
	for n := range 3 {
		q.Push(n)
	}
	<-begun
	closed := make(chan struct{})
	go func() { q.Close(); close(closed) }()
	runtime.Gosched()
	select {
	case <-closed:
		t.Fatal("Close did not wait")
	default:
	}
	close(end)
	<-closed
	if taken != 1 {
		t.Errorf("%d events were taken, want the rest dropped", taken)
	}
}

func TestBytes(t *testing.T) {
	data := []byte{0, 1, 127, 128, 255}
	array := jsbridge.Uint8Array(data)
	data[0] = 9
	if got, err := jsbridge.Bytes(array); err != nil || !bytes.Equal(got, []byte{0, 1, 127, 128, 255}) {
		t.Errorf("bytes: %v, %v", got, err)
	}
	if got, err := jsbridge.Bytes(jsbridge.Uint8Array(nil)); err != nil || len(got) != 0 {
		t.Errorf("no bytes: %v, %v", got, err)
	}
	for body, want := range map[string]string{
		"return new Uint8Array([1, 2, 3]).buffer":                    "[1 2 3]",
		"return new Uint8Array([1, 2, 3]).subarray(1)":               "[2 3]",
		"return new DataView(new Uint8Array([1, 2, 3]).buffer, 1)":   "[2 3]",
		"return new Uint16Array([258])":                              "[2 1]",
		"return new Uint8ClampedArray([1, 300])":                     "[1 255]",
		"return [1, 2]":                                              "bytes are needed",
		"return 'text'":                                              "bytes are needed",
		"return null":                                                "bytes are needed",
		"return {byteLength: 4}":                                     "bytes are needed",
		"return new Proxy({}, {get() { throw new Error('trap') }})":  "bytes are needed",
		"return typeof Blob == 'undefined' ? null : new Blob(['x'])": "bytes are needed",
	} {
		got, err := jsbridge.Bytes(eval(body))
		var bad jsbridge.TypeError
		if text := fmt.Sprint(got); err == nil && text != want || err != nil && (!errors.As(err, &bad) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v, want %s", body, got, err, want)
		}
	}
}

// TestYield waits for tasks of the event loop, which only run when Go lets go and the way back is not ahead of them.
func TestYield(t *testing.T) {
	noLeak(t)
	postTask := js.Global().Get("scheduler")
	if !testYield(t) {
		t.Error("no timer fired, or no message came")
	}
	js.Global().Set("scheduler", js.Undefined()) // as in browsers that have none
	defer js.Global().Set("scheduler", postTask)
	if !testYield(t) {
		t.Error("no timer fired, or no message came, without a scheduler")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := jsbridge.Yield(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("yield with a context that has ended: %v", err)
	}
}

func testYield(t *testing.T) bool {
	t.Helper()
	events := 0
	f := jsbridge.NewFunc(func(js.Value, []js.Value) any { events++; return nil })
	defer f.Release()
	js.Global().Call("setTimeout", f.Value, 0)
	channel := js.Global().Get("MessageChannel").New()
	defer channel.Get("port1").Call("close")
	channel.Get("port1").Set("onmessage", f.Value)
	channel.Get("port2").Call("postMessage", 1)
	for n := 0; n < 20_000 && events < 2; n++ {
		if err := jsbridge.Yield(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return events == 2
}
