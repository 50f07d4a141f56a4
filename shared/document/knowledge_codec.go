package document

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrKnowledge tells that bytes are no encoded Knowledge.
var ErrKnowledge = errors.New("document: malformed knowledge")

// AppendTo appends the encoding of k to b: the number of replicas, then for each, sorted by id, its 16 bytes, the counter up to
// which all is covered, the time of the last write covered (8 bytes, little endian; 0 if not known; all ones, after a counter of 0 and
// before no spans, if the id is forked), the number of spans beyond, and
// each span as the distance from the end of the one before (at least 2) and its length less one. Other numbers are
// unsigned varints.
func (k *Knowledge) AppendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(k.of)))
	for _, r := range k.Replicas() {
		c := k.of[r]
		b = append(b, r[:]...)
		b = binary.AppendUvarint(b, c.upTo)
		if c.forked {
			c.time = forkedTime
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(c.time))
		b = binary.AppendUvarint(b, uint64(len(c.beyond)))
		end := c.upTo
		for _, s := range c.beyond {
			b = binary.AppendUvarint(b, s.first-end)
			b = binary.AppendUvarint(b, s.last-s.first)
			end = s.last
		}
	}
	return b
}

// DecodeKnowledge reads an encoded Knowledge from the start of b and returns what follows it. It takes only what AppendTo can write,
// within MaxReplicas and MaxSpans; every other input gives an error that matches ErrKnowledge.
func DecodeKnowledge(b []byte) (k *Knowledge, rest []byte, err error) {
	d := decoder{b: b}
	n := d.count(MaxReplicas, 26)
	k = &Knowledge{}
	if n > 0 {
		k.of = make(map[ReplicaID]counters, n)
	}
	var last ReplicaID
	for i := range n {
		r := d.replica()
		if i > 0 && r.Compare(last) <= 0 {
			d.fail("replicas out of order")
		}
		c := d.counters(MaxSpans - k.spans)
		if d.err != nil {
			break
		}
		k.of[r], last = c, r
		k.spans += len(c.beyond)
		if c.forked {
			k.forks++
		}
	}
	if d.err != nil {
		return nil, nil, d.err
	}
	return k, d.b, nil
}

const forkedTime = ^Time(0)

type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrKnowledge, what)
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 || v > MaxCounter {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(limit, size int) int {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.b)/size) {
		d.fail("more than its bytes or the limit allow")
		return 0
	}
	return int(n)
}

func (d *decoder) replica() (r ReplicaID) {
	if len(d.b) < len(r) {
		d.fail("cut off")
		return r
	}
	d.b = d.b[copy(r[:], d.b):]
	return r
}

func (d *decoder) time() Time {
	if len(d.b) < 8 {
		d.fail("cut off")
		return 0
	}
	t := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return Time(t)
}

func (d *decoder) counters(limit int) counters {
	c := counters{upTo: d.uvarint(), time: d.time()}
	n := d.count(limit, 2)
	if n > 0 {
		c.beyond = make([]span, n)
	}
	end := c.upTo
	for i := range c.beyond {
		gap, length := d.uvarint(), d.uvarint()
		first := end + gap
		if gap < 2 || first+length > MaxCounter {
			d.fail("bad span")
			return c
		}
		c.beyond[i] = span{first, first + length}
		end = first + length
	}
	if c.time == forkedTime {
		c.forked, c.time = true, 0
	}
	if c.forked != (c.upTo == 0 && n == 0) {
		d.fail("replica without writes, or forked and with some")
	}
	return c
}

func (c counters) describe(b *strings.Builder, r ReplicaID) {
	if c.forked {
		fmt.Fprintf(b, "%x:forked", r[:3])
		return
	}
	fmt.Fprintf(b, "%x:%d", r[:3], c.upTo)
	for _, s := range c.beyond {
		fmt.Fprintf(b, ",%d-%d", s.first, s.last)
	}
}
