package collection

import (
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

// marks is what this replica and another have exchanged to know themselves and each other again.
type marks struct {
	confirmed protocol.Mark // given to the other, which has shown it since
	given     protocol.Mark // given to the other last
	received  protocol.Mark // given by the other, to be shown to it
}

// Meet prepares a session with replica r. It returns, and stores first, what protocol.Start is to show and to give.
func (c *Collection) Meet(ctx context.Context, r document.ReplicaID) (shown, given protocol.Mark, err error) {
	err = c.do(ctx, 0, func(t *tx) error {
		m := t.mem.marks[r]
		if m.given == m.confirmed {
			if _, err := io.ReadFull(c.opts.Rand, m.given[:]); err != nil {
				return fmt.Errorf("make mark: %w", err)
			}
			t.state.marks = map[document.ReplicaID]marks{r: m}
		}
		shown, given = m.received, m.given
		return nil
	})
	return shown, given, err
}

// Met takes in the other's half of the same: what r shows, and gives. The error matches ErrIdentity if r shows what it was given by another than this replica, which
// goes by the same id.
func (c *Collection) Met(ctx context.Context, r document.ReplicaID, shown, given protocol.Mark) error {
	return c.recognise(ctx, func(t *tx) bool {
		m := t.mem.marks[r]
		if shown != (protocol.Mark{}) && shown != m.confirmed && shown != m.given {
			return false
		}
		next := m
		if shown == m.given {
			next.confirmed = m.given
		}
		next.received = given
		if next != m {
			t.state.marks = map[document.ReplicaID]marks{r: next}
		}
		return true
	})
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

// Disown takes a new id because another replica has the same.
func (c *Collection) Disown(ctx context.Context, self document.ReplicaID) error {
	return c.recognise(ctx, func(t *tx) bool { return t.self != self })
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
	t.self, t.counter = id, 0
	t.state.self, t.state.keep, t.tell = id, keep, true
	t.known.Cut(old, keep)
	mine := func(e *document.Entry) bool { return e.Dot.Replica == old && e.Dot.Counter > keep }
	for _, id := range slices.Clone(t.order) {
		if e := t.written[id].Entry; mine(e) {
			t.rename(e, old, keep)
		}
	}
	for _, v := range t.mem.order {
		if _, ok := t.written[v.ID]; !ok && !v.dead && mine(&v.Entry) {
			t.rename(&v.Entry, old, keep)
		}
	}
	return nil
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
