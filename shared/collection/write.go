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
	return c.one(ctx, Write{Kind: WriteInsert, Body: body})
}

// Upsert adds a document or replaces the one with its key. Like Insert otherwise.
func (c *Collection) Upsert(ctx context.Context, body []byte) (Document, error) {
	return c.one(ctx, Write{Kind: WriteUpsert, Body: body})
}

// Replace writes body as the new content of a document if its version is still the one named, else the error matches ErrChanged. It is what a
// change that was worked out elsewhere is written with.
func (c *Collection) Replace(ctx context.Context, id string, version document.Dot, body []byte) (Document, error) {
	if err := c.checkKey(body, id); err != nil {
		return Document{}, &DocumentError{id, err}
	}
	return c.one(ctx, Write{Kind: WriteReplace, ID: id, Version: version, Body: body})
}

// Patch sets the top-level fields of a document that patch, a JSON object, has, and leaves the others. The primary key stays as it is. If there
// is no such document the error matches ErrNotFound.
func (c *Collection) Patch(ctx context.Context, id string, patch []byte) (Document, error) {
	return c.one(ctx, Write{Kind: WritePatch, ID: id, Body: patch})
}

// Modify replaces the content of a document by what change makes of it. change runs within the commit, on the newest version, maybe more than
// once: it must be quick and must not call the collection.
func (c *Collection) Modify(ctx context.Context, id string, change func(body json.RawMessage) (json.RawMessage, error)) (Document, error) {
	return c.one(ctx, Write{Kind: writeModify, ID: id, change: change})
}

// Remove deletes a document: a tombstone takes its place, and reaches the other replicas. If there is no such document the error
// matches ErrNotFound.
func (c *Collection) Remove(ctx context.Context, id string) (Document, error) {
	return c.one(ctx, Write{Kind: WriteRemove, ID: id})
}

func (c *Collection) one(ctx context.Context, w Write) (Document, error) {
	r := c.Write(ctx, []Write{w})[0]
	return r.Document, r.Err
}

// BulkInsert adds documents, each that it can, and returns what became of each, in their order. A document is refused as Insert would
// refuse it. They may be spread over several commits; documents of others can get in between.
func (c *Collection) BulkInsert(ctx context.Context, bodies [][]byte) []WriteResult {
	return c.bulk(ctx, WriteInsert, bodies)
}

// BulkUpsert adds documents or replaces those with their keys. Like BulkInsert otherwise.
func (c *Collection) BulkUpsert(ctx context.Context, bodies [][]byte) []WriteResult {
	return c.bulk(ctx, WriteUpsert, bodies)
}

// batchBytes is how much of a bulk write goes into one batch, so that others get their turn and none keeps a page busy for long.
const batchBytes = 128 << 10

func (c *Collection) bulk(ctx context.Context, kind WriteKind, bodies [][]byte) []WriteResult {
	var batches []*batch
	for len(bodies) > 0 {
		var writes []Write
		for size := 0; len(writes) < len(bodies) && size < batchBytes; {
			w := Write{Kind: kind, Body: bodies[len(writes)]}
			writes, size = append(writes, w), size+w.size()
		}
		batches = append(batches, c.begin(ctx, writes))
		bodies = bodies[len(writes):]
	}
	var results []WriteResult
	for _, b := range batches {
		results = append(results, b.wait()...)
	}
	return results
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
