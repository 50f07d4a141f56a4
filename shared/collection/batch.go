package collection

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
)

// WriteKind is what a Write does.
type WriteKind uint8

// The kinds of Write, each like the method of Collection with that name.
const (
	WriteInsert WriteKind = iota
	WriteUpsert
	WritePatch
	WriteReplace
	WriteRemove
	// WriteOver writes Body, or with Deleted a tombstone that keeps Body, which may be nil then, if the document is still at Version, deleted or
	// not; the zero Version stands for a document that there never was. Else the error matches ErrChanged. It is for content that was decided on elsewhere.
	WriteOver
)

// Write is one change of several that are made together.
type Write struct {
	Kind WriteKind
	// ID is the primary key. Where it is set, the caller vouches that the Body of an insert, upsert or replacement is a JSON object with
	// that key, which is then not looked at. An insert or upsert without it is looked at.
	ID      string
	Body    []byte       // must not change afterwards; nil for WriteRemove
	Version document.Dot // what WriteReplace and WriteOver replace
	Deleted bool         // of WriteOver
}

// WriteResult is what became of a Write.
type WriteResult struct {
	Document Document
	// Superseded tells that a later write of the same commit took this one's place, and its version: Document is then what nobody but
	// its writer ever sees.
	Superseded bool
	Err        error // why nothing was written
}

// Write makes changes of all kinds in their order, all in one commit, and returns what became of each. Those that fail leave the others
// alone. It blocks until the commit is done. Who has much to write splits it: others wait meanwhile, and 128 KB at a time are
// enough for the store to work at its best, as waiting calls share commits.
func (c *Collection) Write(ctx context.Context, writes []Write) []WriteResult {
	b := &batch{writes: writes, results: make([]WriteResult, len(writes)), entries: make([]*document.Entry, len(writes))}
	size := 0
	for i := range writes {
		size += len(writes[i].Body) + 64
	}
	b.finish(c.do(ctx, size, b.run))
	return b.results
}

// batch is a Write on its way through a commit.
type batch struct {
	writes  []Write
	results []WriteResult
	entries []*document.Entry // what the writes made
	tx      *tx
}

func (b *batch) run(t *tx) error {
	b.tx = t
	for i := range b.writes {
		var err error
		if b.entries[i], err = t.c.write(t, &b.writes[i]); err != nil {
			b.results[i] = WriteResult{Err: &DocumentError{b.writes[i].ID, err}}
			continue
		}
		b.results[i] = WriteResult{Document: documentOf(b.entries[i])}
	}
	return nil
}

func (b *batch) finish(err error) {
	for i := range b.results {
		switch r := &b.results[i]; {
		case err != nil:
			*r = WriteResult{Err: err}
		case r.Err == nil:
			r.Superseded = b.tx.written[r.Document.ID] != b.entries[i]
		}
	}
}

// maxVouched is the depth of nesting that encoding/json takes, and with it whoever gets the document. Text cannot nest deeper than half of its length.
const maxVouched = 10_000

// write makes one change within a commit.
func (c *Collection) write(t *tx, w *Write) (*document.Entry, error) {
	id, err := w.ID, error(nil)
	switch {
	case id == "" && (w.Kind == WriteInsert || w.Kind == WriteUpsert):
		id, err = c.keyOf(w.Body)
	case len(w.Body) > block.MaxBody:
		err = fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalid, len(w.Body), block.MaxBody)
	case len(w.Body) > 2*maxVouched && w.Kind != WritePatch && !json.Valid(w.Body):
		err = fmt.Errorf("%w: not valid JSON, or nested too deeply", ErrInvalid)
	default:
		err = checkID(id)
	}
	if err != nil {
		return nil, err
	}
	old := t.get(id)
	if w.Kind >= WritePatch && w.Kind != WriteOver && (old == nil || old.Deleted) {
		return nil, ErrNotFound
	}
	e := document.Entry{ID: id, Body: w.Body}
	switch w.Kind {
	case WriteInsert:
		return insert(t, e, old)
	case WriteUpsert:
		return upsert(t, e, old)
	case WritePatch:
		if e.Body, err = c.patched(old, w.Body); err != nil {
			return nil, err
		}
	case WriteReplace:
		if old.Dot != w.Version {
			return nil, ErrChanged
		}
	case WriteRemove:
		e.Body, e.Deleted = nil, true
		return t.write(e, old), nil
	case WriteOver:
		if versionOf(old) != w.Version {
			return nil, ErrChanged
		}
		e.Deleted = w.Deleted
		return t.write(e, old), nil
	default:
		return nil, fmt.Errorf("%w: write of unknown kind %d", ErrInvalid, w.Kind)
	}
	return upsert(t, e, old)
}

// versionOf returns the version of e, zero if that is nil.
func versionOf(e *document.Entry) document.Dot {
	if e == nil {
		return document.Dot{}
	}
	return e.Dot
}

// patched returns the body of old with the fields of patch.
func (c *Collection) patched(old *document.Entry, patch []byte) ([]byte, error) {
	fields, err := parseObject(patch)
	if err != nil {
		return nil, err
	}
	body, err := fields.over(old.Body)
	if err != nil {
		return nil, err
	}
	return body, c.checkKey(body, old.ID)
}
