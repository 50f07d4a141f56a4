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
