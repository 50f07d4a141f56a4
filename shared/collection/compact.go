package collection

import (
	"context"
	"errors"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// Compaction puts few records in the place of many: it leaves out versions that were replaced and nobody needs any more, and
// packs what single writes left in small records. Positions stay as they are. Other handles of the log have in memory what they
// read before and do not notice.
//
// What records of state hold is first said anew, all of it, at the end of the log. The ones before are then of no use.

// When to compact.
const (
	compactRecords = 64        // in fewer records there is nothing to gain
	compactWaste   = 1 << 20   // bytes of replaced versions that may be there in any case
	compactRead    = 256 << 10 // bytes that one step looks at, so that it does not take long
)

// volume is how much a log holds, about.
type volume struct {
	records int
	bytes   int // of all records
	live    int // of current versions
}

// wasteful reports whether there is something to gain, and more than was left by the last compaction.
func (v volume) wasteful(last volume) bool {
	return v.records > compactRecords && v.records > 2*last.records && v.records > 4*(v.live/block.Target+1) ||
		v.bytes > 2*last.bytes && v.bytes > 3*v.live+compactWaste
}

// compaction is one that is under way.
type compaction struct {
	at     store.Position // records before it are done
	upTo   store.Position // the last record to look at ends before it
	before volume
	left   volume // of what is done
}

// compactStep goes on with the compaction, or begins one if it is worth it. It returns whether there is more to do.
func (c *Collection) compactStep() (more bool) {
	if c.compacting == nil {
		if c.mem.sealed || !c.mem.volume.wasteful(c.compacted) || !c.restate() {
			return false
		}
		c.compacting = &compaction{at: 1, upTo: c.mem.next - 1, before: c.mem.volume} // up to what restate has said
	}
	k := c.compacting
	err := c.compactRun(k)
	if err == nil && k.at < k.upTo {
		return true
	}
	if err != nil && c.ctx.Err() == nil {
		c.opts.Logger.Warn("compact log", "collection", c.name, "error", err)
	}
	c.compacting = nil
	c.mem.volume.records += k.left.records - k.before.records
	c.mem.volume.bytes += k.left.bytes - k.before.bytes
	c.compacted = c.mem.volume
	return false
}

// restate says all state anew at the end of the log.
func (c *Collection) restate() bool {
	changes, err := c.attempt([]*op{{ctx: c.ctx, run: func(t *tx) error {
		t.state = t.mem.fullState()
		return nil
	}}})
	c.announce(changes)
	if err != nil {
		c.opts.Logger.Warn("compact log", "collection", c.name, "error", err)
	}
	return err == nil
}

// fullState returns all that state records said so far.
func (m *memory) fullState() state {
	return state{
		full:     true,
		self:     m.self,
		known:    m.known,
		shared:   shared{set: true, open: m.shared.open, upTo: m.shared.upTo},
		times:    m.times.all(),
		told:     m.met.all(),
		repaired: m.repaired,
	}
}

// compactRun looks at the records from k.at on, and replaces a run of them if that gains something.
func (c *Collection) compactRun(k *compaction) error {
	records, err := c.log.Read(c.ctx, k.at, compactRead)
	if err != nil || len(records) == 0 || records[0].First >= k.upTo {
		k.at = k.upTo
		return err
	}
	run, keep, size := c.joinable(records, k.upTo)
	k.at = run[len(run)-1].Next()
	before := 0
	for _, r := range run {
		before += len(r.Data)
	}
	var data []byte
	if len(keep) > 0 {
		data = block.Encode(keep)
	}
	if len(run) == 1 && (size < 0 || len(data)*2 > before || before == 0) {
		data = run[0].Data // nothing to gain
	} else if err = c.log.Replace(context.WithoutCancel(c.ctx), run, data); errors.Is(err, store.ErrReplaced) {
		err = nil // another handle compacts as well
	}
	k.left.records++
	k.left.bytes += len(data)
	return err
}

// joinable returns the first records that make one together, the entries of them to keep, and about how large these are in a block; for a
// damaged record, that one alone and a size below 0.
func (c *Collection) joinable(records []store.Record, upTo store.Position) (run []store.Record, keep []block.Placed, size int) {
	first := records[0].First
	for _, r := range records {
		if r.First >= upTo {
			break
		}
		entries, err := c.kept(r)
		if err != nil && len(run) == 0 {
			return records[:1], nil, -1
		}
		more := 0
		for i := range entries {
			more += block.Size(&entries[i].Entry)
			entries[i].Offset += uint32(r.First - first)
		}
		if len(run) > 0 && (err != nil || size+more > block.Target || uint64(r.Next()-first) > block.MaxSpan) {
			break
		}
		run, keep, size = append(run, r), append(keep, entries...), size+more
	}
	return run, keep, size
}

// kept returns the entries of a record that are current, or kept for conflicts. Damaged records give an error, and stay where they are:
// state.repaired names them by position.
func (c *Collection) kept(r store.Record) ([]block.Placed, error) {
	if len(r.Data) == 0 {
		return nil, nil
	}
	if isState(r.Data) {
		_, err := decodeState(r.Data)
		return nil, err
	}
	entries, err := block.Decode(r.Data)
	if err != nil {
		return nil, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if c.mem.holds(&e.Entry) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// holds reports whether e is the current version of its document, or one that was replaced and is kept.
func (m *memory) holds(e *document.Entry) bool {
	for v := m.docs[e.ID]; v != nil; v = v.past {
		if v.Dot == e.Dot {
			return true
		}
	}
	return false
}
