package rtc

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/x25519"
	"golang.org/x/crypto/chacha20poly1305"
)

// A relayed connection consists of frames that the signaling server passes between two peers. Whoever does so may lose, repeat,
// reorder, delay, change and make up frames, and reads none that matters. Each frame has a byte for its kind and the id of the
// connection, 16 bytes that the initiator made, then
//
//	open    version (1 byte), the initiator's public key (X25519, 32 bytes)
//	accept  the responder's public key
//	refuse  nothing: the sender takes no relayed connections
//	gone    nothing: the sender has no such connection any more
//	data    number of the frame (8 bytes, big endian, from 0), and sealed: acknowledgement, pieces
//	ack     number of the acknowledgement (8 bytes, from 0), and sealed: acknowledgement
//	close   eight zero bytes, and sealed: nothing
//
// An acknowledgement is the number of data frames that arrived without a gap, as 8 bytes. A piece is the byte of its lane,
// its length as a varint, and what package frame says of pieces. The sealing is ChaCha20-Poly1305 (RFC 8439): the key is the sender's, the
// nonce the kind, three zero bytes and the number, and all that stands before the sealed part is authenticated with it. No
// number is used twice for different contents: a data frame that is sent again is the same bytes again.
const (
	relayOpen   = 0x01
	relayAccept = 0x02
	relayRefuse = 0x03
	relayGone   = 0x04
	relayData   = 0x05
	relayAck    = 0x06
	relayClose  = 0x07
)

const (
	relayVersion = 1
	relayIDSize  = 16
	relayKeySize = 32
	// relayHeader is what precedes the sealed part: kind, id, number.
	relayHeader = 1 + relayIDSize + 8
	// relayPayload is the most that one frame carries sealed, but for the acknowledgement. In base64 it stays well below the largest message
	// that signaling servers take.
	relayPayload = 32 << 10
	// relayPiece is the largest piece.
	relayPiece = 16 << 10
	// maxRelayFrame bounds what is taken.
	maxRelayFrame = relayHeader + 8 + relayPayload + 64
)

var (
	// errRelayFrame is the error of a frame that breaks the rules above.
	errRelayFrame = errors.New("rtc: malformed relay frame")
	// errRelayForged is the error of a frame that the peer did not make.
	errRelayForged = errors.New("rtc: relay frame is not of the peer")
)

type relayID [relayIDSize]byte

// relayFrame is a frame that was taken apart but not opened.
type relayFrame struct {
	kind   byte
	id     relayID
	number uint64 // of data, ack and close
	rest   []byte // the public key, or the sealed part
	whole  []byte
}

func parseRelayFrame(b []byte) (relayFrame, error) {
	f := relayFrame{whole: b}
	if len(b) < 1+relayIDSize || len(b) > maxRelayFrame {
		return f, fmt.Errorf("%w: %d bytes", errRelayFrame, len(b))
	}
	f.kind, f.id, f.rest = b[0], relayID(b[1:1+relayIDSize]), b[1+relayIDSize:]
	switch f.kind {
	case relayOpen:
		if len(f.rest) != 1+relayKeySize || f.rest[0] != relayVersion {
			return f, fmt.Errorf("%w: open of another version, or of %d bytes", errRelayFrame, len(b))
		}
		f.rest = f.rest[1:]
	case relayAccept:
		if len(f.rest) != relayKeySize {
			return f, fmt.Errorf("%w: accept of %d bytes", errRelayFrame, len(b))
		}
	case relayRefuse, relayGone:
		if len(f.rest) != 0 {
			return f, fmt.Errorf("%w: kind %#x of %d bytes", errRelayFrame, f.kind, len(b))
		}
	case relayData, relayAck, relayClose:
		if len(b) < relayHeader {
			return f, fmt.Errorf("%w: kind %#x of %d bytes", errRelayFrame, f.kind, len(b))
		}
		f.number, f.rest = binary.BigEndian.Uint64(f.rest), b[relayHeader:]
	default:
		return f, fmt.Errorf("%w: kind %#x", errRelayFrame, f.kind)
	}
	return f, nil
}

