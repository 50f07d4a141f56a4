//go:build js

package idblog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/jsbridge"
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
		if err = c.transact(ctx, db.modes[access], db.opts.StallTimeout, fn); err == nil {
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
}

// Commit implements store.Log.
func (h *handle) Commit(ctx context.Context, from store.Position, build func([]store.Record) ([]store.Append, error)) ([]store.Record, error) {
	ctx, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer leave()
	c := &commit{handle: h, from: max(from, 1), build: build, tag: newTag()}
	err = h.db.transact(ctx, writing, afterAppend, c.attempt)
	if c.refused != nil {
		return nil, c.refused
	}
	if f := (*failure)(nil); err != nil && c.sent && !(errors.As(err, &f) && f.undone) {
		err = fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	if len(c.records) > 0 {
		h.db.appended(h)
	}
	return c.records, nil
}

// commit is one call of Commit, which can take several attempts.
type commit struct {
	*handle
	from    store.Position
	build   func([]store.Record) ([]store.Append, error)
	tag     float64
	refused error          // what build said
	records []store.Record // of the last attempt
	sent    bool           // the last attempt went so far that it may have been written
}

func (c *commit) attempt(ctx context.Context, t *txn) error {
	keys, err := t.tail(ctx, c.words, c.from)
	if err != nil {
		return err
	}
	if c.sent && c.written(keys) {
		return nil
	}
	c.sent = false // transactions come one after the other: what is not there now never will be
	next := c.from
	if len(keys) > 0 {
		next = keys[len(keys)-1].Next()
	}
	tail, err := t.records(ctx, c.words, keys)
	if err != nil {
		return err
	}
	appends, err := c.build(tail)
	c.records, c.refused = nil, err
	if err != nil || len(appends) == 0 {
		return err
	}
	if c.records, err = store.Place(next, appends); err != nil {
		return err
	}
	if err := c.db.step(beforeAppend, t); err != nil {
		return err
	}
	if err := t.add(c.words, c.records, c.tag); err != nil {
		return err
	}
	c.sent = true
	return nil
}

// written tells whether an earlier attempt was written after all, and where. Another tab may have joined its records with
// those before them since, which leaves the tag at the end.
func (c *commit) written(keys []key) bool {
	end := store.Position(0)
	for _, k := range keys {
		if k.tag == c.tag {
			end = k.Next()
		}
	}
	if end == 0 {
		return false
	}
	for i := len(c.records) - 1; i >= 0; i-- {
		end -= store.Position(c.records[i].Span)
		c.records[i].First = end
	}
	return true
}

// tail returns the keys of the records that hold positions of from or later, or store.ErrLost.
func (t *txn) tail(ctx context.Context, w words, from store.Position) ([]key, error) {
	if from > store.MaxPosition+1 {
		return nil, lost(from)
	}
	return t.tailFrom(ctx, w, from, 0)
}

// tailFrom looks at the record that ends before from as well: without it, the log lost something.
func (t *txn) tailFrom(ctx context.Context, w words, from store.Position, limit int) ([]key, error) {
	lower := w.lowest
	if from > 1 {
		lower = w.holding(from - 1)
	}
	keys, err := t.keys(ctx, lower, w.highest, limit)
	switch {
	case err != nil:
		return nil, err
	case from > 1 && len(keys) == 0:
		return nil, lost(from)
	case len(keys) > 0 && keys[0].Next() <= from:
		return keys[1:], nil
	}
	return keys, nil
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
	if from > store.MaxPosition+1 {
		return nil, lost(from)
	}
	var fit []key
	total := 0
	for next := from; ; next = fit[len(fit)-1].Next() {
		keys, err := t.tailFrom(ctx, w, next, keyBatch)
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
	err = jsbridge.Do(func() { t.send(t.api.remove, t.api.bound.Invoke(lower, upper)) })
	if err != nil {
		return false, classify(err)
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
