package rtc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoaldb/shoal/shared/transport"
)

// A message crosses a data channel as one or more pieces, because WebRTC endpoints limit the size of what they take: 64 KB is
// what all take (RFC 8831 section 6.6, RFC 8841 section 6), and what makes full use of the channel when measured. Each piece
// is one data channel message: a byte for its kind, then
//
//	whole   the message
//	first   length of the message (4 bytes, big endian), the first part of it
//	more    the next part; the message is complete when its length is reached
//	abort   nothing: the message begun is dropped, its sender gave up
//	ping    8 bytes that the pong brings back
//	pong    the 8 bytes of the ping
//	credit  lane (1 byte), number of bytes of its messages that the receiver has taken so far (8 bytes, big endian)
//
// The last three are control pieces. They cross on the live lane only, also between the pieces of a message.
const (
	pieceWhole  = 0x00
	pieceFirst  = 0x01
	pieceMore   = 0x02
	pieceAbort  = 0x03
	piecePing   = 0x10
	piecePong   = 0x11
	pieceCredit = 0x12
)

// maxPiece is the largest piece, in bytes: one less than 64 KB, the size of the buffer that pion reads into at first.
const maxPiece = 1<<16 - 1

const (
	moreHeader  = 1
	firstHeader = 1 + 4
	controlSize = 1 + 8
	creditSize  = 1 + 1 + 8
)

// errPiece is the error of a piece that breaks the rules above.
var errPiece = errors.New("rtc: malformed piece")

// split calls send for the pieces of msg, which it makes one after the other in buf. No piece is larger than limit.
func split(msg, buf []byte, limit int, send func(piece []byte) error) ([]byte, error) {
	if moreHeader+len(msg) <= limit {
		buf = append(append(buf[:0], pieceWhole), msg...)
		return buf, send(buf)
	}
	buf = binary.BigEndian.AppendUint32(append(buf[:0], pieceFirst), uint32(len(msg)))
	for len(msg) > 0 {
		n := min(limit-len(buf), len(msg))
		buf = append(buf, msg[:n]...)
		msg = msg[n:]
		if err := send(buf); err != nil {
			return buf, err
		}
		buf = append(buf[:0], pieceMore)
	}
	return buf, nil
}

// joiner puts the pieces of one lane together again. It holds at most one message of at most transport.MaxMessage bytes.
type joiner struct {
	partial []byte // nil when no message is begun
	total   int
}

// join takes one piece that is no control piece. It returns a message and true when the piece completes one. The message
// may be a part of piece, which must not be used afterwards.
func (j *joiner) join(piece []byte) ([]byte, bool, error) {
	if len(piece) == 0 {
		return nil, false, fmt.Errorf("%w: empty", errPiece)
	}
	kind, rest := piece[0], piece[1:]
	switch {
	case kind == pieceWhole && j.partial == nil:
		if len(rest) > transport.MaxMessage {
			return nil, false, fmt.Errorf("%w: message of %d bytes, the limit is %d", errPiece, len(rest), transport.MaxMessage)
		}
		return rest, true, nil
	case kind == pieceFirst && j.partial == nil:
		return j.begin(rest)
	case kind == pieceMore && j.partial != nil:
		return j.add(rest)
	case kind == pieceAbort && len(rest) == 0:
		j.partial = nil
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("%w: kind %#x, message begun: %t", errPiece, kind, j.partial != nil)
}

func (j *joiner) begin(rest []byte) ([]byte, bool, error) {
	if len(rest) < 4 {
		return nil, false, fmt.Errorf("%w: no length", errPiece)
	}
	total := binary.BigEndian.Uint32(rest)
	if total == 0 || total > transport.MaxMessage {
		return nil, false, fmt.Errorf("%w: message of %d bytes, the limit is %d", errPiece, total, transport.MaxMessage)
	}
	j.total = int(total)
	j.partial = make([]byte, 0, j.total)
	return j.add(rest[4:])
}

func (j *joiner) add(part []byte) ([]byte, bool, error) {
	if len(part) == 0 || len(part) > j.total-len(j.partial) {
		return nil, false, fmt.Errorf("%w: %d bytes where 1 to %d are missing", errPiece, len(part), j.total-len(j.partial))
	}
	j.partial = append(j.partial, part...)
	if len(j.partial) < j.total {
		return nil, false, nil
	}
	msg := j.partial
	j.partial = nil
	return msg, true, nil
}

func appendControl(buf []byte, kind byte, value uint64) []byte {
	return binary.BigEndian.AppendUint64(append(buf, kind), value)
}

func appendCredit(buf []byte, lane transport.Lane, taken uint64) []byte {
	return binary.BigEndian.AppendUint64(append(buf, pieceCredit, byte(lane)), taken)
}

func isControl(piece []byte) bool {
	return len(piece) > 0 && piece[0] >= piecePing
}

// parseControl returns the value of a ping or pong, or the lane and value of a credit.
func parseControl(piece []byte) (kind byte, lane transport.Lane, value uint64, err error) {
	switch kind = piece[0]; {
	case (kind == piecePing || kind == piecePong) && len(piece) == controlSize:
		return kind, 0, binary.BigEndian.Uint64(piece[1:]), nil
	case kind == pieceCredit && len(piece) == creditSize && piece[1] < transport.Lanes:
		return kind, transport.Lane(piece[1]), binary.BigEndian.Uint64(piece[2:]), nil
	}
	return 0, 0, 0, fmt.Errorf("%w: control piece %#x of %d bytes", errPiece, kind, len(piece))
}
