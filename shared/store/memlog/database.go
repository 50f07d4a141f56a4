package memlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
)

// Database is a store.Database on a Disk.
type Database struct {
	disk *Disk
	hook Hook
	gate gate.Gate

	crashed bool                 // guarded by disk.mu, as are the handles
	handles map[*handle]struct{} // which are open
}

var _ store.Database = (*Database)(nil)

// Log implements store.Database.
func (db *Database) Log(ctx context.Context, name string) (store.Log, error) {
	_, leave, err := db.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	h := &handle{db: db, name: name, changed: make(chan struct{}, 1)}
	db.disk.mu.Lock()
	h.log = db.disk.content(name)
	h.log.handles[h] = struct{}{}
	db.handles[h] = struct{}{}
	db.disk.mu.Unlock()
	return h, nil
}

// Names implements store.Database.
func (db *Database) Names(ctx context.Context) ([]string, error) {
	_, leave, err := db.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer leave()
	db.disk.mu.Lock()
	defer db.disk.mu.Unlock()
	var names []string
	for name, c := range db.disk.logs {
		if len(c.records) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Drop implements store.Database.
func (db *Database) Drop(ctx context.Context, name string) error {
	_, leave, err := db.enter(ctx)
	if err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return fmt.Errorf("drop log: %w", err)
	}
	db.disk.mu.Lock()
	defer db.disk.mu.Unlock()
	if c, ok := db.disk.logs[name]; ok {
		db.disk.used -= size(c.records)
		c.records = nil
	}
	return nil
}

// Close implements store.Database.
func (db *Database) Close() error {
	db.gate.Close()
	db.disk.mu.Lock()
	handles := slices.Collect(maps.Keys(db.handles))
	db.disk.mu.Unlock()
	for _, h := range handles {
		h.Close()
	}
	return nil
}

// Crash makes every call under way or to come answer ErrCrashed, but for Close. It does not wait: a call that waits for
// another's commit, for its own latency or in a hook answers once that is over. What is on the disk stays as it is; what a
// call under way has not put there it never will.
func (db *Database) Crash() {
	db.disk.mu.Lock()
	defer db.disk.mu.Unlock()
	db.crashed = true
}

func (db *Database) enter(ctx context.Context) (context.Context, func(), error) {
	call, leave, err := db.gate.Enter(ctx)
	if err == nil && db.isCrashed() {
		leave()
		return nil, nil, ErrCrashed
	}
	return call, leave, err
}

func (db *Database) isCrashed() bool {
	db.disk.mu.Lock()
	defer db.disk.mu.Unlock()
	return db.crashed
}

// step calls the hook. changed tells that the disk has the change already: no error can take it back then.
func (db *Database) step(s Step, changed bool) error {
	if db.isCrashed() {
		return ErrCrashed
	}
	if db.hook == nil {
		return nil
	}
	err := db.hook(s)
	if errors.Is(err, ErrCrashed) || changed && err != nil {
		db.Crash()
	}
	if db.isCrashed() {
		return ErrCrashed
	}
	return err
}
