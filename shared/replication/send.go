package replication

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store"
)

// sender is what a session knows of what its peer has, and what is to be sent.
type sender struct {
	s    *Session
	on   bool                       // this side pushes and the other pulls
	told *document.Knowledge        // what the peer has said to know; never changed, only replaced
	lane [lanes]*document.Knowledge // what was told on each
	last *document.Knowledge        // own knowledge when lane[Live] was last brought up to it
	tell time.Time                  // when to tell knowledge that has grown; zero: it has not

	cursor  store.Position // entries before it were looked at
	pending map[string]*pending
	urgent  []string // keys of pending, what users of this replica wrote, in log order
	later   []held   // keys of pending, by time
	ownHeld int      // of pending, with an own write in it
	swept   bool     // pending has nothing that told covers

	walk   *walk // under way
	walked bool  // the last walk that was asked for has reached the end

	ownSeen uint64              // own writes up to here were looked at, or a walk ended after them
	ownGap  bool                // some of them were beaten before anybody looked, and by what is not known
	claimed *document.Knowledge // all of it was claimed on the live lane
}

// pending is a document whose current version is still to be sent on the live lane.
type pending struct {
	writes []protocol.Beaten // the versions since the last that was sent
	own    bool              // some of them are own writes
	urgent bool
}

type held struct {
	due time.Time
	id  string
}

func newSender(s *Session) sender {
	snd := sender{
		s:       s,
		on:      s.cfg.Push != nil && s.cfg.Remote.Pulls,
		told:    s.cfg.Remote.Known.WithForks(s.cfg.Own.Known),
		pending: make(map[string]*pending),
		claimed: &document.Knowledge{},
	}
	for i := range snd.lane {
		snd.lane[i] = s.cfg.Own.Known.Clone()
	}
	s.coll.View(func(v collection.View) {
		snd.cursor = v.Tail()
		snd.ownSeen = v.Known().Last(v.Replica())
	})
	return snd
}

