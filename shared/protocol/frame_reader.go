package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
)

// frameReader reads the fields of a frame. After a fault everything that it returns is zero.
type frameReader struct {
	b   []byte
	err error
}

func (r *frameReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrFrame, what)
	}
	r.b = nil
}

func (r *frameReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *frameReader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail("number too great")
		return 0
	}
	return uint32(v)
}

// maxPosition is the last position of a log; see package store.
const maxPosition = 1<<53 - 1

func (r *frameReader) position() uint64 {
	v := r.uvarint()
	if v > maxPosition {
		r.fail("position too great")
		return 0
	}
	return v
}

func (r *frameReader) channel() Channel {
	c := Channel(r.uint32())
	if c == 0 {
		r.fail("channel 0")
	}
	return c
}

// count reads a number of things, at most limit, of at least size bytes each.
func (r *frameReader) count(limit, size int) int {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)/size) {
		r.fail("more than its bytes or the limit allow")
		return 0
	}
	return int(n)
}

// take returns the next n bytes, n being small, or zeroes.
func (r *frameReader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("cut off")
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *frameReader) string(limit int) string {
	s := string(r.take(r.count(limit, 1)))
	if !utf8.ValidString(s) {
		r.fail("text is not UTF-8")
	}
	return s
}

func (r *frameReader) flags2() (a, b bool) {
	v := r.take(1)[0]
	if v > 3 {
		r.fail("unknown flag")
	}
	return v&1 != 0, v&2 != 0
}

func (r *frameReader) dot() (d document.Dot) {
	copy(d.Replica[:], r.take(len(d.Replica)))
	d.Counter = r.uvarint()
	if d.Counter == 0 || d.Counter > document.MaxCounter {
		r.fail("bad dot")
	}
	return d
}

func (r *frameReader) knowledge() *document.Knowledge {
	k, rest, err := document.DecodeKnowledge(r.b)
	if err != nil {
		r.wrap(err)
		return &document.Knowledge{}
	}
	r.b = rest
	return k
}

func (r *frameReader) block() []block.Placed {
	entries, err := block.Decode(r.b)
	if err == nil && len(entries) == 0 {
		err = errors.New("empty block")
	}
	if err != nil {
		r.wrap(err)
	}
	r.b = nil
	return entries
}

func (r *frameReader) wrap(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrFrame, err)
	}
	r.b = nil
}
