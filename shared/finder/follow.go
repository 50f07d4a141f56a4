package finder

import (
	"slices"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/store"
)

// forgetAt is how many changes wait at least before the indexes are given up. Beyond the number of documents, making them anew is faster.
const forgetAt = 4096

// changed notes the changes of a commit.
func (f *Finder) changed(changes []collection.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.noting {
		return
	}
	f.pending = append(f.pending, changes...)
	switch {
	case f.watches && len(f.pending) > 0:
		select {
		case f.wake <- struct{}{}:
		default:
		}
	case !f.watches && len(f.pending) > max(forgetAt, f.size):
		f.noting, f.pending = false, nil
	}
}

// follow brings what is watched up to date whenever there are changes.
func (f *Finder) follow() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.wake:
		}
		if f.enter(f.ctx) != nil {
			return
		}
		err := f.prepare()
		f.leave()
		if err != nil {
			return // it only fails when the Finder is closed
		}
	}
}

// prepare makes the indexes, if there are none, and takes over what has changed since. It sees that through whoever asked for it.
func (f *Finder) prepare() error {
	f.mu.Lock()
	noting := f.noting
	if !noting {
		f.noting, f.pending = true, nil
	}
	f.mu.Unlock()
	if !noting {
		if err := f.build(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	changes := f.pending
	f.pending = nil
	f.mu.Unlock()
	return f.take(changes)
}

// build makes the indexes of what the collection holds.
func (f *Finder) build() error {
	var docs []*document.Entry
	docs, f.from = f.held()
	f.indexes = query.NewIndexes(f.schema)
	b := f.indexes.StartBuild(len(docs))
	work := f.work()
	for part := range slices.Chunk(docs, stepSize) {
		b.Add(part...)
		if err := work.rest(f.ctx); err != nil {
			return err
		}
	}
	for b.Step(4 * stepSize) {
		if err := work.rest(f.ctx); err != nil {
			return err
		}
	}
	f.sized()
	return nil
}

// held returns what the collection holds, in the order of its log, and the position of what comes next in that.
func (f *Finder) held() (docs []*document.Entry, next store.Position) {
	f.coll.View(func(v collection.View) {
		next = v.Tail()
		docs = make([]*document.Entry, 0, v.Len())
		for e := range v.Since(1) {
			if !e.Beaten && !e.Deleted {
				docs = append(docs, e.Entry)
			}
		}
	})
	return docs, next
}

func (f *Finder) sized() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = f.indexes.Len()
}

// take takes changes over into the indexes and into what is watched, and tells of it once all of them are in.
func (f *Finder) take(changes []collection.Change) error {
	work := f.work()
	batch := make([]query.Change, 0, min(stepSize, len(changes)))
	for part := range slices.Chunk(changes, stepSize) {
		batch = appendChanges(batch[:0], part, f.from)
		for _, c := range batch {
			f.indexes.Update(c)
		}
		for _, w := range f.watched {
			w.apply(batch)
		}
		if err := work.rest(f.ctx); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	f.sized()
	for _, w := range f.watched {
		w.tell()
	}
	return nil
}

// appendChanges appends those of changes that are at from or later and that anybody can see.
func appendChanges(to []query.Change, changes []collection.Change, from store.Position) []query.Change {
	for _, c := range changes {
		change := query.Change{Old: visible(c.Before), New: visible(c.After)}
		if c.At >= from && (change.Old != nil || change.New != nil) {
			to = append(to, change)
		}
	}
	return to
}

// visible returns e unless it is a tombstone.
func visible(e *document.Entry) *document.Entry {
	if e == nil || e.Deleted {
		return nil
	}
	return e
}

// unwatch takes w away from what is watched. It blocks until it is its turn.
func (f *Finder) unwatch(w watcher) {
	f.turn <- struct{}{}
	defer f.leave()
	f.watched = slices.DeleteFunc(f.watched, func(o watcher) bool { return o == w })
	f.setWatches(len(f.watched) > 0)
}

func (f *Finder) setWatches(watches bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watches = watches
}
