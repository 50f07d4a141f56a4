package collection

import "context"

// Share notes, durably, that from now on others may learn of the versions held here. It comes before the first of them is sent; a
// write after it names the version that it replaces as its base, even if that is an own one. The function that it returns
// undoes it, and blocks until that is stored as well; every Share needs its stop.
func (c *Collection) Share(ctx context.Context) (stop func(), err error) {
	c.shares.Lock()
	defer c.shares.Unlock()
	if c.shares.n == 0 {
		if err := c.do(ctx, 0, func(t *tx) error {
			t.state.shared = shared{set: true, open: true, upTo: t.mem.shared.upTo}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	c.shares.n++
	return c.unshare, nil
}

func (c *Collection) unshare() {
	c.shares.Lock()
	defer c.shares.Unlock()
	if c.shares.n--; c.shares.n > 0 {
		return
	}
	err := c.do(context.Background(), 0, func(t *tx) error {
		t.state.shared = shared{set: true, upTo: t.mem.next}
		return nil
	})
	if err != nil {
		// All own versions go on counting as shared, which is safe: conflicts only find fewer common bases.
		c.opts.Logger.Debug("note that nothing is shared", "collection", c.name, "error", err)
	}
}
