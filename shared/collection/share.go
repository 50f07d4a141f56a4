package collection

import "context"

// Share notes, durably, that from now on others may learn of the versions held here; View.Sent says of which. It comes before
// the first of them is sent. A write that replaces an own version names that one as its base if others may know it, else what that one
// was made from. The function that Share returns undoes it, and blocks until that is stored; every Share needs its stop.
func (c *Collection) Share(ctx context.Context) (stop func(), err error) {
	first := c.shares.Add(1) == 1
	err = c.do(ctx, 0, func(t *tx) error {
		old := t.mem.shared
		if first && old.open {
			old.upTo = t.mem.next // by a process that ended without notice
		}
		if first || !old.open {
			t.state.shared = shared{set: true, open: true, upTo: old.upTo}
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
		// All own versions go on counting as known, which is safe: conflicts only find fewer common bases.
		c.opts.Logger.Debug("note that nothing is shared", "collection", c.name, "error", err)
	}
}

// mayBeKnown reports whether anybody else may know v, an own version.
func (c *Collection) mayBeKnown(v *version) bool {
	elsewhere := c.mem.shared.open && c.shares.Load() == 0 // another tab has the sessions
	return v.sent.Load() || v.pos < c.mem.shared.upTo || elsewhere
}
