package collection

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/shoaldb/shoal/shared/document"
)

// Content is what a version says.
type Content struct {
	Body    json.RawMessage // one JSON object; may be empty if Deleted
	Deleted bool
}

// Conflict is two versions of a document of which neither writer knew the other's. Which of the two is Real and which is New follows
// from the versions alone, so that all replicas ask their handlers the same. The names are those of RxDB's conflict handlers.
type Conflict struct {
	ID      string
	Real    Content  // "realMasterState": the later version
	New     Content  // "newDocumentState": the earlier one
	Assumed *Content // "assumedMasterState": what both were made from; nil if it is not held here any more
	// Bases is Assumed and, if both sides have merged before, each with what the other had then, another that both were made from.
	// A field that is as in either was not changed since.
	Bases []Content
}

// Handler resolves the conflicts of a collection. What it answers must depend on its arguments alone. It may take its time, but as
// long as it works the session that brought the conflict waits. Handlers on different replicas that answer differently, or
// at random, make the replicas ask again, at most document.MaxMerges times for one document; then the later version wins.
type Handler interface {
	// Equal reports whether two versions say the same, so that there is nothing to resolve.
	Equal(ctx context.Context, a, b Content) (bool, error)
	// Resolve returns what the document says from now on: one of the two versions or something new.
	Resolve(ctx context.Context, c Conflict) (Content, error)
}

// resolution is what a handler said of one conflict.
type resolution struct {
	Content
	keepsGreater bool
	bases        []*document.Entry
}

// ask puts a conflict to the handler.
func (c *Collection) ask(ctx context.Context, clash *Clash) (resolution, error) {
	lo, hi := document.Order(&clash.Local, &clash.Remote)
	conflict := Conflict{ID: hi.ID, Real: contentOf(hi), New: contentOf(lo)}
	for _, b := range clash.Bases {
		conflict.Bases = append(conflict.Bases, contentOf(b))
		conflict.Assumed = &conflict.Bases[0]
	}
	h := c.opts.Handler
	r := resolution{bases: clash.Bases}
	var err error
	if r.keepsGreater, err = h.Equal(ctx, conflict.Real, conflict.New); err != nil || r.keepsGreater {
		return r, err
	}
	if r.Content, err = h.Resolve(ctx, conflict); err != nil {
		return r, err
	}
	if err := c.checkContent(hi.ID, r.Content); err != nil {
		return r, fmt.Errorf("result: %w", err)
	}
	r.keepsGreater, err = h.Equal(ctx, conflict.Real, r.Content)
	return r, err
}

// checkContent returns an error unless content can be stored as the document id.
func (c *Collection) checkContent(id string, content Content) error {
	if content.Deleted && len(content.Body) == 0 {
		return nil
	}
	return c.checkKey(content.Body, id)
}

func contentOf(e *document.Entry) Content { return Content{e.Body, e.Deleted} }

// EqualContent reports whether a and b say the same: both deleted or neither, and JSON values that are equal whatever the
// order of their fields and the form of their numbers.
func EqualContent(a, b Content) bool {
	return a.Deleted == b.Deleted && equalJSON(a.Body, b.Body)
}

func equalJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
