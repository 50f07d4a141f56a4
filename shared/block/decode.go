package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf8"

	"github.com/shoaldb/shoal/shared/document"
)

// Decode unpacks a block that is all of data. The bodies of the entries are parts of data, which must not change afterwards. Input
// that Encode could not have made gives an error that matches ErrMalformed, and never costs more memory than some times its own
// length. Bodies are not looked into.
func Decode(data []byte) ([]Placed, error) {
	if len(data) < headerSize || string(data[:len(Magic)]) != Magic {
		return nil, fmt.Errorf("%w: does not begin as a block of this version", ErrMalformed)
	}
	if crc32.Checksum(data[headerSize:], castagnoli) != binary.LittleEndian.Uint32(data[len(Magic):]) {
		return nil, fmt.Errorf("%w: checksum differs", ErrMalformed)
	}
	r := reader{b: data[headerSize:]}
	r.replicas = make([]document.ReplicaID, r.count(16))
	for i := range r.replicas {
		r.replicas[i] = document.ReplicaID(r.take(16))
	}
	entries := make([]Placed, r.count(minEntry))
	next := uint64(0)
	for i := 0; i < len(entries) && r.err == nil; i++ {
		next = r.entry(&entries[i], next)
	}
	if len(r.b) > 0 {
		r.fail("more bytes than entries")
	}
	if r.err != nil {
		return nil, r.err
	}
	return entries, nil
}

type reader struct {
	b        []byte
	replicas []document.ReplicaID
	time     document.Time
	err      error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	r.b = nil
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things of at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail("count is greater than the bytes allow")
		return 0
	}
	return int(n)
}

// take returns the next n bytes, or n zeroes after a fault.
func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.fail("cut off")
		return make([]byte, min(n, 16))
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) bytes(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)) {
		r.fail("length is greater than the bytes or the bound allow")
		return nil
	}
	return r.take(int(n))
}

func (r *reader) dot() (d document.Dot) {
	i, n := r.uvarint(), r.uvarint()
	if i >= uint64(len(r.replicas)) || n == 0 || n > document.MaxCounter {
		r.fail("bad dot")
		return d
	}
	return document.Dot{Replica: r.replicas[i], Counter: n}
}

// entry reads into e an entry whose position is at least next, and returns the position after it.
func (r *reader) entry(e *Placed, next uint64) uint64 {
	flags := r.uvarint()
	if flags >= flagsEnd {
		r.fail("unknown flag")
	}
	if flags&flagSkip != 0 {
		skip := r.uvarint()
		if skip == 0 || skip > MaxSpan {
			r.fail("bad position")
		}
		next += skip
	}
	if next >= MaxSpan {
		r.fail("stretches over too many positions")
	}
	e.Offset = uint32(next)
	e.ID = string(r.bytes(MaxID))
	if !utf8.ValidString(e.ID) {
		r.fail("primary key is not UTF-8")
	}
	e.Dot = r.dot()
	if flags&flagBase != 0 {
		e.Base = r.dot()
	}
	r.time += document.Time(r.varint())
	e.Time = r.time
	if flags&flagMerges != 0 {
		if e.Merges = r.take(1)[0]; e.Merges == 0 {
			r.fail("bad merges")
		}
	}
	e.Deleted = flags&flagDeleted != 0
	e.Body = r.bytes(MaxBody)
	if len(e.Body) == 0 && !e.Deleted {
		r.fail("document without a body")
	}
	return next + 1
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}
