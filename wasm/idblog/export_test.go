//go:build js

package idblog

import (
	"context"
	"errors"
	"syscall/js"
)

// ErrAgain is an error that another attempt may mend.
var ErrAgain error = &failure{err: errors.New("connection lost, by a test"), again: true}

// OpenHooked is Open with a hook that is called at each stage. An error from it ends the attempt.
func OpenHooked(ctx context.Context, name string, opts *Options, hook func(stage string, txn js.Value) error) (*Database, error) {
	return open(ctx, name, opts.withDefaults(), func(s stage, t *txn) error {
		if t == nil {
			return hook(string(s), js.Undefined())
		}
		return hook(string(s), t.js)
	})
}

// Connection is the IDBDatabase in use.
func (db *Database) Connection() js.Value {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.conn.db
}

// SetAdd makes fn what adds records; undefined puts back what did.
func (db *Database) SetAdd(fn js.Value) {
	if fn.IsUndefined() {
		fn = newAPI().add
	}
	db.api.add = fn
}

// CountReads returns a function that returns how often keys or records have been asked for.
func (db *Database) CountReads() func() int {
	counter := js.Global().Get("Function").New("keys", "all", `const counter = {reads: 0};
		counter.keys = (...args) => { counter.reads++; return keys(...args); };
		counter.all = (...args) => { counter.reads++; return all(...args); };
		return counter`).Invoke(db.api.getAllKeys, db.api.getAll)
	db.api.getAllKeys, db.api.getAll = counter.Get("keys"), counter.Get("all")
	return func() int { return counter.Get("reads").Int() }
}