// plainRelayFrame makes a frame with nothing sealed.
func plainRelayFrame(kind byte, id relayID, rest ...byte) []byte {
	return append(append([]byte{kind}, id[:]...), rest...)
}

// relayKeys seal and open the frames of one connection.
type relayKeys struct {
	id      relayID
	own     cipher.AEAD
	theirs  cipher.AEAD
	binding []byte
}

// newRelayKeys agrees on keys. They are known to nobody but who has one of the two private keys; that the other public key is the
// peer's is only as sure as whoever passed it on, unless the two prove a secret that is bound to the binding.
func newRelayKeys(id relayID, private *[x25519.Size]byte, public []byte, initiator bool) (*relayKeys, error) {
	shared, err := x25519.Shared(private, public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRelayFrame, err)
	}
	first, second := x25519.Public(private), public
	if !initiator {
		first, second = second, first
	}
	transcript := bytes.Join([][]byte{[]byte("shoal relay 1"), id[:], first, second}, nil)
	fromInitiator, err := relayCipher(shared, transcript, "initiator")
	if err != nil {
		return nil, err
	}
	fromResponder, err := relayCipher(shared, transcript, "responder")
	if err != nil {
		return nil, err
	}
	k := &relayKeys{id: id, own: fromInitiator, theirs: fromResponder}
	if !initiator {
		k.own, k.theirs = k.theirs, k.own
	}
	if bytes.Compare(first, second) > 0 {
		first, second = second, first
	}
	sum := sha256.Sum256(append(bytes.Clone(first), second...))
	k.binding = sum[:]
	return k, nil
}

func relayCipher(shared, transcript []byte, sender string) (cipher.AEAD, error) {
	salt := sha256.Sum256(transcript)
	key, err := hkdf.Key(sha256.New, shared, salt[:], "shoal relay 1 "+sender, 32)
	if err != nil {
		return nil, fmt.Errorf("derive relay key: %w", err)
	}
	return chacha20poly1305.New(key)
}

// seal makes a frame. No number may be used twice for a kind.
func (k *relayKeys) seal(kind byte, number uint64, plain []byte) []byte {
	header := make([]byte, 0, relayHeader+len(plain)+k.own.Overhead())
	header = binary.BigEndian.AppendUint64(append(append(header, kind), k.id[:]...), number)
	return k.own.Seal(header, relayNonce(kind, number), plain, header)
}

// open returns what is sealed in a frame of the peer. It changes the frame.
func (k *relayKeys) open(f relayFrame) ([]byte, error) {
	plain, err := k.theirs.Open(f.rest[:0], relayNonce(f.kind, f.number), f.rest, f.whole[:relayHeader])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRelayForged, err)
	}
	return plain, nil
}

func relayNonce(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind, 0, 0, 0}, number)
}

// takeAck reads the acknowledgement that data and ack frames begin with.
func takeAck(plain []byte) (ack uint64, rest []byte, err error) {
	if len(plain) < 8 {
		return 0, nil, fmt.Errorf("%w: no acknowledgement", errRelayFrame)
	}
	return binary.BigEndian.Uint64(plain), plain[8:], nil
}

// appendPiece appends a piece to the content of a data frame.
func appendPiece(b []byte, lane byte, piece []byte) []byte {
	b = binary.AppendUvarint(append(b, lane), uint64(len(piece)))
	return append(b, piece...)
}

// nextPiece reads the first piece of b.
func nextPiece(b []byte) (lane byte, piece, rest []byte, err error) {
	size, n := uint64(0), 0
	if len(b) > 0 {
		size, n = binary.Uvarint(b[1:])
	}
	if n <= 0 || size > uint64(len(b)-1-n) {
		return 0, nil, nil, fmt.Errorf("%w: a piece is cut off", errRelayFrame)
	}
	end := 1 + n + int(size)
	return b[0], b[1+n : end : end], b[end:], nil
}
