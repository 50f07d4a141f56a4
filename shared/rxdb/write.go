package rxdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/tidwall/gjson"
)

// row is one document of a masterWrite.
type row struct {
	docState
	assumed *docState // nil where the peer knows of none
	held    *document.Entry
}

// write is masterWrite: it writes what fits, and answers with the documents that the peer had other ideas of.
func (s *Session) write(ctx context.Context, rows gjson.Result) ([]byte, error) {
	if s.cfg.Pull == nil {
		return nil, errors.New("this replica takes no writes")
	}
	list, err := s.parseRows(ctx, rows)
	if err != nil {
		return nil, err
	}
	s.hold(list)
	var writes []collection.Write
	var conflicts []string
	for _, r := range list {
		ok, err := s.fits(ctx, r)
		if err != nil {
			return nil, err
		}
		if !ok {
			conflicts = append(conflicts, r.id)
			continue
		}
		if r.held == nil || !same(contentOf(r.held), r.Content) {
			writes = append(writes, writeOver(r.held, r.docState))
		}
	}
	changed, err := s.writeAll(ctx, writes, s.noteOwn)
	if err != nil {
		return nil, err
	}
	return s.states(ctx, append(conflicts, changed...))
}

func (s *Session) parseRows(ctx context.Context, rows gjson.Result) ([]*row, error) {
	if !rows.IsArray() {
		return nil, fmt.Errorf("%w: rows are no array", ErrMessage)
	}
	var list []*row
	at := make(map[string]int)
	for _, v := range rows.Array() {
		state, err := parseState(v.Get("newDocumentState"), s.cfg.PrimaryKey)
		if err != nil {
			return nil, err
		}
		r := &row{docState: state}
		if a := v.Get("assumedMasterState"); a.IsObject() {
			assumed, err := parseState(a, s.cfg.PrimaryKey)
			if err != nil {
				return nil, err
			}
			r.assumed = &assumed
		}
		keep, err := s.incoming(ctx, &r.docState)
		switch {
		case err != nil:
			return nil, err
		case !keep:
			continue
		}
		if i, ok := at[r.id]; ok {
			list[i] = r // RxDB, too, takes the last
			continue
		}
		at[r.id] = len(list)
		list = append(list, r)
	}
	return list, nil
}

// incoming puts a document through the pull modifier.
func (s *Session) incoming(ctx context.Context, d *docState) (keep bool, err error) {
	if s.cfg.Pull == nil || s.cfg.Pull.Modifier == nil {
		return true, nil
	}
	doc, keep, err := s.cfg.Pull.Modifier(ctx, collection.Document{ID: d.id, Deleted: d.Deleted, Body: d.Body})
	if err != nil {
		return false, fmt.Errorf("pull modifier, document %q: %w", d.id, err)
	}
	d.Content = collection.Content{Body: doc.Body, Deleted: doc.Deleted}
	if d.Deleted && len(d.Body) == 0 {
		return keep, nil
	}
	if got, err := parseState(gjson.ParseBytes(d.Body), s.cfg.PrimaryKey); keep && (err != nil || got.id != d.id || !json.Valid(d.Body)) {
		return false, fmt.Errorf("%w: pull modifier changed the primary key of %q", ErrDocument, d.id)
	}
	return keep, nil
}

// hold looks up what is held of the documents of rows.
func (s *Session) hold(rows []*row) {
	s.coll.View(func(v collection.View) {
		for _, r := range rows {
			r.held, _ = v.Get(r.id)
		}
	})
}

// fits reports whether a row can be taken: its writer knew what is held, or says the same.
func (s *Session) fits(ctx context.Context, r *row) (bool, error) {
	if r.held == nil {
		return true, nil
	}
	if same(contentOf(r.held), r.Content) {
		return true, nil
	}
	if r.assumed == nil {
		return false, nil
	}
	held, keep, err := s.modified(ctx, r.held)
	if err != nil || !keep {
		return !keep, err
	}
	return s.equal(ctx, held, r.assumed.Content)
}

// same reports whether two contents say the same: as JSON values, or as tombstones, whatever they keep.
func same(a, b collection.Content) bool {
	return a.Deleted && b.Deleted || collection.EqualContent(a, b)
}

// equal reports whether two contents are the same, also as the collection's conflict handler sees it.
func (s *Session) equal(ctx context.Context, a, b collection.Content) (bool, error) {
	if same(a, b) {
		return true, nil
	}
	h := s.coll.Handler()
	if h == nil {
		return false, nil
	}
	return h.Equal(ctx, a, b)
}

// writeOver is a write of a state over what is held.
func writeOver(held *document.Entry, d docState) collection.Write {
	w := collection.Write{Kind: collection.WriteOver, ID: d.id, Body: d.Body, Deleted: d.Deleted}
	if held != nil {
		w.Version = held.Dot
	}
	return w
}

// writeBytes is how much goes into one commit.
const writeBytes = 128 << 10

// writeAll makes writes, tells wrote of those made, and returns the ids of those that something came between.
func (s *Session) writeAll(ctx context.Context, writes []collection.Write, wrote func(collection.Document)) (changed []string, err error) {
	written := uint64(0)
	defer func() {
		s.mu.Lock()
		s.progress.Received += written
		s.mu.Unlock()
	}()
	for len(writes) > 0 {
		n, size := 0, 0
		for n < len(writes) && size < writeBytes {
			size += len(writes[n].Body) + 64
			n++
		}
		for i, r := range s.coll.Write(ctx, writes[:n]) {
			switch {
			case r.Err == nil:
				written++
				wrote(r.Document)
			case errors.Is(r.Err, collection.ErrChanged):
				changed = append(changed, writes[i].ID)
			default:
				return changed, fmt.Errorf("write %q: %w", writes[i].ID, r.Err)
			}
		}
		writes = writes[n:]
	}
	return changed, nil
}

// maxOwn is how many writes of the peer are remembered so as not to be sent back to it. That would do no harm.
const maxOwn = 20_000

// noteOwn remembers that a version was written by the peer, who need not be told of it.
func (s *Session) noteOwn(d collection.Document) {
	if len(s.own) >= maxOwn {
		clear(s.own)
	}
	s.own[d.ID] = d.Version
}

func (s *Session) isOwn(e *document.Entry) bool { return s.own[e.ID] == e.Dot }

// states returns the JSON array of what is held of documents.
func (s *Session) states(ctx context.Context, ids []string) ([]byte, error) {
	entries := make([]*document.Entry, 0, len(ids))
	s.coll.View(func(v collection.View) {
		for _, id := range ids {
			if e, _ := v.Get(id); e != nil {
				entries = append(entries, e)
			}
		}
	})
	out := []byte{'['}
	for _, e := range entries {
		state, keep, err := s.outgoing(ctx, e)
		switch {
		case err != nil:
			return nil, err
		case !keep:
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, state...)
	}
	return append(out, ']'), nil
}

func contentOf(e *document.Entry) collection.Content {
	return collection.Content{Body: e.Body, Deleted: e.Deleted}
}
