package collection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
)

// state is what a log holds besides entries, or a change of it: fields that are zero leave what was before.
//
// A state record is the four bytes of stateMagic, of which the last is the version, a CRC-32C of all that follows, and fields: a tag, a
// length and so many bytes. A field with an unknown tag is an error, for it comes from a later version.
type state struct {
	full     bool                // all that there is: it takes the place of everything before it
	self     document.ReplicaID  // who this replica is; a later one takes the place of an earlier one
	known    *document.Knowledge // covered besides what the entries tell
	shared   shared              // which own entries others may know of
	times    []ownTime           // of own writes, only with full
	repaired []store.Position    // damaged records that were dealt with
	sealed   bool                // nothing may follow; see Seal
	told     []acquaintance      // what others said to know when they were last met
}

// shared tells which own entries may have been put into a frame to anybody.
type shared struct {
	set  bool           // the field is there
	open bool           // a process has a session, and knows itself what it sends; of what others know nothing
	upTo store.Position // those at positions before this one
}

const (
	stateMagic = "SHS\x01"

	tagSelf     = 1
	tagKnown    = 2
	tagShared   = 4
	tagTimes    = 5
	tagTold     = 6
	tagFull     = 7
	tagRepaired = 8
	tagSealed   = 9
	headerSize  = len(stateMagic) + 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errState   = errors.New("malformed state record")
)

func (s *state) isZero() bool {
	return !s.full && !s.sealed && s.self.IsZero() && s.known == nil && !s.shared.set && len(s.times) == 0 && len(s.told) == 0 && len(s.repaired) == 0
}

func oneIf(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func encodeState(s state) []byte {
	b := make([]byte, headerSize, 64)
	field := func(tag uint64, payload []byte) {
		b = binary.AppendUvarint(b, tag)
		b = binary.AppendUvarint(b, uint64(len(payload)))
		b = append(b, payload...)
	}
	if s.full {
		field(tagFull, nil)
	}
	if !s.self.IsZero() {
		field(tagSelf, s.self[:])
	}
	if s.known != nil {
		field(tagKnown, s.known.AppendTo(nil))
	}
	if s.shared.set {
		field(tagShared, binary.AppendUvarint([]byte{oneIf(s.shared.open)}, uint64(s.shared.upTo)))
	}
	if len(s.times) > 0 {
		field(tagTimes, appendTimes(nil, s.times))
	}
	for _, p := range s.repaired {
		field(tagRepaired, binary.AppendUvarint(nil, uint64(p)))
	}
	if s.sealed {
		field(tagSealed, nil)
	}
	for _, a := range s.told {
		field(tagTold, a.told.AppendTo(binary.AppendUvarint(a.replica[:], uint64(a.upTo))))
	}
	copy(b, stateMagic)
	binary.LittleEndian.PutUint32(b[len(stateMagic):], crc32.Checksum(b[headerSize:], castagnoli))
	return b
}

// isState tells state records, of any version, from blocks.
func isState(data []byte) bool { return hasMagic(data, stateMagic) }

func hasMagic(data []byte, magic string) bool {
	return len(data) >= headerSize && string(data[:len(magic)-1]) == magic[:len(magic)-1]
}

// errLater tells that a record was written by a later version of this program.
var errLater = errors.New("log was written by a later version")

// checkVersion returns errLater if data is of a later version, and whole: the checksum stays where it is in all of them.
func checkVersion(data []byte) error {
	for _, magic := range []string{stateMagic, block.Magic} {
		if n := len(magic) - 1; hasMagic(data, magic) && data[n] > magic[n] && checksumHolds(data) {
			return errLater
		}
	}
	return nil
}

func checksumHolds(data []byte) bool {
	return crc32.Checksum(data[headerSize:], castagnoli) == binary.LittleEndian.Uint32(data[len(stateMagic):])
}

func decodeState(data []byte) (state, error) {
	var s state
	if len(data) < headerSize || string(data[:len(stateMagic)]) != stateMagic {
		return s, fmt.Errorf("%w: another version", errState)
	}
	b := data[headerSize:]
	if !checksumHolds(data) {
		return s, fmt.Errorf("%w: checksum differs", errState)
	}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		size, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 || size > uint64(len(b)-n-m) {
			return s, errState
		}
		b = b[n+m:]
		if err := s.field(tag, b[:size:size]); err != nil {
			return s, err
		}
		b = b[size:]
	}
	return s, nil
}

func (s *state) field(tag uint64, p []byte) (err error) {
	f := stateField{p, nil}
	switch tag {
	case tagFull:
		s.full = true
	case tagSelf:
		s.self = f.replica()
	case tagKnown:
		s.known, f.b, err = document.DecodeKnowledge(p)
		if err != nil {
			return fmt.Errorf("%w: %w", errState, err)
		}
	case tagShared:
		s.shared = shared{set: true, open: f.uvarint() == 1, upTo: store.Position(f.uvarint())}
	case tagSealed:
		s.sealed = true
	case tagRepaired:
		s.repaired = append(s.repaired, store.Position(f.uvarint()))
	case tagTold:
		a := acquaintance{replica: f.replica(), upTo: store.Position(f.uvarint())}
		if a.told, f.b, err = document.DecodeKnowledge(f.b); err != nil {
			return fmt.Errorf("%w: %w", errState, err)
		}
		s.told = append(s.told, a)
	case tagTimes:
		s.times = f.times()
	default:
		return fmt.Errorf("%w: unknown field %d", errState, tag)
	}
	if f.err != nil || len(f.b) > 0 {
		return fmt.Errorf("%w: field %d of %d bytes", errState, tag, len(p))
	}
	return nil
}

// stateField reads the payload of a field.
type stateField struct {
	b   []byte
	err error
}

func (f *stateField) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.b, f.err = nil, errState
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *stateField) replica() (r document.ReplicaID) {
	if len(f.b) < len(r) {
		f.b, f.err = nil, errState
		return r
	}
	f.b = f.b[copy(r[:], f.b):]
	return r
}
