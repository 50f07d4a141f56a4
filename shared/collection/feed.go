package collection

import (
	"slices"
	"sync"
)

// feed tells subscribers what happened.
type feed struct {
	mu   sync.Mutex // guards the following field
	subs []*subscriber
}

type subscriber struct{ tell func([]Change) }

// Subscribe calls tell with the changes of each commit, this replica's and those of others, in the order of the log, until the returned function is called. Changes
// of one document that were committed together are one change. tell runs on the goroutine that commits: it must not block
// and must not write to the collection. The slice and what it points to must not be changed. A commit that changes no document but
// what is known of others is told with no changes.
func (c *Collection) Subscribe(tell func([]Change)) (stop func()) {
	s := &subscriber{tell}
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.feed.subs = append(c.feed.subs, s)
	return func() {
		c.feed.mu.Lock()
		defer c.feed.mu.Unlock()
		c.feed.subs = slices.DeleteFunc(slices.Clone(c.feed.subs), func(o *subscriber) bool { return o == s })
	}
}

func (c *Collection) announce(changes []Change) {
	c.feed.mu.Lock()
	subs := c.feed.subs
	c.feed.mu.Unlock()
	for _, s := range subs {
		s.tell(changes)
	}
}
