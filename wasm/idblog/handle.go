//go:build js

package idblog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
)

const (
	attempts = 4                     // of one operation, each on another connection
	pause    = 50 * time.Millisecond // before the second attempt, twice that before the third, and so on
	keyBatch = 512                   // how many keys Read looks at in one request
)

// The kinds of operations.
const (
	reading = "readonly"
	writing = "readwrite"
)

// transact runs fn in a transaction. Where the browser took the connection away it does so again on another one. Tests come
// in at stage after, when the transaction is complete.
func (db *Database) transact(ctx context.Context, access string, after stage, fn func(context.Context, *txn) error) error {
	if access == writing {
		select {
		case <-db.writer:
			defer func() { db.writer <- struct{}{} }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return db.retry(ctx, func(ctx context.Context) error {
		c, err := db.connection(ctx)
		if err != nil {
			return err
		}
		if err = c.transact(ctx, db.modes[access], db.watch, fn); err == nil {
			err = db.step(after, nil)
		}
		if canRetry(err) {
			c.close()
		}
		return err
	})
}

func canRetry(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.again
}

// retry calls fn until it succeeds, fails for good, or was tried often enough.
func (db *Database) retry(ctx context.Context, fn func(context.Context) error) error {
	for n := 1; ; n++ {
		err := fn(ctx)
		if !canRetry(err) {
			return err
		}
		if n == attempts {
			return fmt.Errorf("%d attempts: %w", n, err)
		}
		timer := time.NewTimer(time.Duration(n) * pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// handle is a store.Log.
type handle struct {
	db      *Database
	name    string
	words   words
	changed chan struct{} // holds one token while there may be something new
	gate    gate.Gate

	mu   sync.Mutex // guards the following field
	turn *turn      // nil where the next commit has to read before it writes
}

// tail returns the keys of the records that hold positions of from or later, at most limit unless that is 0, or store.ErrLost. Before
// them it returns that of the record that ends before from, if that is where one ends: without either, the log lost something.
func (t *txn) tail(ctx context.Context, w words, from store.Position, limit int) (before, keys []key, err error) {
	if from > store.MaxPosition+1 {
		return nil, nil, lost(from)
	}
	lower := w.lowest
	if from > 1 {
		lower = w.holding(from - 1)
	}
	keys, err = t.keys(ctx, lower, w.highest, limit)
	switch {
	case err != nil:
		return nil, nil, err
	case from > 1 && len(keys) == 0:
		return nil, nil, lost(from)
	case len(keys) > 0 && keys[0].Next() <= from:
		return keys[:1], keys[1:], nil
	}
	return nil, keys, nil
}

func lost(from store.Position) error {
	return fmt.Errorf("%w: asked from position %d, the log ends before it", store.ErrLost, from)
}

// Read implements store.Log.
func (h *handle) Read(ctx context.Context, from store.Position, limit int) ([]store.Record, error) {
	ctx, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	defer leave()
	var records []store.Record
	err = h.db.transact(ctx, reading, "", func(ctx context.Context, t *txn) (err error) {
		records, err = t.read(ctx, h.words, max(from, 1), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	return records, nil
}

func (t *txn) read(ctx context.Context, w words, from store.Position, limit int) ([]store.Record, error) {
	var fit []key
	total := 0
	for next := from; ; next = fit[len(fit)-1].Next() {
		_, keys, err := t.tail(ctx, w, next, keyBatch)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if total += k.size; len(fit) > 0 && total > limit {
				return t.records(ctx, w, fit)
			}
			fit = append(fit, k)
		}
		if len(keys) < keyBatch-1 { // one key may have been of the record before
			return t.records(ctx, w, fit)
		}
	}
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
	sent := false
	err = h.db.transact(ctx, writing, afterReplace, func(ctx context.Context, t *txn) error {
		done, err := t.replace(ctx, h, old, joined, sent)
		sent = sent || err == nil && !done
		return err
	})
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	return nil
}

// replace puts joined in the place of old. With again it also takes for done what an earlier attempt may have written.
func (t *txn) replace(ctx context.Context, h *handle, old []store.Record, joined store.Record, again bool) (done bool, err error) {
	last := joined.Next() - 1
	if joined.First == 0 || last > store.MaxPosition {
		return false, store.ErrReplaced
	}
	lower, upper := h.words.holding(joined.First), h.words.upTo(last)
	keys, err := t.keys(ctx, lower, upper, 0)
	if err != nil {
		return false, err
	}
	if len(keys) != len(old) && !again {
		return false, store.ErrReplaced
	}
	found, err := t.records(ctx, h.words, keys)
	if err != nil {
		return false, err
	}
	if again && store.Same(found, []store.Record{joined}) {
		return true, nil
	}
	if !store.Same(found, old) {
		return false, store.ErrReplaced
	}
	if err := h.db.step(beforeReplace, t); err != nil {
		return false, err
	}
	if err := t.do(func() { t.send(t.api.remove, t.api.bound.Invoke(lower, upper)) }); err != nil {
		return false, err
	}
	return false, t.add(h.words, []store.Record{joined}, keys[len(keys)-1].tag)
}

// step lets a test interfere.
func (db *Database) step(s stage, t *txn) error {
	if db.hook == nil || s == "" {
		return nil
	}
	return db.hook(s, t)
}

// Changed implements store.Log.
func (h *handle) Changed() <-chan struct{} { return h.changed }

// wake does not block.
func (h *handle) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Close implements store.Log.
func (h *handle) Close() error {
	h.gate.Close()
	h.db.mu.Lock()
	defer h.db.mu.Unlock()
	delete(h.db.handles, h)
	return nil
}
