package collection

import "github.com/shoaldb/shoal/shared/document"

// Info is how much a collection holds.
type Info struct {
	Replica    document.ReplicaID // of this copy; another one after ErrIdentity
	Documents  int
	Tombstones int
	Bytes      int64 // of primary keys and bodies, tombstones included; what the store needs comes on top
}

// Info looks at every document.
func (c *Collection) Info() Info {
	c.mu.RLock()
	defer c.mu.RUnlock()
	info := Info{Replica: c.mem.self, Documents: c.mem.live, Tombstones: len(c.mem.docs) - c.mem.live}
	for id, v := range c.mem.docs {
		info.Bytes += int64(len(id) + len(v.Body))
	}
	return info
}
