package rxdb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/tidwall/gjson"
)

// fork is the part of a session that has the peer as its master. One goroutine takes turns at pulling, at what the master tells, and at pushing, so
// that none of them acts on what another is about to change.
type fork struct {
	*Session
	key    string
	resync bool              // ask the master for changes
	echoes map[string]digest // writes that the master has taken and not told of yet; what it tells of those documents before is older
	bodies map[string]body   // assumed master states
	size   int               // of bodies
	batch  int               // of the next pull; less than is wanted after answers that were too long

	up     store.Position // entries before it are with the master, but for those that it did not take
	undone store.Position // of the first that it did not take, 0 for none
}

// body is the text of a document state as the master has it.
type body struct {
	state digest
	text  []byte
}

// defaultBatch is the batch size where a Direction does not say.
const defaultBatch = 100

func newFork(s *Session, key string) *fork {
	f := &fork{Session: s, key: key, resync: true, echoes: make(map[string]digest), bodies: make(map[string]body)}
	_, f.up = s.meta.marks(key)
	if f.up > s.tail() {
		f.up = 0 // the log is another one than it was
	}
	return f
}

func (f *fork) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		err := f.turn(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, ErrMessage) || errors.Is(err, net.ErrClosed) {
			return err
		}
		f.report(err)
		work := f.work[workFork]
		if err != nil {
			f.resync = true
			f.cfg.OnError(err)
			work = nil // not before RetryTime
		}
		timer.Stop()
		if err != nil || f.undone > 0 {
			timer.Reset(f.cfg.RetryTime)
		}
		select {
		case <-work:
		case <-timer.C:
			f.again()
		case <-ctx.Done():
		}
	}
}

// again makes the next push begin with what the master did not take.
func (f *fork) again() {
	if f.undone > 0 {
		f.up, f.undone = f.undone, 0
	}
}

// report notes the end of a turn.
func (f *fork) report(err error) {
	f.mu.Lock()
	f.progress.Pulling = err != nil && f.cfg.Pull != nil
	f.progress.InSync = err == nil && f.undone == 0
	f.mu.Unlock()
	f.cfg.OnChange()
}

