// Package migration carries the documents of a collection from the log of an older schema into that of the present one.
//
// Each version of a schema has a log of its own, see [LogName]. A migrated version of a document keeps its dot and its time: strategies depend on
// nothing but the document, so replicas that migrate the same version make the same of it, and have nothing to exchange
// afterwards. The new log takes in the old one as it would take in a peer's. So a migration that was interrupted goes on where it was,
// several tabs may migrate at once, and what was already changed under the new schema stays.
//
// When all is carried over the old log is sealed, in one step with a look whether anything came in between, and deleted. Who has it open
// still, a tab with an older version of the application, cannot write any more.
package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// ErrNewer tells that the documents are there under a later version of the schema.
var ErrNewer = errors.New("migration: documents were migrated to a later version of the schema")

// LogName returns the name of the log of a collection with that version of its schema.
func LogName(name string, version uint32) string { return fmt.Sprintf("%s/%d", name, version) }

// Pending returns the older versions of a schema under which documents of a collection are stored, the latest first. The error matches
// ErrNewer if there are some of a later version, with which this one must not be opened.
func Pending(ctx context.Context, db store.Database, name string, version uint32) ([]uint32, error) {
	names, err := db.Names(ctx)
	if err != nil {
		return nil, err
	}
	var older []uint32
	for _, log := range names {
		text, ours := strings.CutPrefix(log, name+"/")
		v, err := strconv.ParseUint(text, 10, 32)
		if !ours || err != nil {
			continue
		}
		switch v := uint32(v); {
		case v > version:
			return nil, fmt.Errorf("collection %q has version %d of its schema here, not %d: %w", name, v, version, ErrNewer)
		case v < version:
			older = append(older, v)
		}
	}
	slices.Sort(older)
	slices.Reverse(older)
	return older, nil
}

// Transform makes of documents of version from what they are under the present schema. nil stands for a document that is given up: it counts as
// removed. The primary key must stay. What comes out must depend on the document alone.
type Transform func(ctx context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error)

// Progress tells how far a migration is, in documents.
type Progress struct {
	Total, Handled int
}

// Options adjusts a migration. The zero value of a field is its default.
type Options struct {
	// PrimaryKey is the field that names a document, in all versions. Default "id".
	PrimaryKey string
	// Progress is told after each batch. It must not block. Default: nobody is told.
	Progress func(Progress)
	// BatchSize is how many documents are transformed and stored at a time. Default 500.
	BatchSize int
}

// batchBytes bounds a batch, unless a single document has more.
const batchBytes = 256 << 10

// Run carries what is stored of the collection into to, whose schema has that version, and blocks until that is done. An error leaves
// everything for the next try; what was done by then is not done again.
func Run(ctx context.Context, db store.Database, to *collection.Collection, version uint32, transform Transform, opts *Options) error {
	m := &migration{db: db, to: to, transform: transform}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.BatchSize <= 0 {
		m.opts.BatchSize = 500
	}
	if m.opts.Progress == nil {
		m.opts.Progress = func(Progress) {}
	}
	older, err := Pending(ctx, db, to.Name(), version)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, v := range older {
		if err := m.log(ctx, v); err != nil {
			return fmt.Errorf("migrate collection %q from version %d of its schema: %w", to.Name(), v, err)
		}
	}
	return nil
}

type migration struct {
	db        store.Database
	to        *collection.Collection
	transform Transform
	opts      Options
	progress  Progress
}

// log carries over one log and deletes it.
func (m *migration) log(ctx context.Context, version uint32) error {
	name := LogName(m.to.Name(), version)
	err := m.open(ctx, name, version)
	if errors.Is(err, store.ErrLost) {
		// Another tab was faster, and has deleted the log. An empty write takes in what it has stored.
		m.to.Write(ctx, nil)
		return nil
	}
	if err != nil {
		return err
	}
	return m.drop(ctx, name)
}

