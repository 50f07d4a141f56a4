package replication

import "github.com/shoaldb/shoal/shared/protocol"

// window is what is on the way in one lane.
type window struct {
	sizes []int  // of the frames that are
	size  int    // the sum
	sent  uint64 // frames ever
}

// full reports whether no more may be sent at present.
func (w *window) full() bool { return w.size > protocol.Window }

func (w *window) add(size int) {
	w.sizes = append(w.sizes, size)
	w.size += size
	w.sent++
}

// upTo notes that the first n frames have been stored. It returns false if that cannot be.
func (w *window) upTo(n uint64) bool {
	first := w.sent - uint64(len(w.sizes)) // frames that were acknowledged before
	if n > w.sent || n < first {
		return false
	}
	for range n - first {
		w.size -= w.sizes[0]
		w.sizes = w.sizes[1:]
	}
	return true
}
