package collection

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// op is one change on its way through the commit loop.
type op struct {
	ctx  context.Context
	size int64
	run  func(t *tx) error // may be called more than once; must leave t alone when it fails
	err  error             // of the last call of run
	done chan error        // capacity 1
}

// commitBytes bounds how much content goes into one commit, unless a single op has more.
const commitBytes = 512 << 10

// do runs an op of about size bytes in a commit, together with others that wait at the time, and blocks until the commit is
// done. ctx bounds how long it waits for its turn; once its commit has begun, do sees it through.
func (c *Collection) do(ctx context.Context, size int, run func(t *tx) error) error {
	o, err := c.submit(ctx, size, run)
	if err != nil {
		return err
	}
	return c.wait(o)
}

// submit queues an op. It blocks while too much waits already.
func (c *Collection) submit(ctx context.Context, size int, run func(t *tx) error) (*op, error) {
	if c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx)
	}
	o := &op{ctx: ctx, size: min(int64(size)+64, queueBytes), run: run, done: make(chan error, 1)}
	if err := c.room.Acquire(ctx, o.size); err != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case c.queue <- o:
		return o, nil
	case <-ctx.Done():
		c.room.Release(o.size)
		return nil, context.Cause(ctx)
	case <-c.done:
		c.room.Release(o.size)
		return nil, context.Cause(c.ctx)
	}
}

// wait blocks until an op is through.
func (c *Collection) wait(o *op) error {
	select {
	case err := <-o.done:
		return err
	case <-c.done:
	}
	select {
	case err := <-o.done: // it made it into the last commit
		return err
	default:
		return context.Cause(c.ctx)
	}
}

// run is the commit loop: it makes all changes of this collection, one commit after the other, and compacts the log when there is
// nothing else to do.
func (c *Collection) run() {
	defer close(c.done)
	// Not a timer with a channel: in a page it would be set and cleared, both by way of JavaScript, whenever this waits.
	idle := make(chan struct{}, 1)
	timer := time.AfterFunc(c.opts.CompactAfter, func() {
		select {
		case idle <- struct{}{}:
		default:
		}
	})
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.log.Changed():
			c.follow()
		case o := <-c.queue:
			c.commit(c.gather(o))
			timer.Reset(c.opts.CompactAfter)
		case <-idle:
			if c.compactStep() {
				timer.Reset(0)
			}
		}
		if err := c.repair(); err != nil {
			c.opts.Logger.Error("repair log", "collection", c.name, "error", err)
		}
	}
}

// gather returns first and what else waits, within commitBytes.
func (c *Collection) gather(first *op) []*op {
	ops, size := []*op{first}, first.size
	for size < commitBytes {
		select {
		case o := <-c.queue:
			ops = append(ops, o)
			size += o.size
		default:
			return ops
		}
	}
	return ops
}

// commit runs ops in one commit and tells each how it went.
func (c *Collection) commit(ops []*op) {
	for _, o := range ops {
		c.room.Release(o.size)
	}
	changes, err := c.attempt(ops)
	for tries := 1; errors.Is(err, store.ErrUncertain) && tries < maxTries; tries++ {
		var more []Change
		more, err = c.attempt(ops)
		changes = append(changes, more...)
	}
	c.announce(changes)
	c.lost(err)
	for _, o := range ops {
		if o.err == nil {
			o.err = err
		}
		o.done <- o.err
	}
}

// maxTries is how often a commit is tried of which the store could not tell how it ended.
const maxTries = 5

// attempt tries one commit, and takes in what it and others before it appended. An attempt of which the store does not know how it
// ended is settled by the tail that the store shows afterwards: dots make every record of a commit unlike any other.
func (c *Collection) attempt(ops []*op) (changes []Change, err error) {
	var appends []store.Append
	var t *tx
	take := func(records []store.Record) error {
		more, err := c.apply(records)
		changes = append(changes, more...)
		return err
	}
	records, err := c.log.Commit(context.WithoutCancel(c.ctx), c.mem.next, func(tail []store.Record) ([]store.Append, error) {
		if err := take(tail); err != nil {
			return nil, err
		}
		if c.mem.sealed {
			return nil, ErrSealed
		}
		t = newTx(c)
		for _, o := range ops {
			if o.err = context.Cause(o.ctx); o.err == nil {
				o.err = o.run(t)
			}
		}
		appends = t.appends()
		return appends, nil
	})
	if errors.Is(err, store.ErrUncertain) {
		tail, readErr := c.log.Read(context.WithoutCancel(c.ctx), c.mem.next, math.MaxInt)
		if readErr != nil || !holds(tail, appends) {
			return changes, err
		}
		records, err = tail, nil
	}
	if err != nil {
		return changes, err
	}
	if t.counter != c.mem.known.Last(t.self) {
		c.freshID = document.ReplicaID{} // there was a write: it has the new id
	}
	return changes, take(records)
}

// holds reports whether the records of a commit are among those of tail.
func holds(tail []store.Record, appends []store.Append) bool {
	return len(appends) > 0 && slices.ContainsFunc(tail, func(r store.Record) bool {
		return bytes.Equal(r.Data, appends[0].Data)
	})
}

// lost ends the collection if err says that the log no longer holds what it held: evicted, deleted, or put back under our feet. What is in memory
// must not be written to what is there now.
func (c *Collection) lost(err error) {
	if errors.Is(err, store.ErrLost) {
		c.opts.Logger.Error("log lost its records", "collection", c.name, "error", err)
		c.cancel(err)
	}
}

// follow takes in what other handles appended.
func (c *Collection) follow() {
	for {
		records, err := c.log.Read(c.ctx, c.mem.next, loadBytes)
		if err == nil && len(records) == 0 {
			return
		}
		var changes []Change
		if err == nil {
			changes, err = c.apply(records)
		}
		c.announce(changes)
		c.lost(err)
		if err != nil {
			if c.ctx.Err() == nil {
				c.opts.Logger.Error("read log", "collection", c.name, "error", err)
			}
			return
		}
	}
}

func (c *Collection) apply(records []store.Record) ([]Change, error) {
	if len(records) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mem.met.hasNews() {
		c.mem.sweepBases()
	}
	return c.mem.apply(records)
}
