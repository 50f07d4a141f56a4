package replication

import (
	"context"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store"
)

// walk is the sending of a log, from a position to the end.
type walk struct {
	pos   store.Position
	most  int    // entries in one frame; 0 for as many as fit
	total uint64 // entries to be sent, about
	sent  uint64
}

// walkStep bounds how many entries one call looks at, so that none takes long.
const walkStep = 5000

// begin starts the walk that a peer asked for.
func (snd *sender) begin(v collection.View, p *protocol.Pull) {
	w := &walk{most: int(p.MaxBatch)}
	if b := snd.s.cfg.Push.BatchSize; b > 0 && (w.most == 0 || b < w.most) {
		w.most = b
	}
	w.total = min(snd.told.Missing(v.Known()), uint64(v.Len()))
	snd.walk, snd.walked = w, false
}

// nextBulk returns the next frame of the walk, if there is one and it can go on.
func (s *Session) nextBulk(v collection.View) protocol.Frame {
	if s.send.walk == nil {
		return nil
	}
	f := s.send.step(v)
	if f == nil {
		s.cfg.Wake() // the rest of the log in a later call
		return nil
	}
	return f
}

// step goes on with the walk. It returns nil if it came across nothing to send and is not at the end either.
func (snd *sender) step(v collection.View) *protocol.Changes {
	w := snd.walk
	f := &protocol.Changes{Channel: snd.s.cfg.Channel}
	b := batch{f: f}
	looked, full := 0, false
	for p := range v.Since(w.pos) {
		if looked++; looked > walkStep {
			full = true
			break
		}
		if !p.Beaten && !snd.told.Covers(p.Dot) {
			if !b.add(p.Entry, p.Position, w.most) {
				full = true
				break
			}
			v.Sent(p.ID)
			if held := snd.pending[p.ID]; held != nil {
				b.beaten(held.writes, p.Dot, snd.told)
			}
		}
		if !p.Beaten {
			snd.done(p.ID)
		}
		w.pos = p.Position + 1
	}
	if full && len(b.pos) == 0 {
		return nil
	}
	b.finish()
	w.sent += uint64(len(b.pos))
	f.Seen = snd.tellOn(Bulk, v.Known())
	if w.total > w.sent {
		f.Remaining = w.total - w.sent
	}
	if !full {
		snd.end(f, v)
	}
	return f
}

// end makes f the last frame of the walk: all that this replica holds has been sent on the bulk lane now, or is known to the
// peer.
func (snd *sender) end(f *protocol.Changes, v collection.View) {
	f.End, f.Remaining = true, 0
	if snd.s.cfg.Push.Modifier == nil {
		f.Claim = protocol.ClaimAll
	}
	snd.walk, snd.walked = nil, true
	clear(snd.pending)
	snd.ownHeld = 0
	snd.urgent, snd.later = nil, nil
	snd.cursor = v.Tail()
	snd.ownSeen, snd.ownGap = v.Known().Last(v.Replica()), false
	snd.s.cfg.Wake()
}

// modifyPlaced lets m change or stop the entries of f.
func modifyPlaced(ctx context.Context, m Modifier, f *protocol.Changes) error {
	kept := f.Entries[:0]
	for _, p := range f.Entries {
		e, keep, err := modify(ctx, m, &p.Entry)
		if err != nil {
			return err
		}
		if keep {
			kept = append(kept, block.Placed{Entry: e, Offset: p.Offset})
		}
	}
	f.Entries, f.Beaten = kept, nil // which of them beat what is not known here
	return nil
}

func modify(ctx context.Context, m Modifier, e *document.Entry) (document.Entry, bool, error) {
	doc, keep, err := m(ctx, collection.Document{ID: e.ID, Version: e.Dot, Deleted: e.Deleted, Body: e.Body})
	if err != nil || !keep {
		return document.Entry{}, false, err
	}
	out := *e
	out.Deleted, out.Body = doc.Deleted, doc.Body
	return out, true, nil
}
