//go:build js

package idblog

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"

	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// mode says what a transaction is for.
type mode struct {
	store, access js.Value // names
	options       js.Value
}

func newMode(store, access, durability string) mode {
	options := map[string]any{}
	if durability != "" {
		options["durability"] = durability
	}
	return mode{store: js.ValueOf(store), access: js.ValueOf(access), options: js.ValueOf(options)}
}

// txn is one transaction. Between two of its events nothing else may be waited for: it would end by itself.
type txn struct {
	api      *api
	js       js.Value // IDBTransaction
	store    js.Value // IDBObjectStore
	watch    *watchdog
	stall    chan struct{} // holds a token once the browser has left the transaction without an event for too long
	events   *jsbridge.Func
	results  chan js.Value // takes the result of the one request that is awaited
	finished chan error    // takes the one outcome of the transaction
}

// errStalled tells that the browser left a transaction without an event.
var errStalled = errors.New("the browser does not answer")

// transact runs fn in a transaction, which is complete when transact returns nil. Where fn fails or ctx ends, it is aborted.
func (c *conn) transact(ctx context.Context, m mode, watch *watchdog, fn func(context.Context, *txn) error) error {
	t, err := c.begin(m, watch)
	if err != nil {
		return err
	}
	defer watch.over(t)
	done := false
	defer func() {
		if !done { // fn had a panic
			t.abort()
		}
	}()
	err = fn(ctx, t)
	done = true
	if err != nil {
		// The browser may have ended the transaction first, so that err only tells that it has ended.
		if f := (*failure)(nil); errors.As(t.rollback(), &f) && f.undone && canRetry(err) {
			return f
		}
		return err
	}
	return t.complete(ctx)
}

func (c *conn) begin(m mode, watch *watchdog) (*txn, error) {
	t := &txn{api: c.api, watch: watch, stall: make(chan struct{}, 1), results: make(chan js.Value, 1), finished: make(chan error, 1)}
	err := jsbridge.Do(func() {
		t.js = t.api.transaction.Invoke(c.db, m.store, m.access, m.options)
		t.store = t.api.objectStore.Invoke(t.js, m.store)
	})
	if err != nil {
		return nil, classify(err)
	}
	t.events = jsbridge.NewFunc(t.event)
	t.api.setProperty.Invoke(t.js, t.api.onComplete, t.events.Value)
	t.api.setProperty.Invoke(t.js, t.api.onAbort, t.events.Value)
	return t, nil
}

// event is called for the awaited request, and for the end of the transaction.
func (t *txn) event(_ js.Value, args []js.Value) any {
	a := t.api
	switch kind := a.getProperty.Invoke(args[0], a.kind); {
	case kind.Equal(a.success):
		t.results <- a.getProperty.Invoke(a.getProperty.Invoke(args[0], a.target), a.result)
	case kind.Equal(a.complete):
		t.end(nil)
	default:
		if reason := a.getProperty.Invoke(t.js, a.err); reason.Truthy() {
			t.end(aborted(classify(jsbridge.FromJS(reason))))
		} else {
			t.end(&failure{err: errors.New("the browser aborted the transaction"), again: true})
		}
	}
	return nil
}

func (t *txn) end(err error) {
	t.finished <- err
	t.events.Release()
}

// aborted makes sure that an abort for a reason other than a lost connection counts as one.
func aborted(err error) error {
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	return &failure{err: err, undone: true}
}

// send makes a request without waiting for it. Its failure ends the transaction.
func (t *txn) send(method js.Value, args ...any) js.Value {
	return method.Invoke(append([]any{t.store}, args...)...)
}

// do runs fn, which sends requests.
func (t *txn) do(fn func()) error {
	if err := jsbridge.Do(fn); err != nil {
		return classify(err)
	}
	return nil
}

// request makes a request and waits for its result. What it throws, and what it fails with, ends the transaction.
func (t *txn) request(ctx context.Context, method js.Value, args ...any) (js.Value, error) {
	err := jsbridge.Do(func() {
		request := t.send(method, args...)
		t.api.setProperty.Invoke(request, t.api.onSuccess, t.events.Value) // where it fails instead, the transaction ends
	})
	if err != nil {
		return js.Undefined(), classify(err)
	}
	t.watch.await(t)
	select {
	case result := <-t.results:
		if ctx.Err() != nil {
			return js.Undefined(), context.Cause(ctx)
		}
		return result, nil
	case err := <-t.finished:
		t.finished <- err // for rollback
		return js.Undefined(), orAborted(err)
	case <-ctx.Done():
		return js.Undefined(), context.Cause(ctx)
	case <-t.stall:
		return js.Undefined(), t.stalled()
	}
}

// orAborted is for a transaction that cannot have ended well.
func orAborted(err error) error {
	if err == nil {
		return &failure{err: errors.New("the browser ended the transaction"), again: true}
	}
	return err
}

func (t *txn) stalled() error {
	return &failure{err: fmt.Errorf("%w for %v", errStalled, t.watch.limit), again: true}
}

// abort ends the transaction, unless it has ended or cannot be stopped any more, which it tells.
func (t *txn) abort() bool {
	return jsbridge.Do(func() { t.api.abort.Invoke(t.js) }) == nil
}

// rollback aborts the transaction, waits until it has ended, and returns why it did.
func (t *txn) rollback() error {
	t.abort()
	t.watch.await(t)
	select {
	case err := <-t.finished:
		return err
	case <-t.stall: // the connection is given up; events that come after all find room in their channels
		return t.stalled()
	}
}

// complete commits and waits for the end, even when ctx ends, unless the transaction can still be aborted then.
func (t *txn) complete(ctx context.Context) error {
	if t.api.commit.Truthy() {
		_ = jsbridge.Do(func() { t.api.commit.Invoke(t.js) }) // throws where it has ended already, which finished tells
	}
	t.watch.await(t)
	select {
	case err := <-t.finished:
		return err
	case <-t.stall:
		return t.stalled()
	case <-ctx.Done():
	}
	if t.abort() {
		_ = t.rollback() // the reason is ours
		return &failure{err: context.Cause(ctx), undone: true}
	}
	select {
	case err := <-t.finished:
		return err
	case <-t.stall:
		return t.stalled()
	}
}
