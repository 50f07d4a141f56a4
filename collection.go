//go:build !js

package shoal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/finder"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/query/jsregexp"
	"github.com/shoaldb/shoal/shared/validate"
)

// CollectionOptions adjusts a Collection. The zero value of a field is its default.
type CollectionOptions struct {
	// Schema is a JSON schema in RxDB's form, with version, primaryKey, properties and indexes. What is written here must follow it, and peers that
	// have another do not replicate. Default: documents of any form, exchanged with peers that have any schema of SchemaVersion.
	Schema []byte
	// SchemaVersion is the version of the schema that peers have. It is not for use with Schema, which has it.
	SchemaVersion uint32
	// PrimaryKey is the field that names a document. It is not for use with Schema, which has it. Default: "id".
	PrimaryKey string
	// Handler resolves conflicts that come up here. All replicas of a collection should have the same. Default: the last write wins.
	Handler Handler
	// OnDamage is told, while Collection opens it, of records that the disk has damaged. The collection goes on without them, and gets what peers have
	// of them. Default: they are logged only.
	OnDamage func(*collection.DamageError)
}

// Collection is a set of documents of one kind. It has the methods of collection.Collection: Insert, Upsert, Patch, Modify,
// Remove, BulkUpsert, Get, All, Count and more.
//
// A write is durable when it returns, and goes to all peers. The first after each start takes a new replica id, so that a data
// directory may be copied or put back from a backup: no write of the one has the name of a write of the other.
type Collection struct {
	*collection.Collection
	db     *Database
	stored Stored
	schema *query.Schema
	finder *finder.Finder
}

// Collection opens a collection, and creates it where there is none. A collection that is open already is returned as it is.
func (db *Database) Collection(ctx context.Context, name string, opts *CollectionOptions) (*Collection, error) {
	var o CollectionOptions
	if opts != nil {
		o = *opts
	}
	copts, schema, err := db.schema(&o)
	if err != nil {
		return nil, fmt.Errorf("open collection %q: %w", name, err)
	}
	stored := Stored{name, copts.SchemaVersion}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errClosed
	}
	if i := slices.IndexFunc(db.collections, func(c *Collection) bool { return c.stored == stored }); i >= 0 {
		return db.collections[i], nil
	}
	log, err := db.logs.Log(ctx, stored.logName())
	if err != nil {
		return nil, fmt.Errorf("open collection %s: %w", stored, err)
	}
	opened, err := collection.Open(ctx, name, log, copts)
	if err != nil {
		return nil, err
	}
	c := &Collection{opened, db, stored, schema, finder.New(opened, schema, nil)}
	db.collections = append(db.collections, c)
	return c, nil
}

// schema reads what the options say of the form of documents.
func (db *Database) schema(o *CollectionOptions) (*collection.Options, *query.Schema, error) {
	copts := &collection.Options{
		PrimaryKey: cmp.Or(o.PrimaryKey, "id"), SchemaVersion: o.SchemaVersion,
		Handler: o.Handler, FreshID: true, Logger: db.log, OnDamage: o.OnDamage,
	}
	if o.Schema == nil {
		return copts, &query.Schema{PrimaryPath: copts.PrimaryKey, Regexp: jsregexp.Compile}, nil
	}
	var text struct {
		Version    uint32
		Properties map[string]struct{ Final bool }
	}
	if err := json.Unmarshal(o.Schema, &text); err != nil {
		return nil, nil, fmt.Errorf("read schema: %w", err)
	}
	schema, err := query.ParseSchema(o.Schema)
	if err != nil {
		return nil, nil, err
	}
	schema.Regexp = jsregexp.Compile
	copts.PrimaryKey, copts.SchemaVersion = schema.PrimaryPath, text.Version
	if copts.SchemaHash, err = collection.HashSchema(o.Schema); err != nil {
		return nil, nil, err
	}
	if copts.Validate, err = validate.Compile(o.Schema); err != nil {
		return nil, nil, err
	}
	for name, p := range text.Properties {
		if p.Final {
			copts.Final = append(copts.Final, name)
		}
	}
	slices.Sort(copts.Final)
	return copts, schema, nil
}

// PrimaryKey returns the field that names a document.
func (c *Collection) PrimaryKey() string { return c.schema.PrimaryPath }

// Finder answers all kinds of queries, and keeps results up to date. It ends with the collection.
func (c *Collection) Finder() *finder.Finder { return c.finder }

// Find returns the documents that a Mango query asks for, such as {"selector":{"done":false},"sort":[{"title":"asc"}],"limit":10}, in
// its order, as they are at one moment.
func (c *Collection) Find(ctx context.Context, query []byte) ([]Document, error) {
	q, err := c.finder.Parse(query)
	if err != nil {
		return nil, err
	}
	entries, err := c.finder.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	docs := make([]Document, len(entries))
	for i, e := range entries {
		docs[i] = Document{ID: e.ID, Version: e.Dot, Body: e.Body}
	}
	return docs, nil
}

// Close ends writes and closes the collection. It must have been left out of all rooms before. Reads go on from memory.
func (c *Collection) Close() error {
	c.db.mu.Lock()
	c.db.collections = slices.DeleteFunc(c.db.collections, func(o *Collection) bool { return o == c })
	c.db.mu.Unlock()
	c.finder.Close()
	return c.Collection.Close()
}

// Watch returns the changes of the collection, own and others', from the moment of the call on, until ctx ends. Commits do not wait for who is slow:
// to it, several changes of one document are one, from the version that it was last told to the newest.
func (c *Collection) Watch(ctx context.Context) iter.Seq[Change] {
	w := &watch{waiting: make(map[string]int), ready: make(chan struct{}, 1)}
	stop := c.Subscribe(w.note)
	unhook := context.AfterFunc(ctx, stop)
	return func(yield func(Change) bool) {
		defer stop()
		defer unhook()
		for ctx.Err() == nil {
			for _, change := range w.take() {
				if !yield(change) {
					return
				}
			}
			select {
			case <-w.ready:
			case <-ctx.Done():
			}
		}
	}
}

// watch is what a watcher was not told yet: at most one change of each document.
type watch struct {
	ready chan struct{}

	mu      sync.Mutex // guards the following fields
	changes []Change
	waiting map[string]int // index into changes
}

func (w *watch) note(changes []Change) {
	if len(changes) == 0 {
		return
	}
	w.mu.Lock()
	for _, c := range changes {
		if i, ok := w.waiting[c.After.ID]; ok {
			w.changes[i].After = c.After
			continue
		}
		w.waiting[c.After.ID] = len(w.changes)
		w.changes = append(w.changes, c)
	}
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// take returns what there is, but for documents that came and went.
func (w *watch) take() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := w.changes
	w.changes = nil
	clear(w.waiting)
	return slices.DeleteFunc(changes, func(c Change) bool { return isGone(c.Before) && isGone(c.After) })
}

func isGone(e *document.Entry) bool { return e == nil || e.Deleted }
