// Package block packs entries into bytes: the same bytes on disk and on the wire.
//
// A block is, in this order: the four bytes of [Magic], of which the last is the version; a CRC-32C (RFC 3720) of all that follows,
// little endian; the number of replicas and the 16 bytes of each; the number of entries; the entries. Numbers are unsigned varints.
// Of an entry there are: flags; the number of positions left out before it, if flagSkip; the primary key and its length; the
// dot and, if flagBase, the base dot, each as the number of its replica in the table and the counter; the time, as the zigzag varint
// of the difference to the entry before; the merges, if flagMerges; the body and its length.
package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/shoaldb/shoal/shared/document"
)

// Magic begins every block.
const Magic = "SHB\x01"

// Bounds of a block, for whoever writes one and whoever reads one.
const (
	// MaxID is the length in bytes of the longest primary key.
	MaxID = 1024
	// MaxBody is the length in bytes of the longest body.
	MaxBody = 16 << 20
	// MaxSpan is how many positions a block may stretch over.
	MaxSpan = 1 << 31
	// Target is the size in bytes at which a writer begins the next block: large enough that a block costs the store little
	// per entry, small enough to pass one message of a data channel.
	Target = 60 << 10
)

// ErrMalformed tells that bytes are no block, or a damaged one.
var ErrMalformed = errors.New("block: malformed")

const (
	flagDeleted = 1 << iota
	flagBase
	flagMerges
	flagSkip
	flagsEnd
)

const headerSize = len(Magic) + 4

// minEntry is the least size of an encoded entry.
const minEntry = 6

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Placed is an entry at its place in a log.
type Placed struct {
	document.Entry
	Offset uint32 // position in the log, counted from the first of the block
}

// Span returns how many positions a block of entries stretches over: at least one.
func Span(entries []Placed) uint32 {
	if len(entries) == 0 {
		return 1
	}
	return entries[len(entries)-1].Offset + 1
}

// Size returns about how many bytes e takes in a block, never less.
func Size(e *document.Entry) int { return len(e.ID) + len(e.Body) + 64 }

// Encode packs entries, whose offsets must ascend. It panics if they do not or if an entry breaks a bound: callers check what
// comes from outside before.
func Encode(entries []Placed) []byte {
	size := headerSize + 16
	for i := range entries {
		size += Size(&entries[i].Entry)
	}
	w := writer{b: append(make([]byte, headerSize, size), 0)[:headerSize], index: make(map[document.ReplicaID]uint64)}
	w.replicas(entries)
	w.b = binary.AppendUvarint(w.b, uint64(len(entries)))
	next := uint32(0)
	for i := range entries {
		e := &entries[i]
		if e.Offset < next || len(e.ID) > MaxID || len(e.Body) > MaxBody || e.Dot.IsZero() {
			panic(fmt.Sprintf("block: entry %d (id of %d bytes, body of %d bytes, dot %v, offset %d after %d) can't be packed",
				i, len(e.ID), len(e.Body), e.Dot, e.Offset, next))
		}
		w.entry(&e.Entry, e.Offset-next)
		next = e.Offset + 1
	}
	copy(w.b, Magic)
	binary.LittleEndian.PutUint32(w.b[len(Magic):], crc32.Checksum(w.b[headerSize:], castagnoli))
	return w.b
}

type writer struct {
	b     []byte
	index map[document.ReplicaID]uint64
	time  document.Time
}

func (w *writer) replicas(entries []Placed) {
	var table []document.ReplicaID
	note := func(d document.Dot) {
		if _, ok := w.index[d.Replica]; !ok && !d.IsZero() {
			w.index[d.Replica] = uint64(len(table))
			table = append(table, d.Replica)
		}
	}
	for i := range entries {
		note(entries[i].Dot)
		note(entries[i].Base)
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(table)))
	for _, r := range table {
		w.b = append(w.b, r[:]...)
	}
}

func (w *writer) entry(e *document.Entry, skip uint32) {
	var flags uint64
	set := func(on bool, flag uint64) {
		if on {
			flags |= flag
		}
	}
	set(e.Deleted, flagDeleted)
	set(!e.Base.IsZero(), flagBase)
	set(e.Merges > 0, flagMerges)
	set(skip > 0, flagSkip)
	w.b = binary.AppendUvarint(w.b, flags)
	if skip > 0 {
		w.b = binary.AppendUvarint(w.b, uint64(skip))
	}
	w.bytes(e.ID)
	w.dot(e.Dot)
	if !e.Base.IsZero() {
		w.dot(e.Base)
	}
	w.b = binary.AppendVarint(w.b, int64(e.Time-w.time))
	w.time = e.Time
	if e.Merges > 0 {
		w.b = append(w.b, e.Merges)
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(e.Body)))
	w.b = append(w.b, e.Body...)
}

func (w *writer) bytes(s string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) dot(d document.Dot) {
	w.b = binary.AppendUvarint(w.b, w.index[d.Replica])
	w.b = binary.AppendUvarint(w.b, d.Counter)
}
