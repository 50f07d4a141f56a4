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
	writeModify
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

	change func(body json.RawMessage) (json.RawMessage, error) // of writeModify
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
	return c.begin(ctx, writes).wait()
}

// size is about how much content w has.
func (w *Write) size() int { return len(w.Body) + 64 }

// batch is writes on their way through one commit.
type batch struct {
	c       *Collection
	writes  []Write
	results []WriteResult
	entries []*document.Entry // what the writes made
	tx      *tx
	op      *op
	err     error // why there is no op
}

// begin queues writes for a commit. It blocks while too much waits already.
func (c *Collection) begin(ctx context.Context, writes []Write) *batch {
	b := &batch{c: c, writes: writes, results: make([]WriteResult, len(writes)), entries: make([]*document.Entry, len(writes))}
	size := 0
	for i := range writes {
		size += writes[i].size()
	}
	b.op, b.err = c.submit(ctx, size, b.run)
	return b
}

func (b *batch) run(t *tx) error {
	b.tx = t
	for i := range b.writes {
		id, e, err := t.c.write(t, &b.writes[i])
		b.entries[i] = e
		if err != nil {
			b.results[i] = WriteResult{Err: &DocumentError{id, err}}
			continue
		}
		b.results[i] = WriteResult{Document: documentOf(e)}
	}
	return nil
}

// wait blocks until the commit is done.
func (b *batch) wait() []WriteResult {
	if b.err == nil {
		b.err = b.c.wait(b.op)
	}
	for i := range b.results {
		switch r := &b.results[i]; {
		case b.err != nil:
			*r = WriteResult{Err: b.err}
		case r.Err == nil:
			r.Superseded = b.tx.written[r.Document.ID] != b.entries[i]
		}
	}
	return b.results
}

// maxVouched is the depth of nesting that encoding/json takes, and with it whoever gets the document. Text cannot nest deeper than half of its length.
const maxVouched = 10_000

// write makes one change within a commit. It returns the primary key in any case, if there is one.
func (c *Collection) write(t *tx, w *Write) (id string, e *document.Entry, err error) {
	switch id = w.ID; {
	case id == "" && w.Kind <= WriteUpsert:
		id, err = c.keyOf(w.Body)
	case len(w.Body) > block.MaxBody:
		err = fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalid, len(w.Body), block.MaxBody)
	case len(w.Body) > 2*maxVouched && w.Kind != WritePatch && !json.Valid(w.Body):
		err = fmt.Errorf("%w: not valid JSON, or nested too deeply", ErrInvalid)
	default:
		err = checkID(id)
	}
	if err != nil {
		return id, nil, err
	}
	old := t.get(id)
	next, err := c.successor(old, w)
	if err == nil && !next.Deleted && w.Kind != WriteOver {
		err = c.allow(old, next.Body)
	}
	if err != nil {
		return id, nil, err
	}
	next.ID = id
	return id, t.write(next, old), nil
}

// successor returns the content of what w makes of a document, of which old, nil if there never was one, is the current version.
func (c *Collection) successor(old *document.Entry, w *Write) (document.Entry, error) {
	e := document.Entry{Body: w.Body}
	gone := old == nil || old.Deleted
	switch w.Kind {
	case WriteInsert:
		if !gone {
			return e, ErrExists
		}
		return e, nil
	case WriteUpsert:
		return e, nil
	case WriteOver:
		if versionOf(old) != w.Version {
			return e, ErrChanged
		}
		e.Deleted = w.Deleted
		return e, nil
	}
	if gone {
		return e, ErrNotFound
	}
	var err error
	switch w.Kind {
	case WritePatch:
		e.Body, err = patched(old.Body, w.Body)
	case WriteReplace:
		if old.Dot != w.Version {
			err = ErrChanged
		}
	case WriteRemove:
		e.Body, e.Deleted = nil, true
	case writeModify:
		e.Body, err = w.change(old.Body)
	default:
		err = fmt.Errorf("%w: write of unknown kind %d", ErrInvalid, w.Kind)
	}
	if err == nil && (w.Kind == WritePatch || w.Kind == writeModify) {
		err = c.checkKey(e.Body, old.ID)
	}
	return e, err
}

// versionOf returns the version of e, zero if that is nil.
func versionOf(e *document.Entry) document.Dot {
	if e == nil {
		return document.Dot{}
	}
	return e.Dot
}

// patched returns body with the fields of patch.
func patched(body, patch []byte) ([]byte, error) {
	fields, err := parseObject(patch)
	if err != nil {
		return nil, err
	}
	return fields.over(body)
}