// drop deletes a log, and those that belong to it, whose names go on with a slash.
func (m *migration) drop(ctx context.Context, name string) error {
	names, err := m.db.Names(ctx)
	if err != nil {
		return err
	}
	for _, other := range names {
		if strings.HasPrefix(other, name+"/") {
			if err := m.db.Drop(ctx, other); err != nil {
				return err
			}
		}
	}
	return m.db.Drop(ctx, name)
}

func (m *migration) open(ctx context.Context, name string, version uint32) error {
	log, err := m.db.Log(ctx, name)
	if err != nil {
		return err
	}
	from, err := collection.Open(ctx, m.to.Name(), log, &collection.Options{PrimaryKey: m.opts.PrimaryKey, Logger: m.to.Logger()})
	if err != nil {
		return err
	}
	err = m.carry(ctx, from, version)
	return errors.Join(err, from.Close())
}

// carry carries over the documents of from, also those that are written meanwhile, and seals it.
func (m *migration) carry(ctx context.Context, from *collection.Collection, version uint32) error {
	from.View(func(v collection.View) { m.progress.Total += v.Len() })
	m.opts.Progress(m.progress)
	next := store.Position(1)
	for {
		b := m.read(from, next)
		if len(b.entries) > 0 {
			if err := m.store(ctx, b, version); err != nil {
				return err
			}
		}
		if next = b.next; !b.end {
			m.progress.Handled = min(m.progress.Handled+b.handled, m.progress.Total)
			m.opts.Progress(m.progress)
			continue
		}
		sealed, err := from.Seal(ctx, next)
		if err != nil {
			return err
		}
		if !sealed {
			from.Write(ctx, nil) // takes in what came in between
			continue
		}
		if _, err := m.to.Accept(ctx, &collection.Incoming{Seen: b.known, Claim: b.known, Kept: true}); err != nil {
			return err
		}
		m.progress.Handled = m.progress.Total
		m.opts.Progress(m.progress)
		return nil
	}
}

// batch is a part of a log.
type batch struct {
	entries []document.Entry // those that are not in the new log
	known   *document.Knowledge
	next    store.Position // of what follows
	end     bool           // nothing follows
	handled int
}

// read returns the documents at positions of next and later that are still to be carried over, as many as make a batch.
func (m *migration) read(from *collection.Collection, next store.Position) batch {
	var known *document.Knowledge
	m.to.View(func(v collection.View) { known = v.Known() })
	b := batch{end: true}
	from.View(func(v collection.View) {
		b.known, b.next = v.Known(), v.Tail()
		size := 0
		for e := range v.Since(next) {
			if len(b.entries) == m.opts.BatchSize || size > batchBytes {
				b.next, b.end = e.Position, false
				return
			}
			if e.Beaten {
				continue
			}
			b.handled++
			if !known.Covers(e.Dot) {
				b.entries = append(b.entries, *e.Entry)
				size += len(e.Body)
			}
		}
	})
	return b
}

// store transforms a batch and stores what comes out.
func (m *migration) store(ctx context.Context, b batch, version uint32) error {
	var docs []collection.Document
	var places []int
	for i := range b.entries {
		if e := &b.entries[i]; !e.Deleted {
			docs = append(docs, collection.Document{ID: e.ID, Version: e.Dot, Body: e.Body})
			places = append(places, i)
		} else {
			e.Body = nil // fields of a removed document are of the old schema
		}
	}
	if len(docs) > 0 {
		bodies, err := m.transform(ctx, version, docs)
		if err == nil && len(bodies) != len(docs) {
			err = fmt.Errorf("%d documents were made of %d", len(bodies), len(docs))
		}
		if err != nil {
			return err
		}
		for i, body := range bodies {
			e := &b.entries[places[i]]
			e.Body, e.Deleted = body, body == nil
		}
	}
	_, err := m.to.Accept(ctx, &collection.Incoming{Entries: b.entries, Seen: b.known, Kept: true})
	return err
}
