package collection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
)

// ErrIdentity tells that this replica was not the only one with its id: its log is a copy of another's, or was put back to
// an older state. It has taken a new id by then, and given its own latest writes new names; the session begins anew.
var ErrIdentity = errors.New("collection: log is a copy or was put back; the replica has a new id")

// marks is what this replica and another have exchanged to know themselves, and each other, again. A replica gives every other a mark
// in each session and counts them; it is shown the last one in the next.
type marks struct {
	confirmed protocol.Mark // given, and certainly stored by the other
	given     protocol.Mark // given last
	received  protocol.Mark // given by the other, to be shown to it
}

// Meet prepares a session with replica r, in which this replica goes by the id self. It returns, and stores first, what
// protocol.Start is to show and to give. The error matches ErrIdentity if self is not the replica's id any more.
func (c *Collection) Meet(ctx context.Context, self, r document.ReplicaID) (shown, given protocol.Mark, err error) {
	err = c.do(ctx, 0, func(t *tx) error {
		if t.self != self {
			return ErrIdentity
		}
		m := t.mem.marks[r]
		if m.given == m.confirmed {
			m.given.Count++
			if _, err := io.ReadFull(c.opts.Rand, m.given.Random[:]); err != nil {
				return fmt.Errorf("make mark: %w", err)
			}
			t.mark(r, m)
		}
		shown, given = m.received, m.given
		return nil
	})
	return shown, given, err
}

// Met takes in the other's half of the same: what r shows, and gives. The error matches ErrIdentity if r has had a session with
// this replica's id that this replica knows nothing of, or if self is not the id any more.
func (c *Collection) Met(ctx context.Context, self, r document.ReplicaID, shown, given protocol.Mark) error {
	changed := false
	err := c.recognise(ctx, func(t *tx) bool {
		if changed = t.self != self; changed {
			return true
		}
		m := t.mem.marks[r]
		mine := shown == m.confirmed || shown == m.given || shown.Count < m.given.Count
		if !mine || given.Count > m.received.Count+1 {
			return false
		}
		if m.received != given {
			m.received = given
			t.mark(r, m)
		}
		return true
	})
	if err == nil && changed {
		err = ErrIdentity
	}
	return err
}

// Confirm notes that r has stored the mark that it was given: it has gone on in the session.
func (c *Collection) Confirm(ctx context.Context, self, r document.ReplicaID) error {
	return c.do(ctx, 0, func(t *tx) error {
		if m := t.mem.marks[r]; t.self == self && m.confirmed != m.given {
			m.confirmed = m.given
			t.mark(r, m)
		}
		return nil
	})
}

func (t *tx) mark(r document.ReplicaID, m marks) {
	if t.state.marks == nil {
		t.state.marks = make(map[document.ReplicaID]marks)
	}
	t.state.marks[r] = m
}

// Recognise compares this replica with what another one knows of it. The error matches ErrIdentity if the other knows of writes of this
// replica that it has not made.
func (c *Collection) Recognise(ctx context.Context, known *document.Knowledge) error {
	var last document.Dot
	c.View(func(v View) { last = document.Dot{Replica: v.Replica(), Counter: known.Last(v.Replica())} })
	return c.recogniseWrite(ctx, last)
}

// recogniseWrite takes a new id if d names a write of this replica that it has not made.
func (c *Collection) recogniseWrite(ctx context.Context, d document.Dot) error {
	strange := func(self document.ReplicaID, known *document.Knowledge) bool {
		return d.Replica == self && d.Counter > known.Last(self)
	}
	found := false
	c.View(func(v View) { found = strange(v.Replica(), v.Known()) })
	if !found {
		return nil
	}
	return c.recognise(ctx, func(t *tx) bool { return !strange(t.self, t.known) })
}

// Disown takes a new id because another replica has the id self, too, unless that is done already. Its error always matches
// ErrIdentity, or tells why that could not be stored.
func (c *Collection) Disown(ctx context.Context, self document.ReplicaID) error {
	return cmp.Or(c.recognise(ctx, func(t *tx) bool { return t.self != self }), ErrIdentity)
}

// recognise runs check in a commit and takes a new id if it says no.
func (c *Collection) recognise(ctx context.Context, check func(t *tx) bool) error {
	renewed := false
	err := c.do(ctx, 0, func(t *tx) error {
		if renewed = !check(t); renewed {
			return t.renew()
		}
		return nil
	})
	if err == nil && renewed {
		return ErrIdentity
	}
	return err
}

// renew gives the replica a new id. Which of the writes under the old one are its own is certain only as far as others knew them when it
// last met them; beyond, another replica may have used
// the same dots for other writes. So its knowledge of those is given up, and what it holds of them gets dots of the new id. Times stay as they
// are: nothing becomes newer by it.
func (t *tx) renew() error {
	id, err := document.NewReplicaID(t.c.opts.Rand)
	if err != nil {
		return err
	}
	old, keep := t.self, t.mem.met.confirmed(t.self)
	t.adopt(id, keep)
	t.known.Cut(old, keep)
	t.tell = true
	mine := func(e *document.Entry) bool { return e.Dot.Replica == old && e.Dot.Counter > keep }
	for _, e := range slices.Clone(t.order) {
		if t.written[e.ID] == e && mine(e) {
			t.rename(e, old, keep)
		}
	}
	for _, v := range t.mem.order {
		if t.written[v.ID] == nil && !v.dead && mine(&v.Entry) {
			t.rename(&v.Entry, old, keep)
		}
	}
	return nil
}

// adopt gives the replica a new id; keep is how many writes of the one before are certainly its own.
func (t *tx) adopt(id document.ReplicaID, keep uint64) {
	t.self, t.counter, t.fresh = id, 0, document.ReplicaID{}
	t.state.self, t.state.keep = id, keep
}

// rename gives e, of a write under the id old, a dot of the present id.
func (t *tx) rename(e *document.Entry, old document.ReplicaID, keep uint64) {
	renamed := *e
	renamed.Dot = t.nextDot()
	if e.Base.Replica == old && e.Base.Counter > keep {
		renamed.Base = document.Dot{}
	}
	t.put(&renamed)
}
