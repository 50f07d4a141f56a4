package collection

import (
	"context"
	"fmt"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/tidwall/gjson"
)

// Incoming is what one frame of a peer brings.
type Incoming struct {
	Entries []document.Entry
	Beaten  []protocol.Beaten   // writes that one of Entries, or what it stands for, has beaten
	Seen    *document.Knowledge // what the sender knew when it read Entries, all of them included
	Claim   *document.Knowledge // what may be added to the own knowledge once Entries are taken; nil for nothing
	// Kept tells that this device had it all before, so that its times are taken as they are.
	Kept bool

	resolved map[pair]resolution
}

// pair names two versions that conflict.
type pair struct{ local, remote document.Dot }

// Clash is a conflict that came up.
type Clash struct {
	Local, Remote document.Entry
	Bases         []*document.Entry // what both were made from, as far as it is held and a handler asked for it; see Conflict
	Result        document.Entry    // the version held since
}

// Accepted tells what became of an Incoming.
type Accepted struct {
	Taken   int // entries that changed a document here
	Clashes []Clash
}

// Accept takes what a peer sent, after the rules of package document: all of ins, in their order, in one commit if no
// conflict handler has to be asked. It blocks until that is done. On an error nothing of ins was taken, or, if the handler failed, what
// came before that conflict; accepting it again does no harm. If the sender knows of writes of this replica that it has not made the
// error matches ErrIdentity.
func (c *Collection) Accept(ctx context.Context, ins ...*Incoming) (Accepted, error) {
	var out Accepted
	size := 0
	for _, in := range ins {
		for i := range in.Entries {
			if err := c.check(&in.Entries[i], in.Kept); err != nil {
				return out, &DocumentError{in.Entries[i].ID, err}
			}
			size += block.Size(&in.Entries[i])
		}
		if err := c.Recognise(ctx, in.told()); err != nil {
			return out, err
		}
	}
	for len(ins) > 0 {
		var r acceptance
		through := 0
		err := c.do(ctx, size, func(t *tx) error {
			r = acceptance{tx: t}
			for through = 0; through < len(ins) && len(r.open) == 0; through++ {
				r.run(ins[through])
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		out.Taken += r.taken
		out.Clashes = append(out.Clashes, r.clashes...)
		if len(r.open) > 0 {
			through-- // the last of them has to run again
			if err := c.resolve(ctx, ins[through], r.open); err != nil {
				return out, err
			}
		}
		ins = ins[through:]
	}
	return out, nil
}

// told returns what the sender of in knows: what it said, and what it sent.
func (in *Incoming) told() *document.Knowledge {
	told := in.Seen
	for i := range in.Entries {
		if e := &in.Entries[i]; !in.Seen.Covers(e.Dot) {
			if told == in.Seen {
				told = told.Clone()
			}
			told.Add(e.Dot, e.Time)
		}
	}
	return told
}

// check returns an error unless e, which comes from another replica, can be stored.
func (c *Collection) check(e *document.Entry, kept bool) error {
	if now := c.opts.Now(); !kept && e.Time.TooFarAhead(now) {
		return fmt.Errorf("%w: written at %v, the time here is %v", ErrClockSkew, e.Time.Wall().UTC(), now.UTC())
	}
	if e.Deleted && len(e.Body) == 0 {
		return checkID(e.ID)
	}
	if err := checkJSON(e.Body); err != nil {
		return err
	}
	if key := gjson.GetBytes(e.Body, gjson.Escape(c.opts.PrimaryKey)); key.Type != gjson.String || key.Str != e.ID {
		return fmt.Errorf("%w: the primary key in its body is another", ErrInvalid)
	}
	return checkID(e.ID)
}

// acceptance is one run of Incomings within a commit.
type acceptance struct {
	tx      *tx
	in      *Incoming // at work
	taken   int
	clashes []Clash
	open    []Clash // conflicts for which the handler has to be asked first; Result is missing
}

func (a *acceptance) run(in *Incoming) {
	a.in = in
	for i := range in.Entries {
		a.entry(&in.Entries[i])
	}
	if len(a.open) > 0 {
		return // what follows is true only when every entry was taken
	}
	for _, w := range in.Beaten {
		a.know(w.Dot, w.Time)
	}
	a.tx.know(in.Claim)
}

func (a *acceptance) know(d document.Dot, t document.Time) {
	if !a.tx.known.Covers(d) {
		a.tx.known.Add(d, t)
		a.tx.tell = true
	}
}

func (a *acceptance) entry(e *document.Entry) {
	local := a.tx.get(e.ID)
	switch document.Decide(local, e, a.tx.known, a.in.Seen) {
	case document.Take:
		a.take(e)
	case document.Drop:
		a.know(e.Dot, e.Time)
	case document.Conflict:
		a.conflict(local, e)
	}
}

func (a *acceptance) take(e *document.Entry) {
	a.tx.put(e)
	a.taken++
}

func (a *acceptance) conflict(local, remote *document.Entry) {
	result := a.settle(local, remote)
	if result == nil {
		a.open = append(a.open, Clash{Local: *local, Remote: *remote, Bases: a.tx.mem.bases(local, remote, a.tx.known, a.in.Seen)})
		return
	}
	switch result {
	case local:
		a.know(remote.Dot, remote.Time)
	case remote:
		a.take(remote)
	default:
		a.tx.putKept(remote) // the next conflict may need it as a base
		a.take(result)
	}
	r := a.in.resolved[pair{local.Dot, remote.Dot}]
	a.clashes = append(a.clashes, Clash{Local: *local, Remote: *remote, Bases: r.bases, Result: *result})
}

// settle returns the version that comes out of a conflict: one of the two, or a new write over both; nil if the handler has
// not been asked yet.
func (a *acceptance) settle(local, remote *document.Entry) *document.Entry {
	_, hi := document.Order(local, remote)
	if a.tx.c.opts.Handler == nil || max(local.Merges, remote.Merges) >= document.MaxMerges {
		return hi
	}
	r, ok := a.in.resolved[pair{local.Dot, remote.Dot}]
	switch {
	case !ok:
		return nil
	case r.keepsGreater:
		return hi
	}
	return &document.Entry{
		ID:      hi.ID,
		Dot:     a.tx.nextDot(),
		Base:    remote.Dot,
		Time:    hi.Time.Next(a.tx.c.opts.Now(), a.tx.c.salt),
		Merges:  max(local.Merges, remote.Merges) + 1,
		Deleted: r.Deleted,
		Body:    r.Body,
	}
}

// resolve asks the handler about conflicts and leaves what it says in in.
func (c *Collection) resolve(ctx context.Context, in *Incoming, open []Clash) error {
	if in.resolved == nil {
		in.resolved = make(map[pair]resolution)
	}
	for i := range open {
		o := &open[i]
		r, err := c.ask(ctx, o)
		if err != nil {
			return fmt.Errorf("conflict handler, document %q: %w", o.Local.ID, err)
		}
		in.resolved[pair{o.Local.Dot, o.Remote.Dot}] = r
	}
	return nil
}