// turn does all there is to do.
func (f *fork) turn(ctx context.Context) error {
	if err := f.takeEvents(ctx); err != nil {
		return err
	}
	if f.resync && f.cfg.Pull != nil {
		f.mu.Lock()
		f.progress.Pulling, f.progress.InSync = true, false
		f.mu.Unlock()
		if err := f.pull(ctx); err != nil {
			return fmt.Errorf("pull: %w", err)
		}
	}
	f.resync = false
	if f.cfg.Push == nil {
		return nil
	}
	if err := f.push(ctx); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

// takeEvents takes what the master has told since the last turn.
func (f *fork) takeEvents(ctx context.Context) error {
	f.mu.Lock()
	events := f.events
	if f.dropped {
		f.resync = true
	}
	f.events, f.bytes, f.dropped = nil, 0, false
	f.mu.Unlock()
	if f.cfg.Pull == nil {
		return nil
	}
	for _, e := range events {
		if e.resync {
			f.resync = true
		}
	}
	for _, e := range events {
		if f.resync || e.resync {
			return nil // the master will tell all of it again
		}
		c, err := parseChanges(e.raw)
		if err != nil {
			return err
		}
		docs, stale, err := f.parse(ctx, c.documents, e.at)
		if err != nil {
			return err
		}
		f.resync = f.resync || stale
		down := c.checkpoint
		if stale || !gjson.ParseBytes(down).IsObject() {
			down = nil
		}
		if err := f.take(ctx, docs, down); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the documents of a batch, heard as message number at; 0 for an answer, which is never older than what was written before. Those
// that cannot be stored are left out and reported. Those that are older than a write of this side are left out, too: stale tells so.
func (f *fork) parse(ctx context.Context, list []gjson.Result, at uint64) (docs []docState, stale bool, err error) {
	for _, v := range list {
		d, err := parseState(v, f.cfg.PrimaryKey)
		if errors.Is(err, ErrDocument) {
			f.cfg.OnError(err)
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if e, ok := f.echoes[d.id]; ok && at > 0 {
			switch {
			case digestOf(d.Content) == e:
				delete(f.echoes, d.id)
			default:
				stale = true
				continue
			}
		}
		docs = append(docs, d)
	}
	return docs, stale, nil
}

// pull asks the master for what changed since the checkpoint, until it has no more.
func (f *fork) pull(ctx context.Context) error {
	want := f.cfg.Pull.BatchSize
	if want <= 0 {
		want = defaultBatch
	}
	if f.batch == 0 {
		f.batch = want
	}
	clear(f.echoes) // what the master says from here on has them
	last := []byte(nil)
	for {
		down, _ := f.meta.marks(f.key)
		if down == nil {
			down = json.RawMessage("null")
		}
		m, err := f.ask(ctx, methodChangesSince, down, itoa(f.batch))
		if errors.Is(err, errTooLong) && f.batch > 1 {
			f.batch = max(1, f.batch/4)
			continue
		}
		if err != nil {
			return err
		}
		c, err := parseChanges(m.result)
		switch {
		case err != nil:
			return err
		case len(c.documents) > f.batch:
			return fmt.Errorf("%w: %d documents, %d were asked for", ErrMessage, len(c.documents), f.batch)
		}
		docs, _, err := f.parse(ctx, c.documents, 0)
		if err != nil {
			return err
		}
		if !gjson.ParseBytes(c.checkpoint).IsObject() {
			c.checkpoint = nil
		}
		if err := f.take(ctx, docs, c.checkpoint); err != nil {
			return err
		}
		if len(c.documents) < f.batch || c.checkpoint == nil {
			f.forgetEvents(m.at)
			return nil
		}
		if bytes.Equal(c.checkpoint, last) {
			return fmt.Errorf("%w: checkpoint stays at %s", ErrMessage, last)
		}
		last = c.checkpoint
		f.batch = min(want, 2*f.batch)
	}
}

// forgetEvents drops the events that came before message number at: what they told was part of it.
func (f *fork) forgetEvents(at uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.events) > 0 && f.events[0].at < at {
		f.bytes -= min(f.bytes, len(f.events[0].raw.Raw))
		f.events = f.events[1:]
	}
	if len(f.events) == 0 {
		f.events, f.bytes = nil, 0
	}
}

// take takes states of the master: it writes those whose document here is as the master had it before. Where it is not, there is something to push, and
// that will find the conflict. Then it notes what the master has, and down, the checkpoint after it.
func (f *fork) take(ctx context.Context, docs []docState, down json.RawMessage) error {
	u := &update{down: down}
	var writes []collection.Write
	pending := make(map[string]docState)
	for _, d := range docs {
		raw := d
		keep, err := f.incoming(ctx, &d)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		var held *document.Entry
		var pos store.Position
		f.coll.View(func(v collection.View) { held, pos = v.Get(d.id) })
		write, know, err := f.compare(ctx, held, d)
		if err != nil {
			return err
		}
		if !write && !know {
			f.up = min(f.up, pos) // the push will find the conflict
		}
		if know {
			f.assume(u, raw)
		}
		if write {
			writes = append(writes, writeOver(held, d))
			pending[d.id] = raw
		}
	}
	changed, err := f.writeAll(ctx, writes, func(collection.Document) {})
	if err != nil {
		return err
	}
	for _, id := range changed {
		delete(pending, id) // a write here came between: it will be pushed
	}
	for _, d := range pending {
		f.assume(u, d)
	}
	f.cfg.OnChange()
	return f.meta.note(ctx, f.key, u)
}

// compare decides what a state of the master, d, is to what is held: write it, or just know that the master has it, or neither.
func (f *fork) compare(ctx context.Context, held *document.Entry, d docState) (write, know bool, err error) {
	if held == nil {
		return true, false, nil
	}
	equal, err := f.equal(ctx, contentOf(held), d.Content)
	if err != nil || equal {
		return false, equal, err
	}
	assumed, ok := f.meta.assumed(f.key, d.id)
	if !ok {
		return false, false, nil
	}
	own, keep, err := f.modified(ctx, held)
	if err != nil {
		return false, false, err
	}
	return !keep || digestOf(own) == assumed, false, nil
}

// assume notes that the master has a state of a document.
func (f *fork) assume(u *update, d docState) {
	state := digestOf(d.Content)
	u.assumed = append(u.assumed, assumption{d.id, state})
	f.remember(d.id, state, appendState(nil, d.id, d.Content, f.cfg.PrimaryKey))
}

// remember keeps the text of an assumed master state for the next push.
func (f *fork) remember(id string, state digest, text []byte) {
	if f.size > maxBodies {
		clear(f.bodies)
		f.size = 0
	}
	f.size += len(text) - len(f.bodies[id].text)
	f.bodies[id] = body{state, text}
}
