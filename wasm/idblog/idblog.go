//go:build js

// Package idblog keeps the logs of a replica in IndexedDB, for browsers.
//
// All tabs of an origin that open the same name share one replica: IndexedDB puts their commits in one order, and a
// BroadcastChannel wakes the others. The browser may take the connection away (https://bugs.webkit.org/show_bug.cgi?id=197050
// is about Safari, which does so to tabs in the background); an operation then opens another and begins anew.
package idblog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall/js"
	"time"

	"github.com/hack-pad/go-indexeddb/idb"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// Options says how a database works. The zero value is good.
type Options struct {
	// Durability is the hint that goes with each commit (https://w3c.github.io/IndexedDB/#transaction-durability-hint);
	// "" means store.Relaxed.
	Durability store.Durability
	// OpenTimeout is how long opening may take, which waits while another tab deletes the database. 0 means 20 seconds.
	OpenTimeout time.Duration
	// StallTimeout is how long the browser may leave a transaction without an event until the connection counts as lost.
	// 0 means 30 seconds.
	StallTimeout time.Duration
}

const (
	defaultOpenTimeout  = 20 * time.Second
	defaultStallTimeout = 30 * time.Second
	prefix              = "shoal/" // of the names of databases and channels
)

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Durability == "" {
		opts.Durability = store.Relaxed
	}
	if opts.OpenTimeout == 0 {
		opts.OpenTimeout = defaultOpenTimeout
	}
	if opts.StallTimeout == 0 {
		opts.StallTimeout = defaultStallTimeout
	}
	return opts
}

func (o *Options) validate() error {
	switch {
	case o.Durability != store.Strict && o.Durability != store.Relaxed:
		return fmt.Errorf("option Durability is %q, it can be %q or %q", o.Durability, store.Relaxed, store.Strict)
	case o.OpenTimeout < 0:
		return fmt.Errorf("option OpenTimeout is %v, it cannot be negative", o.OpenTimeout)
	case o.StallTimeout < 0:
		return fmt.Errorf("option StallTimeout is %v, it cannot be negative", o.StallTimeout)
	}
	return nil
}

// ErrUnsupported tells that there is no IndexedDB here: in Node, and in some private windows. It matches
// errors.ErrUnsupported.
var ErrUnsupported = fmt.Errorf("idblog: no IndexedDB here, use memory storage: %w", errors.ErrUnsupported)

// stage is a place within an operation at which tests can interfere.
type stage string

const (
	beforeAppend  stage = "before append"
	afterAppend   stage = "after append"
	beforeReplace stage = "before replace"
	afterReplace  stage = "after replace"
)

// Database is a store.Database in IndexedDB.
type Database struct {
	name    string
	opts    Options
	hook    func(stage, *txn) error // nil but in tests
	factory *idb.Factory
	api     *api
	modes   map[string]mode // by kind of operation
	watch   *watchdog
	gate    gate.Gate
	writer  chan struct{} // holds a token while no transaction writes
	opener  chan struct{} // holds a token while nobody opens a connection

	mu      sync.Mutex // guards the following fields; nothing that waits is done under it
	conn    *conn      // nil before the first and after the last
	id      string     // of this incarnation of the database
	gone    bool       // the incarnation was deleted
	waker   *waker     // nil once closed
	handles map[*handle]struct{}
}

var _ store.Database = (*Database)(nil)

// Open opens the database with that name, which is made if need be; opts may be nil. The caller closes it. Where there is no
// IndexedDB it fails with an error that matches errors.ErrUnsupported.
func Open(ctx context.Context, name string, opts *Options) (*Database, error) {
	db, err := open(ctx, name, opts.withDefaults(), nil)
	if err != nil {
		return nil, fmt.Errorf("open database %q: %w", name, err)
	}
	return db, nil
}

