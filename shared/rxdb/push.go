package rxdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/tidwall/gjson"
)

// rowOut is one document of a masterWrite to the peer.
type rowOut struct {
	entry   *document.Entry // what is held here
	content collection.Content
	assumed []byte // text of the assumed master state, nil for none
}

// push brings the master what has changed here.
func (f *fork) push(ctx context.Context) error {
	want := f.cfg.Push.BatchSize
	if want <= 0 {
		want = defaultBatch
	}
	for f.up < f.tail() {
		from := max(f.up, 1)
		entries, next := f.changed(from, want)
		var rows []*rowOut
		for _, e := range entries {
			c, keep, err := f.modified(ctx, e)
			if err != nil {
				return err
			}
			if r := f.row(e, c); keep && r != nil {
				rows = append(rows, r)
			}
		}
		u := &update{}
		err := f.pushOrSplit(ctx, rows, from, u)
		if err == nil {
			f.up = next
			u.up = next
			if f.undone > 0 {
				u.up = f.undone
			}
		}
		if err := errors.Join(err, f.meta.note(ctx, f.key, u)); err != nil {
			return err
		}
		f.cfg.OnChange()
	}
	return nil
}

// pushOrSplit pushes rows, whose entries stand at from and later. If the master answers with an error it tries fewer at a time, so that a document that the master
// does not take keeps no other one waiting. That one is tried again later.
func (f *fork) pushOrSplit(ctx context.Context, rows []*rowOut, from store.Position, u *update) error {
	err := f.pushRows(ctx, rows, u)
	switch {
	case !errors.Is(err, ErrRemote):
		return err
	case len(rows) > 1:
		half := len(rows) / 2
		if err := f.pushOrSplit(ctx, rows[:half], from, u); err != nil {
			return err
		}
		return f.pushOrSplit(ctx, rows[half:], from, u)
	}
	f.cfg.OnError(fmt.Errorf("%w: %q: %w", ErrDocument, rows[0].entry.ID, err))
	if f.undone == 0 {
		f.undone = from
	}
	return nil
}

// changed returns entries at positions of from and later, and where the next ones begin.
func (f *fork) changed(from store.Position, most int) (entries []*document.Entry, next store.Position) {
	f.coll.View(func(v collection.View) {
		size := 0
		for e := range v.Since(from) {
			if len(entries) >= most || size > maxPushSize {
				next = e.Position
				return
			}
			if !e.Beaten {
				entries = append(entries, e.Entry)
				size += len(e.Body) + len(e.ID)
			}
		}
		next = v.Tail()
	})
	return entries, next
}

// row makes the row of an entry, nil if the master has that content.
func (f *fork) row(e *document.Entry, c collection.Content) *rowOut {
	r := &rowOut{entry: e, content: c}
	assumed, ok := f.meta.assumed(f.key, e.ID)
	if !ok {
		return r
	}
	if digestOf(c) == assumed {
		return nil
	}
	if b, ok := f.bodies[e.ID]; ok && b.state == assumed {
		r.assumed = b.text
	}
	return r
}

// maxRounds is how often the rows of one push are sent again after conflicts. The document of a busy room may need several.
const maxRounds = 16

// pushRows writes rows to the master and resolves conflicts until none is left. What the master has taken goes to u.
func (f *fork) pushRows(ctx context.Context, rows []*rowOut, u *update) error {
	for round := 0; len(rows) > 0; round++ {
		if round == maxRounds {
			return fmt.Errorf("%d documents still conflict after %d rounds", len(rows), round)
		}
		conflicts, err := f.masterWrite(ctx, rows)
		if err != nil {
			return err
		}
		var again []*rowOut
		for _, r := range rows {
			real, ok := conflicts[r.entry.ID]
			if !ok {
				d := docState{r.entry.ID, r.content}
				f.assume(u, d)
				if f.cfg.Pull != nil {
					f.echoes[d.id] = digestOf(r.content)
				}
				continue
			}
			next, err := f.settle(ctx, r, real, u)
			if err != nil {
				return err
			}
			if next != nil {
				again = append(again, next)
			}
		}
		rows = again
	}
	return nil
}

// masterWrite sends rows and returns what the master has instead of those that it did not take.
func (f *fork) masterWrite(ctx context.Context, rows []*rowOut) (conflicts map[string]docState, err error) {
	list := []byte{'['}
	sent := make(map[string]bool, len(rows))
	for i, r := range rows {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, '{')
		if r.assumed != nil {
			list = append(append(append(list, `"assumedMasterState":`...), r.assumed...), ',')
		}
		list = append(list, `"newDocumentState":`...)
		list = append(appendState(list, r.entry.ID, f.withFields(r), f.cfg.PrimaryKey), '}')
		sent[r.entry.ID] = true
		delete(f.echoes, r.entry.ID)
	}
	m, err := f.ask(ctx, methodWrite, append(list, ']'))
	if err != nil {
		return nil, err
	}
	if !m.result.IsArray() {
		return nil, fmt.Errorf("%w: conflicts are no array", ErrMessage)
	}
	conflicts = make(map[string]docState)
	for _, v := range m.result.Array() {
		d, err := parseState(v, f.cfg.PrimaryKey)
		switch {
		case err != nil:
			return nil, err
		case !sent[d.id]:
			return nil, fmt.Errorf("%w: conflict of a document that was not sent", ErrMessage)
		}
		conflicts[d.id] = d
	}
	return conflicts, nil
}

