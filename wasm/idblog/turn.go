//go:build js

package idblog

import (
	"syscall/js"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// To read the tail of the log before it writes costs a commit a way to the storage and back, half of its time. A handle whose own
// commit was the last one knows that there is no tail; what it cannot know is that its commit still is the last one. So each commit leaves a mark
// that says of the commit before it, by its tag, that it has a successor:
//
//   - A commit that follows one of the same handle adds its mark without having read. IndexedDB refuses to add a key that is there,
//     and undoes the whole transaction then: if anybody has written since, it comes to nothing, however long ago that was
//     and whatever has been compacted. It is made again in the other way.
//   - Any other commit reads the tail, and so the tag of the last record, and puts the mark there.
//
// Who uses the mark of a tag to find out is the handle alone that made the commit with that tag, and once. When it has gone on, the
// mark can go: a handle sweeps its own from time to time, and whoever comes after it the rest. What remains is one mark for each handle that was
// closed before it wrote again.
//
// The key of a mark is [[log], tag], which is above those of all records.

// turn is what a handle knows after a commit of its own. It is used for one commit at most.
type turn struct {
	next  store.Position // the one after the commit
	tag   float64        // of the commit
	marks int            // left since the last sweep, for the tags right before tag
}

// sweepAfter is how many marks a handle leaves before it sweeps them.
const sweepAfter = 64

func (h *handle) takeTurn() *turn {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.turn
	h.turn = nil
	return t
}

func (h *handle) giveTurn(t *turn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turn = t
}

// isTaken tells whether a transaction came to nothing because a key that it added was there.
func isTaken(err error) bool { return jsbridge.IsNamed(err, "ConstraintError") }

func (w words) mark(tag float64) js.Value { return w.api.arrayOf.Invoke(w.marks, tag) }

// goOn adds the mark of a handle that goes on after its own commit. It returns how many it has left since it last swept them.
func (t *txn) goOn(w words, after *turn) (marks int) {
	t.send(t.api.add, 0, w.mark(after.tag))
	if after.marks < sweepAfter-1 {
		return after.marks + 1
	}
	t.unmark(w, after.tag-sweepAfter, after.tag-1)
	return 1
}

// endTurns marks the last of the records, which the transaction has read. own, which may be nil, is of a turn that is not used any more.
func (t *txn) endTurns(w words, own *turn, last []key) {
	if own != nil {
		t.unmark(w, own.tag-sweepAfter, own.tag)
	}
	if n := len(last); n > 0 {
		tag := last[n-1].tag
		t.unmark(w, tag-sweepAfter, tag-1)
		t.send(t.api.put, 0, w.mark(tag))
	}
}

// unmark removes the marks of tags from first to last.
func (t *txn) unmark(w words, first, last float64) {
	t.send(t.api.remove, t.api.bound.Invoke(w.mark(first), w.mark(last)))
}
