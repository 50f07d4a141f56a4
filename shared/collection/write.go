package collection

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/tidwall/gjson"
)

// Insert adds a document, a JSON object whose primary key is a string. It returns when the document is stored. If one with that key
// exists and is not deleted, the error matches ErrExists. The collection keeps body, which must not change afterwards.
func (c *Collection) Insert(ctx context.Context, body []byte) (Document, error) {
	return c.one(ctx, body, insert)
}

// Upsert adds a document or replaces the one with its key. Like Insert otherwise.
func (c *Collection) Upsert(ctx context.Context, body []byte) (Document, error) {
	return c.one(ctx, body, upsert)
}

func (c *Collection) one(ctx context.Context, body []byte, w writer) (Document, error) {
	r := c.bulk(ctx, []Row{{Body: body}}, w)[0]
	return r.Document, r.Err
}

// Row is one document of a bulk write.
type Row struct {
	// ID is the primary key. Whoever sets it vouches that Body is a JSON object with that key, which is then not looked at.
	ID   string
	Body []byte
}

// Result is what became of a row.
type Result struct {
	Document Document
	Err      error // why the row was not written
}

// BulkInsert adds documents, each that it can, and returns what became of each, in the order of rows. A row is refused as Insert would
// refuse it. Rows may be spread over several commits; documents of others can get in between.
func (c *Collection) BulkInsert(ctx context.Context, rows []Row) []Result {
	return c.bulk(ctx, rows, insert)
}

// BulkUpsert adds documents or replaces those with their keys. Like BulkInsert otherwise.
func (c *Collection) BulkUpsert(ctx context.Context, rows []Row) []Result {
	return c.bulk(ctx, rows, upsert)
}

// writer decides what a document to be written, e, becomes, given the version held, which may be nil.
type writer func(t *tx, e document.Entry, old *document.Entry) (*document.Entry, error)

func insert(t *tx, e document.Entry, old *document.Entry) (*document.Entry, error) {
	if old != nil && !old.Deleted {
		return nil, ErrExists
	}
	return upsert(t, e, old)
}

func upsert(t *tx, e document.Entry, old *document.Entry) (*document.Entry, error) {
	if err := t.c.allow(old, e.Body); err != nil {
		return nil, err
	}
	return t.write(e, old), nil
}

