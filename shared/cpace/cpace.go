// Package cpace proves to the two ends of a connection that both know the same secret, without telling it to whoever does not:
// CPace, the balanced password-authenticated key exchange of draft-irtf-cfrg-cpace, in its symmetric form with X25519 and SHA-512.
//
// Each run lets an attacker, be it in the middle or at the other end, test one guess. Nothing that crosses the wire helps to
// test another one later, so that the secret may be one that people can remember.
package cpace

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"

	"filippo.io/edwards25519/field"
	"github.com/shoaldb/shoal/shared/x25519"
)

const (
	// ShareSize is the length of a share in bytes.
	ShareSize = 32
	// TagSize is the length of a tag in bytes.
	TagSize = sha512.Size
)

// ErrShare is the error of a share with which nothing can be proved: it is this side's own, or no point of use.
var ErrShare = errors.New("cpace: the peer's share is not valid")

// suite names the group and the hash (DSI in the draft).
const suite = "CPace255"

// Exchange is one side of one run. It is for one goroutine.
type Exchange struct {
	scalar [x25519.Size]byte
	share  []byte
}

// New begins a run. channel is what both ends know of their connection and an attacker could not make equal on two; ends for which
// it differs do not come to the same result. Each run needs an Exchange of its own.
func New(secret, channel []byte) (*Exchange, error) {
	var scalar [x25519.Size]byte
	rand.Read(scalar[:]) // never fails, see crypto/rand
	return newExchange(secret, channel, nil, scalar)
}

func newExchange(secret, channel, session []byte, scalar [x25519.Size]byte) (*Exchange, error) {
	share, err := x25519.Shared(&scalar, generator(secret, channel, session))
	if err != nil {
		return nil, err
	}
	return &Exchange{scalar, share}, nil
}

// Share returns what the other end is to be sent first.
func (e *Exchange) Share() []byte { return bytes.Clone(e.share) }

// Tags takes the other end's share. It returns the tag that is to be sent, and the one that must come: only who knows the secret
// can make either. Compare them in constant time.
func (e *Exchange) Tags(theirs []byte) (own, want []byte, err error) {
	key, err := e.key(theirs, nil)
	if err != nil {
		return nil, nil, err
	}
	mac := sha512.New()
	mac.Write([]byte("CPaceMac"))
	mac.Write(key)
	macKey := mac.Sum(nil)
	return tag(macKey, e.share), tag(macKey, theirs), nil
}

func tag(key, share []byte) []byte {
	mac := hmac.New(sha512.New, key)
	mac.Write(listOf(share, nil))
	return mac.Sum(nil)
}

// key is the intermediate session key of the draft. What each side adds to its share (AD) is nothing here.
func (e *Exchange) key(theirs, session []byte) ([]byte, error) {
	if len(theirs) != ShareSize || bytes.Equal(theirs, e.share) {
		return nil, ErrShare
	}
	point, err := x25519.Shared(&e.scalar, theirs)
	if err != nil {
		return nil, ErrShare // of small order
	}
	return sessionKey(session, point, listOf(e.share, nil), listOf(theirs, nil)), nil
}

// sessionKey hashes a run as both ends see it, whichever of them is which.
func sessionKey(session, point, a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		a, b = b, a
	}
	h := sha512.New()
	h.Write(listOf([]byte(suite+"_ISK"), session, point))
	h.Write([]byte("oc"))
	h.Write(a)
	h.Write(b)
	return h.Sum(nil)
}

// generator maps the secret and what both know to a point.
func generator(secret, channel, session []byte) []byte {
	head := listOf([]byte(suite), secret)
	pad := max(0, sha512.BlockSize-1-len(head)) // so that the secret fills one block of the hash
	sum := sha512.Sum512(append(head, listOf(make([]byte, pad), channel, session)...))
	return elligator(sum[:32])
}

// elligator is the map Elligator 2 to Curve25519 (RFC 9380 section 6.7.1), of which X25519 needs the first coordinate only. The highest bit
// of hash does not count.
func elligator(hash []byte) []byte {
	r, err := new(field.Element).SetBytes(hash)
	if err != nil {
		panic(err) // it is 32 bytes long
	}
	a := new(field.Element).Mult32(new(field.Element).One(), 486662)
	one := new(field.Element).One()
	negA := new(field.Element).Negate(a)
	d := new(field.Element).Square(r)
	d.Add(d, d)
	d.Add(d, one) // 1 + 2r² is never 0, for -1/2 is no square
	x1 := new(field.Element).Multiply(negA, new(field.Element).Invert(d))
	x2 := new(field.Element).Subtract(negA, x1)
	y := new(field.Element).Add(x1, a) // ((x + A)x + 1)x
	y.Multiply(y, x1)
	y.Add(y, one)
	y.Multiply(y, x1)
	_, square := new(field.Element).SqrtRatio(y, one)
	return new(field.Element).Select(x1, x2, square).Bytes()
}

// listOf joins parts with their lengths (lv_cat in the draft).
func listOf(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}
