package memlog

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
)

// handle is a store.Log on a Disk.
type handle struct {
	db      *Database
	name    string
	log     *content
	changed chan struct{} // holds one token while there may be something new
	gate    gate.Gate
}

// find returns the index of the first record that holds a position of from or later. The caller holds the disk's mu.
func (c *content) find(from store.Position) int {
	return sort.Search(len(c.records), func(i int) bool { return c.records[i].Next() > from })
}

// next is the position that the next record takes. The caller holds the disk's mu.
func (c *content) next() store.Position {
	if len(c.records) == 0 {
		return 1
	}
	return c.records[len(c.records)-1].Next()
}

// tail returns a copy of the records from there on. The caller holds the disk's mu.
func (c *content) tail(from store.Position) ([]store.Record, error) {
	if next := c.next(); from > next {
		return nil, fmt.Errorf("%w: asked from position %d, the log ends before %d", store.ErrLost, from, next)
	}
	return slices.Clone(c.records[c.find(from):]), nil
}

// Commit implements store.Log.
func (h *handle) Commit(ctx context.Context, from store.Position, build func([]store.Record) ([]store.Append, error)) ([]store.Record, error) {
	ctx, leave, err := h.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer leave()
	release, err := h.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	defer release()
	tail, err := h.tail(from)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	appends, err := build(tail)
	if err != nil || len(appends) == 0 {
		return nil, err
	}
	records, err := h.append(ctx, appends)
	if err != nil {
		return nil, fmt.Errorf("commit to log %q: %w", h.name, err)
	}
	return records, nil
}

func (h *handle) tail(from store.Position) ([]store.Record, error) {
	h.db.disk.mu.Lock()
	defer h.db.disk.mu.Unlock()
	return h.log.tail(from)
}

// append writes the records. The caller is the log's writer.
func (h *handle) append(ctx context.Context, appends []store.Append) ([]store.Record, error) {
	disk := h.db.disk
	disk.mu.Lock()
	next := h.log.next()
	disk.mu.Unlock()
	records, err := store.Place(next, appends)
	if err != nil {
		return nil, err
	}
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	step := Step{Stage: BeforeAppend, Log: h.name, Records: records}
	if err := h.db.step(step, false); err != nil {
		return nil, err
	}
	if err := h.write(records); err != nil {
		return nil, err
	}
	step.Stage = AfterAppend
	return records, h.db.step(step, true)
}

func (h *handle) write(records []store.Record) error {
	disk := h.db.disk
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if h.db.crashed {
		return ErrCrashed
	}
	if records[0].First != h.log.next() {
		return store.ErrLost // Restore or Drop came between
	}
	if err := disk.reserve(size(records)); err != nil {
		return err
	}
	h.log.records = append(h.log.records, records...)
	h.log.wake(h)
	return nil
}

// Read implements store.Log.
func (h *handle) Read(ctx context.Context, from store.Position, limit int) ([]store.Record, error) {
	_, leave, err := h.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	defer leave()
	records, err := h.tail(from)
	if err != nil {
		return nil, fmt.Errorf("read log %q: %w", h.name, err)
	}
	bytes := 0
	for i, r := range records {
		bytes += len(r.Data)
		if i > 0 && bytes > limit {
			return records[:i:i], nil
		}
	}
	return records, nil
}

// Replace implements store.Log.
func (h *handle) Replace(ctx context.Context, old []store.Record, data []byte) error {
	ctx, leave, err := h.enter(ctx)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	defer leave()
	record, err := store.Join(old, data)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	release, err := h.lock(ctx)
	if err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	defer release()
	if err := h.replace(ctx, old, record); err != nil {
		return fmt.Errorf("replace in log %q: %w", h.name, err)
	}
	return nil
}

// replace changes the records. The caller is the log's writer.
func (h *handle) replace(ctx context.Context, old []store.Record, record store.Record) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	if _, err := h.locate(old); err != nil {
		return err
	}
	step := Step{Stage: BeforeReplace, Log: h.name, Records: []store.Record{record}}
	if err := h.db.step(step, false); err != nil {
		return err
	}
	if err := h.swap(old, record); err != nil {
		return err
	}
	step.Stage = AfterReplace
	return h.db.step(step, true)
}

func (h *handle) locate(old []store.Record) (int, error) {
	h.db.disk.mu.Lock()
	defer h.db.disk.mu.Unlock()
	return h.log.locate(old)
}

// locate returns the index of the run old, or ErrReplaced. The caller holds the disk's mu.
func (c *content) locate(old []store.Record) (int, error) {
	i := c.find(old[0].First)
	if i+len(old) > len(c.records) || !store.Same(c.records[i:i+len(old)], old) {
		return 0, store.ErrReplaced
	}
	return i, nil
}

func (h *handle) swap(old []store.Record, record store.Record) error {
	disk := h.db.disk
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if h.db.crashed {
		return ErrCrashed
	}
	i, err := h.log.locate(old)
	if err != nil {
		return err
	}
	if err := disk.reserve(int64(len(record.Data)) - size(old)); err != nil {
		return err
	}
	h.log.records = slices.Replace(h.log.records, i, i+len(old), record)
	return nil
}

// Changed implements store.Log.
func (h *handle) Changed() <-chan struct{} { return h.changed }

// Close implements store.Log.
func (h *handle) Close() error {
	h.gate.Close()
	h.db.disk.mu.Lock()
	delete(h.log.handles, h)
	delete(h.db.handles, h)
	h.db.disk.mu.Unlock()
	return nil
}

func (h *handle) enter(ctx context.Context) (context.Context, func(), error) {
	call, leave, err := h.gate.Enter(ctx)
	if err == nil && h.db.isCrashed() {
		leave()
		return nil, nil, ErrCrashed
	}
	return call, leave, err
}

// lock makes the caller the log's writer.
func (h *handle) lock(ctx context.Context) (release func(), err error) {
	select {
	case <-h.log.writer:
		return func() { h.log.writer <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// wait lasts as long as the disk takes for a write.
func (h *handle) wait(ctx context.Context) error {
	if h.db.disk.latency <= 0 {
		return nil
	}
	timer := time.NewTimer(h.db.disk.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wake tells the other handles of the log. The caller holds the disk's mu.
func (c *content) wake(writer *handle) {
	for h := range c.handles {
		if h == writer {
			continue
		}
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
}

func size(records []store.Record) int64 {
	n := int64(0)
	for _, r := range records {
		n += int64(len(r.Data))
	}
	return n
}