// nextLive returns the next frame for the live lane, or when there may be one.
func (s *Session) nextLive(v collection.View, now time.Time) (protocol.Frame, time.Time) {
	snd := &s.send
	pull, again := s.pull(v, now)
	if pull != nil {
		return pull, time.Time{}
	}
	c, next := snd.live(v, now)
	if c != nil {
		return c, time.Time{}
	}
	return nil, earliest(again, next)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// live returns a frame with what is to be sent or told now, or when there may be one.
func (snd *sender) live(v collection.View, now time.Time) (*protocol.Changes, time.Time) {
	f := &protocol.Changes{Channel: snd.s.cfg.Channel}
	if snd.on {
		snd.examine(v, now)
		snd.collect(f, v, now)
	}
	claim := snd.claim(v)
	if len(f.Entries) == 0 && !snd.mustTell(v.Known(), claim, now) {
		return nil, snd.next()
	}
	f.Claim = claim
	f.Seen = snd.tellOn(Live, v.Known())
	snd.last, snd.tell = v.Known(), time.Time{}
	if claim == protocol.ClaimAll {
		snd.claimed, snd.ownGap = v.Known(), false
	}
	return f, time.Time{}
}

// tellOn returns what known has beyond what was told on lane, which has it from now on.
func (snd *sender) tellOn(lane Lane, known *document.Knowledge) *document.Knowledge {
	more := known.Since(snd.lane[lane])
	snd.lane[lane].Merge(more)
	return more
}

// examine looks at what the log has got since it last did, and notes what is to be sent, now or later.
func (snd *sender) examine(v collection.View, now time.Time) {
	own := uint64(0)
	due := now.Add(ForwardAfter + time.Duration(snd.s.cfg.Rand.Int64N(int64(ForwardSpread))))
	if n := len(snd.later); n > 0 && snd.later[n-1].due.After(due) {
		due = snd.later[n-1].due
	}
	for p := range v.Since(snd.cursor) {
		mine := p.Dot.Replica == v.Replica()
		if mine && p.Dot.Counter > snd.ownSeen {
			own++
		}
		if mine || snd.walked { // what is not the own is in the walk still to come
			snd.note(p, mine, due)
		}
	}
	last := v.Known().Last(v.Replica())
	if last != snd.ownSeen+own {
		snd.ownGap = true
	}
	snd.ownSeen, snd.cursor = last, v.Tail()
	if !snd.swept {
		snd.sweep(v)
	}
}

// note makes an entry, which may be beaten by now, pending.
func (snd *sender) note(p collection.Placed, mine bool, due time.Time) {
	urgent := mine && p.Merges == 0 // others resolve the same conflict, and mostly alike
	w := snd.pending[p.ID]
	if w == nil {
		if !p.Beaten && snd.told.Covers(p.Dot) {
			return
		}
		w = &pending{}
		snd.pending[p.ID] = w
		if !urgent {
			snd.later = append(snd.later, held{due, p.ID})
		}
	}
	w.writes = append(w.writes, protocol.Beaten{Dot: p.Dot, Time: p.Time})
	snd.swept = false
	if mine && !w.own {
		w.own = true
		snd.ownHeld++
	}
	if urgent && !w.urgent {
		w.urgent = true
		snd.urgent = append(snd.urgent, p.ID)
	}
}

// sweep takes out of pending what the peer has told to know.
func (snd *sender) sweep(v collection.View) {
	for id := range snd.pending {
		if e, _ := v.Get(id); snd.told.Covers(e.Dot) {
			snd.done(id)
		}
	}
	snd.swept = true
}

// collect puts into f what is to be sent now, as much as fits.
func (snd *sender) collect(f *protocol.Changes, v collection.View, now time.Time) {
	b := batch{f: f}
	for len(snd.urgent) > 0 && snd.offer(&b, v, snd.urgent[0]) {
		snd.urgent = snd.urgent[1:]
	}
	for len(snd.urgent) == 0 && len(snd.later) > 0 && !snd.later[0].due.After(now) && snd.offer(&b, v, snd.later[0].id) {
		snd.later = snd.later[1:]
	}
	b.finish()
}

// offer adds the current version of a pending document to b. It returns false, with nothing changed, if b is full.
func (snd *sender) offer(b *batch, v collection.View, id string) bool {
	w := snd.pending[id]
	if w == nil {
		return true // sent in a walk, or told
	}
	e, pos := v.Get(id)
	if !b.add(e, pos, 0) {
		return false
	}
	v.Sent(id)
	b.beaten(w.writes, e.Dot, snd.told)
	snd.done(id)
	return true
}

// done takes a document out of pending, if it is there.
func (snd *sender) done(id string) {
	if w := snd.pending[id]; w != nil && w.own {
		snd.ownHeld--
	}
	delete(snd.pending, id)
}

// claim returns what may be claimed with a live frame that has all that is to be sent now.
func (snd *sender) claim(v collection.View) protocol.Claim {
	switch {
	case !snd.on || !snd.walked || snd.s.cfg.Push.Modifier != nil:
		return protocol.ClaimNone
	case len(snd.pending) == 0:
		return protocol.ClaimAll
	case !snd.ownGap && snd.ownHeld == 0:
		return protocol.ClaimOwn
	}
	return protocol.ClaimNone
}

// mustTell reports whether known, or that all of it can be claimed, is to be told at this time.
func (snd *sender) mustTell(known *document.Knowledge, claim protocol.Claim, now time.Time) bool {
	grown := known != snd.last && !snd.lane[Live].CoversAll(known)
	owed := claim == protocol.ClaimAll && !snd.claimed.CoversAll(known) && !snd.told.CoversAll(known)
	if !grown && !owed {
		snd.last, snd.tell = known, time.Time{}
		return false
	}
	if snd.tell.IsZero() {
		snd.tell = now.Add(TellAfter)
		if snd.s.recv.pulling {
			snd.tell = now.Add(TellAfterBulk)
		}
	}
	return !now.Before(snd.tell)
}

// next returns when there may be something to send or to tell without anything happening before.
func (snd *sender) next() time.Time {
	at := snd.tell
	if len(snd.later) > 0 {
		at = earliest(at, snd.later[0].due)
	}
	return at
}

// batch fills a Changes up to its bounds.
type batch struct {
	f    *protocol.Changes
	size int
	pos  []placedAt
}

// maxSpread keeps the positions of one frame within block.MaxSpan.
const maxSpread = block.MaxSpan / 4

type placedAt struct {
	e   *document.Entry
	pos store.Position
}

// add adds an entry, unless b has so many bytes or, if most is greater than 0, so many entries already. An empty batch takes any entry.
func (b *batch) add(e *document.Entry, pos store.Position, most int) bool {
	size := block.Size(e)
	if n := len(b.pos); n > 0 && (b.size+size > block.Target || n == most || max(pos, b.pos[0].pos)-min(pos, b.pos[0].pos) > maxSpread) {
		return false
	}
	b.size += size
	b.pos = append(b.pos, placedAt{e, pos})
	return true
}

// beaten notes writes, all but that of the version sent and those that the peer knows.
func (b *batch) beaten(writes []protocol.Beaten, sent document.Dot, told *document.Knowledge) {
	for _, w := range writes {
		if w.Dot != sent && !told.Covers(w.Dot) && len(b.f.Beaten) < protocol.MaxBeaten {
			b.f.Beaten = append(b.f.Beaten, w)
		}
	}
}

// finish puts the entries into the frame, in the order of their positions.
func (b *batch) finish() {
	if len(b.pos) == 0 {
		return
	}
	slices.SortFunc(b.pos, func(x, y placedAt) int { return cmp.Compare(x.pos, y.pos) })
	first := b.pos[0].pos
	b.f.First = uint64(first)
	b.f.Entries = make([]block.Placed, len(b.pos))
	for i, p := range b.pos {
		b.f.Entries[i] = block.Placed{Entry: *p.e, Offset: uint32(p.pos - first)}
	}
}
