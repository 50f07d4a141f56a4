//go:build !js

package boltlog

import (
	"context"
	"fmt"
	"math"

	"go.etcd.io/bbolt"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
)

// handle is a store.Log.
type handle struct {
	db      *Database
	name    string
	changed chan struct{} // holds one token while there may be something new
	gate    gate.Gate
}

// Commit implements store.Log.
func (h *handle) Commit(ctx context.Context, from store.Position, build func([]store.Record) ([]store.Append, error)) ([]store.Record, error) {
	ctx, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer leave()
	release, err := h.db.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer release()
	tail, next, err := h.scan(from, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	appends, err := build(tail)
	if err != nil || len(appends) == 0 {
		return nil, err
	}
	records, err := h.append(next, appends)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	return records, nil
}

// scan returns what Read does, and the position that comes next in the log.
func (h *handle) scan(from store.Position, limit int) (found []store.Record, next store.Position, err error) {
	total := 0
	fits := func(size int) bool {
		total += size
		return len(found) == 0 || total <= limit
	}
	err = h.db.view(func(tx *bbolt.Tx) error {
		log, pending := openLog(tx, h.name), h.db.journal.pendingOf(h.name)
		if next = log.next(); len(pending) > 0 {
			next = pending[len(pending)-1].Next()
		}
		if from > next {
			return fmt.Errorf("%w: asked from position %d, the log ends before %d", store.ErrLost, from, next)
		}
		err := log.each(from, func(r store.Record, size int) (more bool, err error) {
			if more = fits(size); more {
				r.Data, err = log.data(r, size)
				found = append(found, r)
			}
			return more, err
		})
		for _, r := range pending {
			if r.Next() > from && fits(len(r.Data)) {
				found = append(found, r)
			}
		}
		return err
	})
	return found, next, err
}

// append writes records. The caller is the writer.
func (h *handle) append(next store.Position, appends []store.Append) ([]store.Record, error) {
	records, err := store.Place(next, appends)
	if err != nil {
		return nil, err
	}
	if err := h.db.step(beforeAppend); err != nil {
		return nil, err
	}
	if err := h.db.write(h.name, records); err != nil {
		return nil, err
	}
	h.db.wake(h)
	return records, h.db.step(afterAppend)
}

// write puts records into the journal or the file. The caller is the writer.
func (db *Database) write(name string, records []store.Record) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.failed != nil {
		return db.failed
	}
	size := 0
	for _, r := range records {
		size += len(r.Data)
	}
	if db.opts.Durability == store.Relaxed && size <= maxFrameData {
		if db.journal.size >= maxJournal {
			if err := db.flush(); err != nil {
				return err
			}
		}
		db.touch()
		return db.journal.append(name, records)
	}
	if err := db.flush(); err != nil {
		return err
	}
	return db.update(func(tx *bbolt.Tx) error { return putRecords(tx, name, records) })
}

// Read implements store.Log.
func (h *handle) Read(ctx context.Context, from store.Position, limit int) ([]store.Record, error) {
	_, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	defer leave()
	records, _, err := h.scan(from, limit)
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	return records, nil
}

// Replace implements store.Log.
func (h *handle) Replace(ctx context.Context, old []store.Record, data []byte) error {
	ctx, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	defer leave()
	joined, err := store.Join(old, data)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	release, err := h.db.lock(ctx)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	defer release()
	if err := h.db.replace(h.name, old, joined); err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	return nil
}

// replace changes the file. The caller is the writer.
func (db *Database) replace(name string, old []store.Record, joined store.Record) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.flush(); err != nil {
		return err
	}
	err := db.update(func(tx *bbolt.Tx) error {
		if err := replaceRecords(tx, name, old, joined); err != nil {
			return err
		}
		return db.step(beforeReplace)
	})
	if err != nil {
		return err
	}
	return db.step(afterReplace)
}

// step lets a test interfere.
func (db *Database) step(s stage) error {
	if db.hook == nil {
		return nil
	}
	return db.hook(s)
}

// Changed implements store.Log.
func (h *handle) Changed() <-chan struct{} { return h.changed }

// Close implements store.Log.
func (h *handle) Close() error {
	h.gate.Close()
	h.db.handlesMu.Lock()
	defer h.db.handlesMu.Unlock()
	delete(h.db.handles, h)
	return nil
}