// allow returns why body may not take the place of old, which may be nil.
func (c *Collection) allow(old *document.Entry, body []byte) error {
	if c.opts.Validate != nil {
		if err := c.opts.Validate(body); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if old == nil || old.Deleted {
		return nil
	}
	for _, field := range c.opts.Final {
		path := gjson.Escape(field)
		if was, is := gjson.GetBytes(old.Body, path), gjson.GetBytes(body, path); !equalJSON([]byte(was.Raw), []byte(is.Raw)) {
			return fmt.Errorf("%w: field %q is final and can't be changed", ErrInvalid, field)
		}
	}
	return nil
}

// opBytes is how much of a bulk write goes into one op, so that others get their turn and no op keeps a page busy for long.
const opBytes = 128 << 10

func (c *Collection) bulk(ctx context.Context, rows []Row, w writer) []Result {
	results := make([]Result, len(rows))
	type part struct {
		op  *op
		err error
		of  []Result
	}
	var parts []part
	for from := 0; from < len(rows); {
		to, size := from, 0
		for to < len(rows) && size < opBytes {
			size += len(rows[to].Body) + 64
			to++
		}
		rows, of := rows[from:to], results[from:to]
		o, err := c.submit(ctx, size, func(t *tx) error {
			for i := range rows {
				of[i] = c.row(t, rows[i], w)
			}
			return nil
		})
		parts = append(parts, part{o, err, of})
		from = to
	}
	for _, p := range parts {
		if p.err == nil {
			p.err = c.wait(p.op)
		}
		if p.err != nil {
			for i := range p.of {
				p.of[i] = Result{Err: p.err}
			}
		}
	}
	return results
}

func (c *Collection) row(t *tx, r Row, w writer) Result {
	id, err := r.ID, error(nil)
	if id == "" {
		id, err = c.keyOf(r.Body)
	} else {
		err = checkID(id)
	}
	if err != nil {
		return Result{Err: &DocumentError{id, err}}
	}
	e, err := w(t, document.Entry{ID: id, Body: r.Body}, t.get(id))
	if err != nil {
		return Result{Err: &DocumentError{id, err}}
	}
	return Result{Document: documentOf(e)}
}

// Replace writes body as the new content of a document if its version is still the one named, else the error matches ErrChanged. It is what a
// change that was worked out elsewhere is written with.
func (c *Collection) Replace(ctx context.Context, id string, version document.Dot, body []byte) (Document, error) {
	if err := c.checkKey(body, id); err != nil {
		return Document{}, &DocumentError{id, err}
	}
	return c.update(ctx, id, len(body), func(old *document.Entry) (document.Entry, error) {
		if old.Dot != version {
			return document.Entry{}, ErrChanged
		}
		return document.Entry{Body: body}, nil
	})
}

// Patch sets the top-level fields of a document that patch, a JSON object, has, and leaves the others. The primary key stays as it is. If there
// is no such document the error matches ErrNotFound.
func (c *Collection) Patch(ctx context.Context, id string, patch []byte) (Document, error) {
	fields, err := parseObject(patch)
	if err != nil {
		return Document{}, &DocumentError{id, err}
	}
	return c.update(ctx, id, len(patch), func(old *document.Entry) (document.Entry, error) {
		body, err := fields.over(old.Body)
		if err != nil {
			return document.Entry{}, err
		}
		if err := c.checkKey(body, id); err != nil {
			return document.Entry{}, err
		}
		return document.Entry{Body: body}, nil
	})
}

// Modify replaces the content of a document by what change makes of it. change runs within the commit, on the newest version, maybe more than
// once: it must be quick and must not call the collection.
func (c *Collection) Modify(ctx context.Context, id string, change func(body json.RawMessage) (json.RawMessage, error)) (Document, error) {
	return c.update(ctx, id, 0, func(old *document.Entry) (document.Entry, error) {
		body, err := change(old.Body)
		if err != nil {
			return document.Entry{}, err
		}
		if err := c.checkKey(body, id); err != nil {
			return document.Entry{}, err
		}
		return document.Entry{Body: body}, nil
	})
}

// Remove deletes a document: a tombstone takes its place, and reaches the other replicas. If there is no such document the error
// matches ErrNotFound.
func (c *Collection) Remove(ctx context.Context, id string) (Document, error) {
	return c.update(ctx, id, 0, func(*document.Entry) (document.Entry, error) {
		return document.Entry{Deleted: true}, nil
	})
}

// update writes what change makes of the document id, which must exist.
func (c *Collection) update(ctx context.Context, id string, size int, change func(old *document.Entry) (document.Entry, error)) (doc Document, err error) {
	err = c.do(ctx, size, func(t *tx) error {
		old := t.get(id)
		if old == nil || old.Deleted {
			return &DocumentError{id, ErrNotFound}
		}
		e, err := change(old)
		if err != nil {
			return &DocumentError{id, err}
		}
		if !e.Deleted {
			if err := c.allow(old, e.Body); err != nil {
				return &DocumentError{id, err}
			}
		}
		e.ID = id
		doc = documentOf(t.write(e, old))
		return nil
	})
	return doc, err
}

// keyOf returns the primary key of a document, or why it can't be stored.
func (c *Collection) keyOf(body []byte) (string, error) {
	if len(body) > block.MaxBody {
		return "", fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalid, len(body), block.MaxBody)
	}
	fields, err := parseObject(body)
	if err != nil {
		return "", err
	}
	key, ok := fields.get(c.opts.PrimaryKey)
	if !ok || key.Type != gjson.String {
		return "", fmt.Errorf("%w: primary key %q is missing or no string", ErrInvalid, c.opts.PrimaryKey)
	}
	return key.Str, checkID(key.Str)
}

func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: primary key is empty", ErrInvalid)
	case len(id) > block.MaxID:
		return fmt.Errorf("%w: primary key has %d bytes, at most %d are allowed", ErrInvalid, len(id), block.MaxID)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: primary key is not well-formed Unicode", ErrInvalid)
	}
	return nil
}

// checkKey returns an error unless the primary key of body is id.
func (c *Collection) checkKey(body []byte, id string) error {
	switch key, err := c.keyOf(body); {
	case err != nil:
		return err
	case key != id:
		return fmt.Errorf("%w: primary key can't be changed to %q", ErrInvalid, key)
	}
	return nil
}
