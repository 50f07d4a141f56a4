package collection

import (
	"encoding/json"
	"iter"
	"slices"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// Document is a document as it was when it was read. What it refers to must not be changed.
type Document struct {
	ID      string
	Version document.Dot
	Deleted bool
	Body    json.RawMessage // the JSON object; may be empty if Deleted
}

func documentOf(e *document.Entry) Document { return Document{e.ID, e.Dot, e.Deleted, e.Body} }

// Get returns a document; ok is false if there is none or it is deleted.
func (c *Collection) Get(id string) (doc Document, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v := c.mem.docs[id]
	if v == nil || v.Deleted {
		return Document{}, false
	}
	return documentOf(&v.Entry), true
}

// Count returns how many documents there are, deleted ones not counted.
func (c *Collection) Count() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mem.live
}

// All returns the documents, as they are at this moment, in the order of their primary keys. Deleted ones are not among them.
func (c *Collection) All() iter.Seq[Document] {
	c.mu.RLock()
	docs := make([]Document, 0, c.mem.live)
	for _, v := range c.mem.docs {
		if !v.Deleted {
			docs = append(docs, documentOf(&v.Entry))
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(docs, func(a, b Document) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return slices.Values(docs)
}

// View is the collection at one moment, for replication. It is good only until the function that it was given to returns.
type View struct{ mem *memory }

// View calls look with the collection as it is. look must be quick and must not call the collection.
func (c *Collection) View(look func(v View)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	look(View{&c.mem})
}

// Replica returns the id of this replica.
func (v View) Replica() document.ReplicaID { return v.mem.self }

// Known returns the knowledge of this replica. It never changes.
func (v View) Known() *document.Knowledge { return v.mem.known }

// Len returns how many documents there are, deleted ones counted.
func (v View) Len() int { return len(v.mem.docs) }

// Tail returns the position after the last in the log.
func (v View) Tail() store.Position { return v.mem.next }

// Get returns the current version of a document and its position, nil if there is none. The entry stays as it is.
func (v View) Get(id string) (*document.Entry, store.Position) {
	d := v.mem.docs[id]
	if d == nil {
		return nil, 0
	}
	return &d.Entry, d.pos
}

// Sent notes that the current version of a document is being put into a frame.
func (v View) Sent(id string) { v.mem.docs[id].sent.Store(true) }

// Placed is an entry at its place in the log.
type Placed struct {
	*document.Entry                // stays as it is
	Position        store.Position // in this replica's log
	Beaten          bool           // a version at a later position took its place
}

// Since returns, in log order, the entries at positions of from and later. Those that were beaten may be among them or not.
func (v View) Since(from store.Position) iter.Seq[Placed] {
	return func(yield func(Placed) bool) {
		for _, d := range v.mem.since(from) {
			if !yield(Placed{&d.Entry, d.pos, d.dead}) {
				return
			}
		}
	}
}
