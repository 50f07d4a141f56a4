package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/document"
)

// Version is the version of the frames that this program speaks. A Hello names the versions that its sender speaks; the
// highest that both do is used.
const Version = 1

// Bounds of what a frame may hold.
const (
	// MaxFrame is the length of the longest frame in bytes: one document of the largest size and what goes with it.
	MaxFrame = block.MaxBody + 4<<20
	// MaxCollectionName is the length of the longest name of a collection in bytes.
	MaxCollectionName = 255
	// MaxChannels is how many collections may be open on one connection at a time.
	MaxChannels = 1024
	// MaxBeaten is how many beaten writes one Changes may name.
	MaxBeaten = 4096
	// MaxFaultText is the length of the longest text of a Close in bytes.
	MaxFaultText = 1024
)

// ErrFrame tells that bytes are no frame.
var ErrFrame = errors.New("protocol: malformed frame")

// Frame is one message between two replicas: one of Share, Confirm, Hello, Open, Pull, Changes, Close.
type Frame interface {
	// AppendTo appends the encoding to b.
	AppendTo(b []byte) []byte
	decode(r *frameReader)
}

// Channel numbers a collection on a connection. Each side gives the numbers of what it opens and puts its own number into what
// it sends.
type Channel uint32

// The frame types.
const (
	typeHello   = 1
	typeOpen    = 2
	typePull    = 3
	typeChanges = 4
	typeClose   = 5
	typeShare   = 6
	typeConfirm = 7
)

// Share is the first frame of a side that wants the room secret to be proved: its share of a run of CPace. Until the other side
// has proved that it knows the secret, Share, Confirm and Close are all that it sends, and all that it takes.
type Share struct {
	Point [32]byte
}

// Confirm proves that its sender knows the secret and has the same connection: the tag that goes with its share.
type Confirm struct {
	Tag [64]byte
}

// Hello is the first frame of each side, or the first after the proof of the secret.
type Hello struct {
	MinVersion, MaxVersion uint32
	Nonce                  [16]byte // random, for the proofs in Open
}

// Open offers a collection for replication. When both sides have opened the same one of the same topic, a session begins.
type Open struct {
	Channel       Channel
	Proof         [32]byte // OpenProof of topic and collection with the receiver's nonce
	Collection    string
	Replica       document.ReplicaID
	SchemaVersion uint32
	SchemaHash    [32]byte
	Pulls, Pushes bool // which directions the sender takes part in
	Known         *document.Knowledge
}

// Pull asks for a walk of the other side's log that leaves out what is known.
type Pull struct {
	Channel  Channel
	Known    *document.Knowledge
	MaxBatch uint32 // entries in one Changes at most; 0 for no bound
}

// Claim says what the receiver of a Changes may add to its knowledge once it has taken it.
type Claim uint8

// The claims.
const (
	ClaimNone Claim = iota
	ClaimOwn        // the sender's own writes, as far as its knowledge on this lane goes
	ClaimAll        // all of the sender's knowledge on this lane
)

// Beaten is a write that another has beaten.
type Beaten struct {
	Dot  document.Dot
	Time document.Time
}

// Changes brings entries, knowledge, or both.
type Changes struct {
	Channel   Channel
	Claim     Claim
	End       bool                // the walk has reached the end of the log
	Seen      *document.Knowledge // added to what the sender told on this lane before, it is what it knew when it read Entries
	First     uint64              // in the sender's log, of the first entry
	Remaining uint64              // entries still to come in this walk, about
	Beaten    []Beaten            // writes that these entries have beaten, which were never sent
	Entries   []block.Placed
}

// Close ends a channel, or, with channel 0, the connection.
type Close struct {
	Channel Channel
	Fault   Fault // "" for no fault
	Text    string
}

// Decode reads the frame that is all of b. Entries refer to b, which must not change afterwards. What no AppendTo can have written gives
// an error that matches ErrFrame, and costs no more memory than some times len(b).
func Decode(b []byte) (Frame, error) {
	if len(b) == 0 || len(b) > MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes", ErrFrame, len(b))
	}
	var f Frame
	switch b[0] {
	case typeHello:
		f = &Hello{}
	case typeOpen:
		f = &Open{}
	case typePull:
		f = &Pull{}
	case typeChanges:
		f = &Changes{}
	case typeClose:
		f = &Close{}
	case typeShare:
		f = &Share{}
	case typeConfirm:
		f = &Confirm{}
	default:
		return nil, fmt.Errorf("%w: unknown type %d", ErrFrame, b[0])
	}
	r := frameReader{b: b[1:]}
	f.decode(&r)
	if len(r.b) > 0 {
		r.fail("more bytes than fields")
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}

// AppendTo implements Frame.
func (f *Share) AppendTo(b []byte) []byte { return append(append(b, typeShare), f.Point[:]...) }

