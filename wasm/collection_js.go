//go:build js

package main

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/finder"
)

// coll is a collection of a database.
type coll struct {
	*collection.Collection
	db     *database
	number int
	key    string // field with the primary key
	finder *finder.Finder
	log    string // the name of its log

	mu    sync.Mutex     // guards the following fields
	stop  func()         // ends the feed; nil while nobody watches
	level int            // of the feed
	lives map[int]func() // what ends each live query, by the number that JavaScript gave it
}

// write (collection, rows) makes the changes that rows tell, and returns their outcome.
func (c *core) write(ctx context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, err
	}
	text, err := at[[]byte](a, 1)
	if err != nil {
		return nil, err
	}
	writes, err := c.rows(text)
	if err != nil {
		return nil, err
	}
	return c.outcome(writes, o.Write(ctx, writes)), nil
}

// get (collection, keys) returns a reading of those of the documents that exist, in the order of keys.
func (c *core) get(_ context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, err
	}
	var keys []string
	if err := options(a, 1, &keys); err != nil {
		return nil, err
	}
	var r reading
	o.View(func(v collection.View) {
		r.tail = v.Tail()
		for _, key := range keys {
			if e, _ := v.Get(key); e != nil && !e.Deleted {
				r.entries = append(r.entries, e)
			}
		}
	})
	return o.text(&r), nil
}

// info (collection) returns what collection.Info says, as JSON.
func (c *core) info(_ context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, err
	}
	i := o.Info()
	return marshal(struct {
		ReplicaID  string `json:"replicaId"`
		Documents  int    `json:"documents"`
		Tombstones int    `json:"tombstones"`
		Bytes      int64  `json:"bytes"`
	}{i.Replica.String(), i.Documents, i.Tombstones, i.Bytes})
}

func marshal(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// conflictHandler asks the application.
type conflictHandler struct{ coll *coll }

// version is a version of a document at the border.
type version struct {
	Deleted bool            `json:"deleted"`
	Doc     json.RawMessage `json:"doc"`
}

// versionOf gives a tombstone without a body the primary key for one.
func (o *coll) versionOf(id string, c collection.Content) *version {
	body := c.Body
	if len(body) == 0 {
		body = o.tombstone(nil, id)
	}
	return &version{c.Deleted, body}
}

// Equal implements collection.Handler.
func (h conflictHandler) Equal(ctx context.Context, a, b collection.Content) (bool, error) {
	text, err := marshal([]*version{h.coll.versionOf("", a), h.coll.versionOf("", b)})
	if err != nil {
		return false, err
	}
	answer, err := h.coll.db.core.ask(ctx, requestEqual, h.coll.number, text, nil)
	return answer == "true", err
}

// Resolve implements collection.Handler.
func (h conflictHandler) Resolve(ctx context.Context, c collection.Conflict) (collection.Content, error) {
	question := struct {
		ID      string   `json:"id"`
		Real    *version `json:"realMasterState"`
		New     *version `json:"newDocumentState"`
		Assumed *version `json:"assumedMasterState,omitempty"`
	}{ID: c.ID, Real: h.coll.versionOf(c.ID, c.Real), New: h.coll.versionOf(c.ID, c.New)}
	if c.Assumed != nil {
		question.Assumed = h.coll.versionOf(c.ID, *c.Assumed)
	}
	text, err := marshal(question)
	if err != nil {
		return collection.Content{}, err
	}
	answer, err := h.coll.db.core.ask(ctx, requestResolve, h.coll.number, text, nil)
	if err != nil {
		return collection.Content{}, err
	}
	return h.coll.content(answer)
}

// content reads a version that the application made.
func (o *coll) content(text string) (collection.Content, error) {
	var v version
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return collection.Content{}, err
	}
	if v.Deleted {
		return collection.Content{Deleted: true}, nil // tombstones keep no fields
	}
	return collection.Content{Body: v.Doc}, nil
}

// modifier asks the application what becomes of a document on its way.
func (o *coll) modifier(kind string, of int) func(context.Context, collection.Document) (collection.Document, bool, error) {
	return func(ctx context.Context, d collection.Document) (collection.Document, bool, error) {
		text, err := marshal(o.versionOf(d.ID, collection.Content{Body: d.Body, Deleted: d.Deleted}))
		if err != nil {
			return d, false, err
		}
		answer, err := o.db.core.ask(ctx, kind, of, text, nil)
		if err != nil || answer == "" {
			return d, false, err
		}
		c, err := o.content(answer)
		return collection.Document{ID: d.ID, Version: d.Version, Deleted: c.Deleted, Body: c.Body}, true, err
	}
}

// dotOf returns the version that two arguments name.
func (c *core) dotOf(a arguments, i int) (document.Dot, error) {
	number, err := at[float64](a, i)
	if err != nil {
		return document.Dot{}, err
	}
	counter, err := at[float64](a, i+1)
	if err != nil {
		return document.Dot{}, err
	}
	return c.dot(int(number), uint64(counter))
}
