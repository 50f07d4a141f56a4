//go:build js

package jsbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/internal/gate"
)

// Await blocks until the promise is settled; any other value counts as one that is fulfilled. What it was rejected with comes
// back as an *Error. Where ctx ends first, its cause comes back, and the promise is left to itself: two callbacks live until
// it is settled. It must not be called within a callback.
func Await(ctx context.Context, promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	if ctx.Err() != nil {
		return js.Undefined(), context.Cause(ctx)
	}
	settled := make(chan outcome, 1) // takes the one outcome of a promise, so that no callback blocks
	var fulfilled, rejected *Func
	release := func() {
		fulfilled.Release()
		rejected.Release()
	}
	fulfilled = NewFunc(func(_ js.Value, args []js.Value) any {
		release()
		settled <- outcome{value: first(args)}
		return nil
	})
	rejected = NewFunc(func(_ js.Value, args []js.Value) any {
		release()
		settled <- outcome{err: FromJS(first(args))}
		return nil
	})
	err := Do(func() {
		js.Global().Get("Promise").Call("resolve", promise).Call("then", fulfilled.Value, rejected.Value)
	})
	if err != nil { // a thenable that throws
		release()
		return js.Undefined(), err
	}
	select {
	case o := <-settled:
		return o.value, o.err
	case <-ctx.Done():
		return js.Undefined(), context.Cause(ctx)
	}
}

func first(args []js.Value) js.Value {
	if len(args) == 0 {
		return js.Undefined()
	}
	return args[0]
}

// Codes of the errors that Tasks itself makes.
const (
	CodeFatal  = "fatal"  // the program had a panic; nothing works any more
	CodeClosed = "closed" // the call came after, or was ended by, Close
	CodeOther  = "error"  // what TasksOptions.Code has no word for
)

// TasksOptions says how Tasks work. The zero value is good.
type TasksOptions struct {
	// Code returns the stable code of an error, "" for CodeOther. nil has no code for any but net.ErrClosed.
	Code func(error) string
	// Fatal is told of the first panic, once all promises are rejected. It must not block. nil tells nobody.
	Fatal func(err error)
}

// Tasks runs the calls that JavaScript makes, each in a goroutine with a promise for its outcome. Close ends and awaits them.
type Tasks struct {
	opts      TasksOptions
	gate      gate.Gate
	promises  js.Value    // Promise
	resolvers js.Value    // Promise.withResolvers, undefined where there is none
	get       js.Value    // Reflect.get
	parts     [3]js.Value // names of what resolvers returns

	mu      sync.Mutex // guards the following fields
	fatal   error
	pending map[*deferred]struct{}
}

// deferred is the inner side of a promise. It can be settled once.
type deferred struct {
	resolve, reject js.Value
}

// NewTasks makes Tasks; opts may be nil. The caller closes them.
func NewTasks(opts *TasksOptions) *Tasks {
	global := js.Global()
	t := &Tasks{
		promises: global.Get("Promise"),
		get:      global.Get("Reflect").Get("get"),
		parts:    [3]js.Value{js.ValueOf("promise"), js.ValueOf("resolve"), js.ValueOf("reject")},
		pending:  make(map[*deferred]struct{}),
	}
	if with := t.promises.Get("withResolvers"); with.Truthy() {
		t.resolvers = with.Call("bind", t.promises)
	}
	if opts != nil {
		t.opts = *opts
	}
	return t
}

// Promise runs fn in a goroutine and returns a promise for what it returns, which js.ValueOf must take. An error rejects the
// promise with what ToJS makes of it; a panic rejects it and all others, for good, with CodeFatal. ctx ends with Close.
func (t *Tasks) Promise(fn func(ctx context.Context) (any, error)) js.Value {
	promise, d := t.newDeferred()
	ctx, leave, err := t.gate.Enter(context.Background())
	if err != nil {
		d.reject.Invoke(ToJS(err, CodeClosed))
		return promise
	}
	if err := t.admit(d); err != nil {
		leave()
		d.reject.Invoke(ToJS(err, CodeFatal))
		return promise
	}
	go func() { // Close waits for it at the gate
		defer leave()
		defer t.Recover()
		result, err := fn(ctx)
		t.settle(d, result, err)
	}()
	return promise
}

// admit enters a promise among those under way, unless the program is broken.
func (t *Tasks) admit(d *deferred) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fatal == nil {
		t.pending[d] = struct{}{}
	}
	return t.fatal
}

// newDeferred makes a promise. With an executor the browser calls back into this program, which takes as long as the rest of a small write;
// browsers before 2024 know no other way.
func (t *Tasks) newDeferred() (promise js.Value, d *deferred) {
	d = &deferred{}
	if t.resolvers.Truthy() {
		made := t.resolvers.Invoke()
		part := func(i int) js.Value { return t.get.Invoke(made, t.parts[i]) }
		d.resolve, d.reject = part(1), part(2)
		return part(0), d
	}
	executor := NewFunc(func(_ js.Value, args []js.Value) any {
		d.resolve, d.reject = args[0], args[1]
		return nil
	})
	defer executor.Release() // the constructor has called it when it returns
	return t.promises.New(executor.Value), d
}

func (t *Tasks) settle(d *deferred, result any, err error) {
	t.mu.Lock()
	_, waiting := t.pending[d]
	delete(t.pending, d)
	t.mu.Unlock()
	switch {
	case !waiting: // rejected by Fail
	case err != nil:
		d.reject.Invoke(ToJS(err, t.code(err)))
	default:
		d.resolve.Invoke(js.ValueOf(result))
	}
}

func (t *Tasks) code(err error) string {
	if t.opts.Code != nil {
		if code := t.opts.Code(err); code != "" {
			return code
		}
	}
	if errors.Is(err, net.ErrClosed) {
		return CodeClosed
	}
	return CodeOther
}

// Recover makes a panic of the calling goroutine fatal for all of t instead of ending the program, which would leave every
// promise pending. It is to be deferred, by other goroutines of the program too.
func (t *Tasks) Recover() {
	if r := recover(); r != nil {
		t.Fail(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	}
}

// Fail rejects all promises, those under way and those to come, with err and CodeFatal. Only the first call counts.
func (t *Tasks) Fail(err error) {
	t.mu.Lock()
	if t.fatal != nil {
		t.mu.Unlock()
		return
	}
	t.fatal = err
	rejected := t.pending
	t.pending = nil
	t.mu.Unlock()
	for d := range rejected {
		d.reject.Invoke(ToJS(err, CodeFatal))
	}
	if t.opts.Fatal != nil {
		t.opts.Fatal(err)
	}
}

// Close ends the calls under way, refuses others, and waits until all have returned.
func (t *Tasks) Close() { t.gate.Close() }