func (f *Share) decode(r *frameReader) { copy(f.Point[:], r.take(len(f.Point))) }

// AppendTo implements Frame.
func (f *Confirm) AppendTo(b []byte) []byte { return append(append(b, typeConfirm), f.Tag[:]...) }

func (f *Confirm) decode(r *frameReader) { copy(f.Tag[:], r.take(len(f.Tag))) }

// AppendTo implements Frame.
func (f *Hello) AppendTo(b []byte) []byte {
	b = append(b, typeHello)
	b = binary.AppendUvarint(b, uint64(f.MinVersion))
	b = binary.AppendUvarint(b, uint64(f.MaxVersion))
	return append(b, f.Nonce[:]...)
}

func (f *Hello) decode(r *frameReader) {
	f.MinVersion = r.uint32()
	f.MaxVersion = r.uint32()
	copy(f.Nonce[:], r.take(len(f.Nonce)))
	if f.MinVersion > f.MaxVersion {
		r.fail("versions out of order")
	}
}

// AppendTo implements Frame.
func (f *Open) AppendTo(b []byte) []byte {
	b = append(b, typeOpen)
	b = binary.AppendUvarint(b, uint64(f.Channel))
	b = append(b, f.Proof[:]...)
	b = appendString(b, f.Collection)
	b = append(b, f.Replica[:]...)
	b = binary.AppendUvarint(b, uint64(f.SchemaVersion))
	b = append(b, f.SchemaHash[:]...)
	b = append(b, flags(f.Pulls, f.Pushes))
	return f.Known.AppendTo(b)
}

func (f *Open) decode(r *frameReader) {
	f.Channel = r.channel()
	copy(f.Proof[:], r.take(len(f.Proof)))
	f.Collection = r.string(MaxCollectionName)
	copy(f.Replica[:], r.take(len(f.Replica)))
	f.SchemaVersion = r.uint32()
	copy(f.SchemaHash[:], r.take(len(f.SchemaHash)))
	f.Pulls, f.Pushes = r.flags2()
	f.Known = r.knowledge()
}

// AppendTo implements Frame.
func (f *Pull) AppendTo(b []byte) []byte {
	b = append(b, typePull)
	b = binary.AppendUvarint(b, uint64(f.Channel))
	b = binary.AppendUvarint(b, uint64(f.MaxBatch))
	return f.Known.AppendTo(b)
}

func (f *Pull) decode(r *frameReader) {
	f.Channel = r.channel()
	f.MaxBatch = r.uint32()
	f.Known = r.knowledge()
}

// AppendTo implements Frame.
func (f *Changes) AppendTo(b []byte) []byte {
	b = append(b, typeChanges)
	b = binary.AppendUvarint(b, uint64(f.Channel))
	b = append(b, byte(f.Claim)<<1|flags(f.End, false))
	b = binary.AppendUvarint(b, f.Remaining)
	b = f.Seen.AppendTo(b)
	b = binary.AppendUvarint(b, uint64(len(f.Beaten)))
	for _, w := range f.Beaten {
		b = append(b, w.Dot.Replica[:]...)
		b = binary.AppendUvarint(b, w.Dot.Counter)
		b = binary.LittleEndian.AppendUint64(b, uint64(w.Time))
	}
	if len(f.Entries) > 0 {
		b = binary.AppendUvarint(b, f.First)
		b = append(b, block.Encode(f.Entries)...)
	}
	return b
}

func (f *Changes) decode(r *frameReader) {
	f.Channel = r.channel()
	v := r.take(1)[0]
	f.End, f.Claim = v&1 != 0, Claim(v>>1)
	if f.Claim > ClaimAll {
		r.fail("unknown claim")
	}
	f.Remaining = r.uvarint()
	f.Seen = r.knowledge()
	f.Beaten = make([]Beaten, r.count(MaxBeaten, 25))
	for i := range f.Beaten {
		f.Beaten[i] = Beaten{r.dot(), document.Time(binary.LittleEndian.Uint64(r.take(8)))}
	}
	if len(r.b) > 0 {
		f.First = r.position()
		f.Entries = r.block()
	}
}

// AppendTo implements Frame.
func (f *Close) AppendTo(b []byte) []byte {
	b = append(b, typeClose)
	b = binary.AppendUvarint(b, uint64(f.Channel))
	b = appendString(b, string(f.Fault))
	return appendString(b, f.Text)
}

func (f *Close) decode(r *frameReader) {
	f.Channel = Channel(r.uint32())
	f.Fault = Fault(r.string(64))
	f.Text = r.string(MaxFaultText)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func flags(a, b bool) (f byte) {
	if a {
		f |= 1
	}
	if b {
		f |= 2
	}
	return f
}
