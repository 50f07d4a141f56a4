package collection

import (
	"bytes"
	"context"
	"encoding/json"
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

// Resolution is what a handler said of one conflict.
type Resolution struct {
	Content
	keepsGreater bool
}

// ask puts a conflict to the handler.
func (c *Collection) ask(ctx context.Context, local, remote *document.Entry) (Resolution, error) {
	lo, hi := document.Order(local, remote)
	conflict := Conflict{ID: hi.ID, Real: contentOf(hi), New: contentOf(lo)}
	same, err := c.opts.Handler.Equal(ctx, conflict.Real, conflict.New)
	if err != nil || same {
		return Resolution{keepsGreater: true}, err
	}
	result, err := c.opts.Handler.Resolve(ctx, conflict)
	if err != nil {
		return Resolution{}, err
	}
	same, err = c.opts.Handler.Equal(ctx, conflict.Real, result)
	return Resolution{result, same}, err
}

func contentOf(e *document.Entry) Content { return Content{e.Body, e.Deleted} }

// EqualContent reports whether a and b say the same: both deleted or neither, and JSON values that are equal whatever the
// order of their fields and the form of their numbers.
func EqualContent(a, b Content) bool {
	if a.Deleted != b.Deleted {
		return false
	}
	if bytes.Equal(a.Body, b.Body) {
		return true
	}
	var x, y any
	if json.Unmarshal(a.Body, &x) != nil || json.Unmarshal(b.Body, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
