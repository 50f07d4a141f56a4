package collection

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/shoaldb/shoal/shared/document"
)

// ErrIdentity tells that a replica was not the only one with its id: its log is a copy of another's, or was put back to an older state. If
// it is this replica it has taken a new id by then, and given its own latest writes new names. The session begins anew either way, for
// what either side was told to know of that id counts no more.
var ErrIdentity = errors.New("collection: log is a copy or was put back; the replica has a new id")

// Recognise compares what this replica knows with what another one does. The error matches ErrIdentity if the other knows a write of this
// replica that it has not made, one beyond its last or another than the one that it made with that counter; or if the two together show
// that any other id is forked, of which this replica takes note.
func (c *Collection) Recognise(ctx context.Context, known *document.Knowledge) error {
	strange := false
	c.View(func(v View) { strange = v.mem.isStrange(known) || len(v.mem.known.ForkedBy(known)) > 0 })
	if !strange {
		return nil
	}
	done := false
	err := c.do(ctx, 0, func(t *tx) error {
		forks := t.known.ForkedBy(known)
		for _, r := range forks {
			t.known.Fork(r)
			t.tell = true
		}
		mine := t.self == t.mem.self && t.mem.isStrange(known)
		if done = mine || len(forks) > 0; mine {
			return t.renew()
		}
		return nil
	})
	if err == nil && done {
		return ErrIdentity
	}
	return err
}

// isStrange reports whether known has a write of this replica that it has not made.
func (m *memory) isStrange(known *document.Knowledge) bool {
	n, t := known.Last(m.self), known.LastTime(m.self)
	if known.IsForked(m.self) || n > m.known.Last(m.self) {
		return true
	}
	own, ok := m.times.of(n)
	return ok && t != 0 && t != own
}

// Disown takes a new id because another replica has the id self, too, unless that is done already. Its error always matches
// ErrIdentity, or tells why that could not be stored.
func (c *Collection) Disown(ctx context.Context, self document.ReplicaID) error {
	err := c.do(ctx, 0, func(t *tx) error {
		if t.self == self {
			return t.renew()
		}
		return nil
	})
	return cmp.Or(err, ErrIdentity)
}

// renew gives the replica a new id. Another may have used any dot of the old one for another write, and which of them is known to whom nobody
// can tell. So that id is forked, which everybody will hear of, and what this replica holds of it gets dots of the new id, and the
// least later time, so that it takes the place of the same under the old id, and of nothing else.
func (t *tx) renew() error {
	id, err := document.NewReplicaID(t.c.opts.Rand)
	if err != nil {
		return err
	}
	old := t.self
	t.adopt(id)
	t.known.Fork(old)
	t.tell = true
	for _, e := range slices.Clone(t.order) {
		if t.written[e.ID] == e && e.Dot.Replica == old {
			t.rename(e, old)
		}
	}
	for _, v := range t.mem.order {
		if t.written[v.ID] == nil && !v.dead && v.Dot.Replica == old {
			t.rename(&v.Entry, old)
		}
	}
	return nil
}

// adopt gives the replica a new id.
func (t *tx) adopt(id document.ReplicaID) {
	t.self, t.counter, t.fresh = id, 0, document.ReplicaID{}
	t.state.self = id
}

// rename gives e, of a write under the id old, a dot of the present id.
func (t *tx) rename(e *document.Entry, old document.ReplicaID) {
	renamed := *e
	renamed.Dot = t.nextDot()
	renamed.Time++
	if e.Base.Replica == old {
		renamed.Base = document.Dot{}
	}
	t.put(&renamed)
}

// ownTime is when an own write was made.
type ownTime struct {
	counter uint64
	time    document.Time
}

// maxOwnTimes is of how many own writes the time is remembered. Who meets a replica that knows none of so many is long gone.
const maxOwnTimes = 4096

// ownTimes has the times of the latest own writes, by counter. Those of writes that never came into the log are missing.
type ownTimes struct{ list []ownTime }

func (o *ownTimes) add(t ownTime) {
	if n := len(o.list); n > 0 && o.list[n-1].counter >= t.counter {
		return
	}
	if len(o.list) >= 2*maxOwnTimes {
		o.list = append(o.list[:0], o.list[maxOwnTimes:]...)
	}
	o.list = append(o.list, t)
}

func (o *ownTimes) all() []ownTime { return slices.Clone(o.list[max(0, len(o.list)-maxOwnTimes):]) }

// of returns the time of the write with that counter.
func (o *ownTimes) of(counter uint64) (document.Time, bool) {
	i, ok := slices.BinarySearchFunc(o.list, counter, func(t ownTime, n uint64) int { return cmp.Compare(t.counter, n) })
	if !ok {
		return 0, false
	}
	return o.list[i].time, true
}

// appendTimes appends pairs of differences: of the counter and, signed, of the time.
func appendTimes(b []byte, times []ownTime) []byte {
	var last ownTime
	for _, t := range times {
		b = binary.AppendUvarint(b, t.counter-last.counter)
		b = binary.AppendVarint(b, int64(t.time-last.time))
		last = t
	}
	return b
}

func (f *stateField) times() (times []ownTime) {
	var last ownTime
	for len(f.b) > 0 && f.err == nil {
		last.counter += f.uvarint()
		v, n := binary.Varint(f.b)
		if n <= 0 {
			f.err = errState
			break
		}
		f.b = f.b[n:]
		last.time += document.Time(v)
		times = append(times, last)
	}
	return times
}
