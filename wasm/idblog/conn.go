//go:build js

package idblog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall/js"

	"github.com/hack-pad/go-indexeddb/idb"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

const (
	version      = 2 // of what is in the object stores; 1 had no marks
	recordsStore = "records"
	metaStore    = "meta"
	idKey        = "id"
)

// conn is one connection to the database.
//
// go-indexeddb opens it. Transactions are made on the JavaScript object itself: the library lacks getAll and ranges to delete,
// loses the reason of an abort, and does not say when a wait ended for its context.
type conn struct {
	api       *api
	db        js.Value // IDBDatabase
	lost      atomic.Bool
	listeners []*jsbridge.Listener
}

// dial opens a connection. deleted is called, and must not block, when the database is about to be deleted.
func dial(ctx context.Context, factory *idb.Factory, api *api, name string, deleted func()) (*conn, error) {
	// Not ctx: the request goes on when that has ended, and the library would leave an upgrade half done. It listens until
	// its context ends, if the request fails.
	answered, settle := context.WithCancel(context.Background())
	request, err := factory.Open(answered, name, version, upgrade)
	if err != nil {
		settle()
		return nil, fromIDB(err)
	}
	var taken atomic.Bool // by whichever comes first: the answer, or the end of ctx
	opened := make(chan error, 1)
	go func() { // ends when the browser answers
		defer settle()
		_, err := request.Await(context.Background())
		if taken.CompareAndSwap(false, true) {
			opened <- err
		} else if db, valueErr := request.Request.Result(); err == nil && valueErr == nil {
			db.Call("close")
		}
	}()
	select {
	case err = <-opened:
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return nil, context.Cause(ctx)
		}
		err = <-opened
	}
	if err != nil {
		return nil, fromIDB(err)
	}
	db, err := request.Request.Result() // of the embedded request: the object itself
	if err != nil {
		return nil, fromIDB(err)
	}
	return newConn(api, db, deleted), nil
}

// upgrade makes the object stores of a new database. One of version 1 has them, and the program that made it is kept out from now on: it would
// write without marks. An error that upgrade returned would end the program, within the library; without the stores, the first transaction says
// what is wrong.
func upgrade(db *idb.Database, old, _ uint) error {
	if old > 0 {
		return nil
	}
	if _, err := db.CreateObjectStore(recordsStore, idb.ObjectStoreOptions{}); err != nil {
		return nil //nolint:nilerr // see above
	}
	meta, err := db.CreateObjectStore(metaStore, idb.ObjectStoreOptions{})
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	_, _ = meta.PutKey(js.ValueOf(idKey), js.ValueOf(fmt.Sprintf("%x", newTag()))) // see above
	return nil
}

func newConn(api *api, db js.Value, deleted func()) *conn {
	c := &conn{api: api, db: db}
	c.listeners = []*jsbridge.Listener{
		// Another tab deletes the database, or opens it with a later version; go-indexeddb closes the connection.
		jsbridge.Listen(db, "versionchange", func(event js.Value) {
			c.lost.Store(true)
			if event.Get("newVersion").IsNull() {
				deleted()
			}
		}),
		// The browser takes the connection away.
		jsbridge.Listen(db, "close", func(js.Value) { c.lost.Store(true) }),
	}
	return c
}

func (c *conn) isLost() bool { return c.lost.Load() }

// close gives the connection up. Its transactions go on to their ends. Closing again does nothing.
func (c *conn) close() {
	c.lost.Store(true)
	c.db.Call("close")
	for _, l := range c.listeners {
		l.Release()
	}
}

// id reads what tells this incarnation of the database from others.
func (c *conn) id(ctx context.Context, watch *watchdog) (id string, err error) {
	err = c.transact(ctx, newMode(metaStore, reading, ""), watch, func(ctx context.Context, t *txn) error {
		result, err := t.request(ctx, t.api.get, idKey)
		if err == nil && result.Type() == js.TypeString {
			id = result.String()
		}
		return err
	})
	if err == nil && id == "" {
		return "", errors.New("the database lacks what this version puts into it: delete the data of this site")
	}
	return id, err
}

// failure is what ended a transaction.
type failure struct {
	err error
	// again tells that the same may succeed on another connection. Whether something was written is not known.
	again bool
	// undone tells that nothing was written.
	undone bool
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fromIDB makes the errors of go-indexeddb ours.
func fromIDB(err error) error {
	for _, name := range []string{"VersionError", "QuotaExceededError", "UnknownError", "AbortError", "InvalidStateError"} {
		if errors.Is(err, idb.NewDOMException(name)) {
			return classify(&jsbridge.Error{Name: name, Message: err.Error()})
		}
	}
	return err
}

// classify says what follows from an error of the browser.
func classify(err error) error {
	var e *jsbridge.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case "QuotaExceededError":
		return &failure{err: fmt.Errorf("%w: %w", store.ErrQuota, err), undone: true}
	case "VersionError":
		return fmt.Errorf("a later version of this page has opened the database, reload the page: %w", err)
	case "InvalidStateError", "TransactionInactiveError", "UnknownError", "AbortError", "TimeoutError", "":
		return &failure{err: err, again: true}
	}
	return err
}