func open(ctx context.Context, name string, opts Options, hook func(stage, *txn) error) (*Database, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	factory, err := global()
	if err != nil {
		return nil, err
	}
	db := &Database{
		name: name, opts: opts, hook: hook, factory: factory, api: newAPI(),
		modes: map[string]mode{
			reading: newMode(recordsStore, reading, ""),
			writing: newMode(recordsStore, writing, string(opts.Durability)),
		},
		watch:  newWatchdog(opts.StallTimeout),
		writer: make(chan struct{}, 1), opener: make(chan struct{}, 1), handles: make(map[*handle]struct{}),
	}
	db.writer <- struct{}{}
	db.opener <- struct{}{}
	db.waker = newWaker(prefix+name, db.wake)
	err = db.retry(ctx, func(ctx context.Context) error {
		_, err := db.connection(ctx)
		return err
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// global returns the browser's factory. idb.Global panics where there is none.
func global() (factory *idb.Factory, err error) {
	defer func() {
		if recover() != nil {
			err = ErrUnsupported
		}
	}()
	return idb.Global(), nil
}

// Log implements store.Database.
func (db *Database) Log(ctx context.Context, name string) (store.Log, error) {
	_, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	h := &handle{db: db, name: name, words: db.api.words(name), changed: make(chan struct{}, 1)}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.handles[h] = struct{}{}
	return h, nil
}

// Names implements store.Database.
func (db *Database) Names(ctx context.Context) ([]string, error) {
	ctx, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer leave()
	var names []string
	err = db.transact(ctx, reading, "", func(ctx context.Context, t *txn) (err error) {
		names, err = t.names(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	slices.Sort(names) // IndexedDB sorts by UTF-16 units
	return names, nil
}

// Drop implements store.Database.
func (db *Database) Drop(ctx context.Context, name string) error {
	ctx, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return fmt.Errorf("drop log: %w", err)
	}
	err = db.transact(ctx, writing, "", func(ctx context.Context, t *txn) error {
		w := t.api.words(name)
		keys, err := t.keys(ctx, w.lowest, w.highest, 0)
		if err != nil || len(keys) == 0 {
			return err
		}
		return t.do(func() {
			t.send(t.api.remove, t.api.bound.Invoke(w.lowest, w.highest))
			t.endTurns(w, nil, keys)
		})
	})
	if err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	return nil
}

// Close implements store.Database.
func (db *Database) Close() error {
	db.gate.Close()
	db.mu.Lock()
	handles := make([]*handle, 0, len(db.handles))
	for h := range db.handles {
		handles = append(handles, h)
	}
	db.mu.Unlock()
	for _, h := range handles {
		h.Close()
	}
	db.mu.Lock()
	conn, waker := db.conn, db.waker
	db.conn, db.waker = nil, nil
	db.mu.Unlock()
	if conn != nil {
		conn.close()
	}
	if waker != nil {
		waker.close()
	}
	db.watch.close()
	return nil
}

// connection returns the connection, a new one where there is none or it was lost.
func (db *Database) connection(ctx context.Context) (*conn, error) {
	if c, err := db.current(); c != nil || err != nil {
		return c, err
	}
	select {
	case <-db.opener:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { db.opener <- struct{}{} }()
	if c, err := db.current(); c != nil || err != nil { // another opened it meanwhile
		return c, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, db.opts.OpenTimeout, fmt.Errorf(
		"no answer for %v, another tab may keep the database from being deleted: close the other tabs of this site: %w",
		db.opts.OpenTimeout, context.DeadlineExceeded))
	defer cancel()
	c, err := dial(ctx, db.factory, db.api, prefix+db.name, db.deleted)
	if err != nil {
		return nil, err
	}
	id, err := c.id(ctx, db.watch)
	if err != nil {
		c.close()
		return nil, err
	}
	return db.adopt(c, id)
}

// current returns the connection if there is a good one.
func (db *Database) current() (*conn, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.gone:
		return nil, fmt.Errorf("%w: the database was deleted", store.ErrLost)
	case db.waker == nil:
		return nil, net.ErrClosed
	case db.conn != nil && !db.conn.isLost():
		return db.conn, nil
	}
	return nil, nil
}

// adopt makes c the connection, unless it leads to another database than the one before.
func (db *Database) adopt(c *conn, id string) (*conn, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.id != "" && db.id != id {
		db.gone = true
		c.close()
		return nil, fmt.Errorf("%w: the database was deleted", store.ErrLost)
	}
	if db.conn != nil {
		db.conn.close()
		for h := range db.handles { // words of commits may have been missed
			h.wake()
		}
	}
	db.conn, db.id = c, id
	return c, nil
}

// deleted is called when another connection deletes the database.
func (db *Database) deleted() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.gone = true
}

// wake tells the handles of a log that there may be something new; "" means all logs.
func (db *Database) wake(log string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.wakeBut(nil, log)
}

// wakeBut is wake for all but one. Callers hold mu.
func (db *Database) wakeBut(but *handle, log string) {
	for h := range db.handles {
		if h != but && (log == "" || h.name == log) {
			h.wake()
		}
	}
}

// appended tells the other handles of the log, here and in other tabs. by knows: Commit has told.
func (db *Database) appended(by *handle) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.wakeBut(by, by.name)
	if db.waker != nil {
		db.waker.tell(by.words.name)
	}
}

// Delete deletes the database with that name and all that is in it. It blocks until the other tabs have closed theirs, which
// they do at once where they use this package, and answer store.ErrLost from then on. When ctx ends first, its cause
// comes back, but the browser still deletes the database once it can.
func Delete(ctx context.Context, name string) error {
	factory, err := global()
	if err != nil {
		return fmt.Errorf("delete database %q: %w", name, err)
	}
	request, err := factory.DeleteDatabase(prefix + name)
	if err != nil {
		return fmt.Errorf("delete database %q: %w", name, err)
	}
	if err := request.Await(ctx); err != nil {
		return fmt.Errorf("delete database %q: %w", name, err)
	}
	if ctx.Err() != nil { // Await does not tell
		return fmt.Errorf("delete database %q: another tab may have it open: %w", name, context.Cause(ctx))
	}
	return nil
}

// Persist asks the browser not to evict the databases of this origin when space is short, and returns whether it will keep
// them (https://storage.spec.whatwg.org/#dom-storagemanager-persist). Some browsers ask the user. Where there is no such
// question, the error matches errors.ErrUnsupported.
func Persist(ctx context.Context) (bool, error) {
	navigator := js.Global().Get("navigator")
	if !navigator.Truthy() || !navigator.Get("storage").Truthy() || !navigator.Get("storage").Get("persist").Truthy() {
		return false, fmt.Errorf("persist storage: the browser has no navigator.storage.persist here: %w", errors.ErrUnsupported)
	}
	promise, err := jsbridge.Try(func() js.Value { return navigator.Get("storage").Call("persist") })
	if err == nil {
		promise, err = jsbridge.Await(ctx, promise)
	}
	if err != nil {
		return false, fmt.Errorf("persist storage: %w", err)
	}
	return promise.Truthy(), nil
}

// newTag marks the records of one commit. There is room for tags before and after it.
func newTag() float64 { return float64(1<<10 + rand.Uint64N(1<<52)) }
