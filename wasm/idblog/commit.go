//go:build js

package idblog

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/store"
)

// Commit implements store.Log.
func (h *handle) Commit(ctx context.Context, from store.Position, build func([]store.Record) ([]store.Append, error)) ([]store.Record, error) {
	ctx, leave, err := h.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer leave()
	c := &commit{handle: h, from: max(from, 1), build: build, tag: newTag(), turn: h.takeTurn()}
	if c.turn != nil && c.turn.next == c.from {
		c.ahead, c.tag = true, c.turn.tag+1
	}
	err = h.db.transact(ctx, writing, afterAppend, c.attempt)
	if c.blind && isTaken(err) {
		c.sent = false // the transaction was aborted
		err = h.db.transact(ctx, writing, afterAppend, c.attempt)
	}
	if c.refused != nil {
		h.giveTurn(c.turn)
		return nil, c.refused
	}
	if f := (*failure)(nil); err != nil && c.sent && !(errors.As(err, &f) && f.undone) {
		err = fmt.Errorf("%w: %w", store.ErrUncertain, err)
	}
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	n := len(c.records)
	if n == 0 {
		h.giveTurn(c.turn)
		return nil, nil
	}
	h.giveTurn(&turn{next: c.records[n-1].Next(), tag: c.tag, marks: c.marks})
	h.db.appended(h)
	return c.records, nil
}

// commit is one call of Commit, which can take several attempts.
type commit struct {
	*handle
	from    store.Position
	build   func([]store.Record) ([]store.Append, error)
	tag     float64
	turn    *turn          // that the commit before left, nil if none
	ahead   bool           // the next attempt is to write without reading
	blind   bool           // the last attempt did
	marks   int            // see turn
	refused error          // what build said
	records []store.Record // of the last attempt
	sent    bool           // the last attempt went so far that it may have been written
}

func (c *commit) attempt(ctx context.Context, t *txn) error {
	if c.blind = c.ahead; c.ahead {
		c.ahead = false
		if err := c.appendAhead(t); err != nil || c.sent {
			return err
		}
		c.blind = false
	}
	before, keys, err := t.tail(ctx, c.words, c.from, 0)
	if err != nil {
		return err
	}
	if c.sent && c.written(keys) {
		return nil
	}
	c.sent = false // transactions come one after the other: what is not there now never will be
	tail, err := t.records(ctx, c.words, keys)
	if err != nil {
		return err
	}
	appends, err := c.build(tail)
	c.records, c.refused = nil, err
	if err != nil || len(appends) == 0 {
		return err
	}
	next := c.from
	if len(keys) > 0 {
		next = keys[len(keys)-1].Next()
	}
	if c.records, err = store.Place(next, appends); err != nil {
		return err
	}
	c.marks = 0
	return c.send(t, func() { t.endTurns(c.words, c.turn, append(before, keys...)) })
}

// appendAhead sends what there is to append, or nothing if that is nothing: it would not be known whether there is a tail, then.
func (c *commit) appendAhead(t *txn) error {
	appends, err := c.build(nil)
	if err != nil || len(appends) == 0 {
		return nil //nolint:nilerr // build is asked again
	}
	if c.records, err = store.Place(c.from, appends); err != nil {
		return err
	}
	return c.send(t, func() { c.marks = t.goOn(c.words, c.turn) })
}

// send sends the records of the attempt, and mark.
func (c *commit) send(t *txn, mark func()) error {
	if err := c.db.step(beforeAppend, t); err != nil {
		return err
	}
	if err := t.do(mark); err != nil {
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
