package rxdb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/shoaldb/shoal/shared/store"
)

// A record of a Meta is the four bytes of metaMagic, of which the last is the version, a CRC-32C of all that follows, and fields: a tag, a length,
// and so many bytes.
const (
	metaMagic  = "SRX\x01"
	headerSize = len(metaMagic) + 4

	tagFull   = 1 // forget what records before this said
	tagToken  = 2
	tagEpoch  = 3
	tagForget = 4 // a client
	tagUpdate = 5 // of a client
	tagBase   = 6
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errRecord  = errors.New("rxdb: malformed record")
)

func newRecord() []byte { return make([]byte, headerSize, 64) }

// seal completes a record.
func seal(b []byte) []byte {
	copy(b, metaMagic)
	binary.LittleEndian.PutUint32(b[len(metaMagic):], crc32.Checksum(b[headerSize:], castagnoli))
	return b
}

func appendField(b []byte, tag uint64, payload []byte) []byte {
	b = binary.AppendUvarint(b, tag)
	return appendBytes(b, payload)
}

func appendBytes[T ~string | ~[]byte](b []byte, p T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

func appendFull(b []byte) []byte                { return appendField(b, tagFull, nil) }
func appendToken(b []byte, token string) []byte { return appendField(b, tagToken, []byte(token)) }
func appendForget(b []byte, key string) []byte  { return appendField(b, tagForget, []byte(key)) }

func appendEpoch(b []byte, e epoch) []byte {
	return appendField(b, tagEpoch, append(binary.AppendUvarint(nil, uint64(e.start)), e.id...))
}

func appendUpdate(b []byte, key string, u *update) []byte {
	p := appendBytes(nil, key)
	p = appendBytes(p, u.down)
	p = binary.AppendUvarint(p, uint64(u.up))
	for _, a := range u.assumed {
		p = append(appendBytes(p, a.id), a.state[:]...)
	}
	return appendField(b, tagUpdate, p)
}

func appendBase(b []byte, k base) []byte {
	return appendField(b, tagBase, append(append(appendBytes(nil, k.id), k.state[:]...), k.body...))
}

// snapshot is a record that tells all.
func (s *metaState) snapshot() []byte {
	b := appendToken(appendFull(newRecord()), s.token)
	for _, e := range s.epochs {
		b = appendEpoch(b, e)
	}
	for _, key := range s.order {
		c := s.clients[key]
		u := update{down: c.down, up: c.up, assumed: make([]assumption, 0, len(c.assumed))}
		for id, state := range c.assumed {
			u.assumed = append(u.assumed, assumption{id, state})
		}
		b = appendUpdate(b, key, &u)
	}
	for _, bases := range s.bases {
		for _, k := range bases {
			b = appendBase(b, k)
		}
	}
	return b
}

// apply takes in a record.
func (s *metaState) apply(data []byte) error {
	if len(data) < headerSize || string(data[:len(metaMagic)]) != metaMagic {
		return fmt.Errorf("%w: another version", errRecord)
	}
	if crc32.Checksum(data[headerSize:], castagnoli) != binary.LittleEndian.Uint32(data[len(metaMagic):]) {
		return fmt.Errorf("%w: checksum differs", errRecord)
	}
	r := reader{b: data[headerSize:]}
	for len(r.b) > 0 && r.err == nil {
		tag := r.uvarint()
		if err := s.field(tag, reader{b: r.bytes()}); err != nil {
			return err
		}
	}
	return r.err
}

func (s *metaState) field(tag uint64, r reader) error {
	switch tag {
	case tagFull:
		s.init()
	case tagToken:
		s.token = string(r.b)
	case tagEpoch:
		start := store.Position(r.uvarint())
		s.epochs = append(s.epochs, epoch{string(r.b), start})
		if len(s.epochs) > maxEpochs {
			s.epochs = slices.Delete(s.epochs, 0, 1)
		}
	case tagForget:
		key := string(r.b)
		if c := s.clients[key]; c != nil {
			delete(s.clients, key)
			for id := range c.assumed {
				s.drop(id)
			}
		}
		s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == key })
	case tagUpdate:
		s.update(&r)
	case tagBase:
		k := base{id: string(r.bytes())}
		copy(k.state[:], r.take(len(k.state)))
		k.body = slices.Clone(r.b)
		if r.err == nil {
			s.keep(k)
		}
	default:
		return fmt.Errorf("%w: unknown field %d", errRecord, tag)
	}
	return r.err
}

func (s *metaState) update(r *reader) {
	key, down, up := string(r.bytes()), r.bytes(), store.Position(r.uvarint())
	c := s.clients[key]
	if c == nil {
		c = newClient()
		s.clients[key] = c
	}
	if n := len(s.order); n == 0 || s.order[n-1] != key {
		s.order = append(slices.DeleteFunc(s.order, func(o string) bool { return o == key }), key)
	}
	if len(down) > 0 {
		c.down = json.RawMessage(slices.Clone(down))
	}
	if up > 0 {
		c.up = up
	}
	for len(r.b) > 0 && r.err == nil {
		id := string(r.bytes())
		var d digest
		copy(d[:], r.take(len(d)))
		c.assumed[id] = d
		s.drop(id)
	}
}

// reader reads what the functions above append.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errRecord
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errRecord
		return nil
	}
	return r.take(int(n))
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.err = nil, errRecord
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}
