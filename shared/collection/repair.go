package collection

import (
	"fmt"
	"slices"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// A record that cannot be read, because something damaged it, is left where it is, and out. What was in it is
// asked of other replicas: knowledge is cut down to what is held, and, since nobody can tell which writes of this replica were in
// it, the replica takes a new id.

// DamageError tells of records that could not be read. The collection goes on without them, and gets what others have of it.
type DamageError struct {
	Collection string
	Positions  []store.Position // of the records
	Err        error            // what was wrong with the first
}

// Error says what was lost.
func (e *DamageError) Error() string {
	return fmt.Sprintf("collection %q: %d records are damaged and were left out, at positions %v: %v", e.Collection, len(e.Positions), e.Positions, e.Err)
}

// Unwrap returns what was wrong with the first record.
func (e *DamageError) Unwrap() error { return e.Err }

// damage is a record that could not be read.
type damage struct {
	record store.Record
	err    error
}

// repair leaves out the damaged records for good, and reports them. It does nothing if there are none.
func (c *Collection) repair() error {
	damaged := c.mem.damaged
	if len(damaged) == 0 || c.mem.sealed {
		return nil
	}
	report := &DamageError{Collection: c.name, Err: damaged[0].err}
	for _, d := range damaged {
		report.Positions = append(report.Positions, d.record.First)
	}
	id, err := document.NewReplicaID(c.opts.Rand)
	if err != nil {
		return err
	}
	changes, err := c.attempt([]*op{{ctx: c.ctx, run: func(t *tx) error {
		known := &document.Knowledge{}
		for _, v := range t.mem.docs {
			known.Add(v.Dot, v.Time)
		}
		t.state = state{full: true, self: id, known: known, shared: shared{set: true, upTo: t.mem.next}}
		t.state.repaired = append(slices.Clone(t.mem.repaired), report.Positions...)
		t.self, t.fresh, t.known, t.tell = id, document.ReplicaID{}, known, true
		return nil
	}}})
	c.announce(changes)
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	c.opts.Logger.Error("records are damaged", "collection", c.name, "error", report)
	c.opts.OnDamage(report)
	return nil
}
