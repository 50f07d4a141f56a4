package collection

import "context"

// Share notes, durably, that from now on others may learn of the versions held here. It comes before the first of them is sent; a
// write after it names the version that it replaces as its base, even if that is an own one. The function that it returns
// undoes it, and blocks until that is stored as well; every Share needs its stop.
func (c *Collection) Share(ctx context.Context) (stop func(), err error) {
	c.shares.Add(1)
	err = c.do(ctx, 0, func(t *tx) error {
		if !t.mem.shared.open {
			t.state.shared = shared{set: true, open: true, upTo: t.mem.shared.upTo}
		}
		return nil
	})
	if err != nil {
		c.shares.Add(-1)
		return nil, err
	}
	return c.unshare, nil
}

func (c *Collection) unshare() {
	if c.shares.Add(-1) > 0 {
		return
	}
	err := c.do(context.Background(), 0, func(t *tx) error {
		if c.shares.Load() == 0 {
			t.state.shared = shared{set: true, upTo: t.mem.next}
		}
		return nil
	})
	if err != nil {
		// All own versions go on counting as shared, which is safe: conflicts only find fewer common bases.
		c.opts.Logger.Debug("note that nothing is shared", "collection", c.name, "error", err)
	}
}