// withFields is the content of a row. A tombstone without a body gets the last fields of the document, or those that the master's has, where these
// are known.
func (f *fork) withFields(r *rowOut) collection.Content {
	c := r.content
	if c.Deleted && len(c.Body) == 0 {
		c.Body = f.lastBody(r.entry.ID)
	}
	if c.Deleted && len(c.Body) == 0 && r.assumed != nil {
		if d, err := parseState(gjson.ParseBytes(r.assumed), f.cfg.PrimaryKey); err == nil {
			c.Body = d.Body
		}
	}
	return c
}

// settle deals with a row that the master did not take because it has real. It returns the row to be sent next, nil if there is none.
func (f *fork) settle(ctx context.Context, r *rowOut, real docState, u *update) (*rowOut, error) {
	if same(r.content, real.Content) {
		f.assume(u, real)
		return nil, nil
	}
	text := appendState(nil, real.id, real.Content, f.cfg.PrimaryKey)
	assumed, known := f.meta.assumed(f.key, real.id)
	if known && r.assumed == nil && digestOf(real.Content) == assumed {
		f.remember(real.id, assumed, text)
		return &rowOut{r.entry, r.content, text}, nil // no conflict: only its text was not known any more
	}
	if _, err := f.incoming(ctx, &real); err != nil {
		return nil, err
	}
	result, err := f.resolve(ctx, r, real)
	if err != nil {
		return nil, err
	}
	held := r.entry
	if !same(result, r.content) {
		if held, err = f.replace(ctx, r.entry, docState{real.id, result}); err != nil || held == nil {
			return nil, err
		}
	}
	f.clash(r.entry, real, held)
	f.assume(u, real)
	if same(result, real.Content) {
		return nil, nil
	}
	return &rowOut{held, result, text}, nil
}

// resolve asks the collection's conflict handler. Without one the master's state stands.
func (f *fork) resolve(ctx context.Context, r *rowOut, real docState) (collection.Content, error) {
	h := f.coll.Handler()
	if h == nil {
		return real.Content, nil
	}
	equal, err := h.Equal(ctx, real.Content, r.content)
	if err != nil || equal {
		return real.Content, err
	}
	c := collection.Conflict{ID: real.id, Real: real.Content, New: r.content}
	if base, ok := f.base(r); ok {
		c.Bases = []collection.Content{base}
		c.Assumed = &c.Bases[0]
	}
	result, err := h.Resolve(ctx, c)
	if err != nil {
		return result, fmt.Errorf("conflict handler, document %q: %w", real.id, err)
	}
	if result.Deleted && len(result.Body) == 0 {
		return result, nil
	}
	if d, err := parseState(gjson.ParseBytes(result.Body), f.cfg.PrimaryKey); err != nil || d.id != real.id || !json.Valid(result.Body) {
		return result, fmt.Errorf("conflict handler, document %q: %w: result has another primary key", real.id, ErrDocument)
	}
	return result, nil
}

// base returns the assumed master state that a row was made from, as far as it is known.
func (f *fork) base(r *rowOut) (collection.Content, bool) {
	if r.assumed != nil {
		d, err := parseState(gjson.ParseBytes(r.assumed), f.cfg.PrimaryKey)
		return d.Content, err == nil
	}
	assumed, ok := f.meta.assumed(f.key, r.entry.ID)
	if !ok {
		return collection.Content{}, false
	}
	body := f.meta.base(r.entry.ID, assumed)
	return collection.Content{Body: body}, body != nil
}

// replace writes d over old and returns the new version, nil if a write came between: that one will be pushed, and meet the conflict.
func (f *fork) replace(ctx context.Context, old *document.Entry, d docState) (*document.Entry, error) {
	changed, err := f.writeAll(ctx, []collection.Write{writeOver(old, d)}, func(collection.Document) {})
	if err != nil || len(changed) > 0 {
		return nil, err
	}
	var held *document.Entry
	f.coll.View(func(v collection.View) { held, _ = v.Get(d.id) })
	return held, nil
}

// clash tells of a conflict that was resolved.
func (f *fork) clash(local *document.Entry, remote docState, result *document.Entry) {
	f.cfg.OnClash([]collection.Clash{{
		Local:  *local,
		Remote: document.Entry{ID: remote.id, Deleted: remote.Deleted, Body: remote.Body},
		Result: *result,
	}})
}
