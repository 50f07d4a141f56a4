// Package x25519 is the function X25519 of RFC 7748: Diffie-Hellman on Curve25519. Natively it is crypto/ecdh's. That package brings all other curves with it, a
// fifteenth of what a page loads, so in the browser it is computed here, on the field of filippo.io/edwards25519; both do it in
// constant time.
package x25519

import (
	"errors"

	"filippo.io/edwards25519/field"
)

// Size is the length of a scalar and of a point in bytes.
const Size = 32

// ErrPoint is the error of a point from which nothing secret can come: one of small order, or of the wrong length.
var ErrPoint = errors.New("x25519: not a valid point")

// Public returns the public key of a private one, which is any 32 bytes.
func Public(scalar *[Size]byte) []byte {
	base := [Size]byte{9}
	public, err := Shared(scalar, base[:])
	if err != nil {
		panic(err) // the base point is valid
	}
	return public
}

// ladder computes X25519, RFC 7748 section 5. It returns zeros for points of small order.
func ladder(scalar *[Size]byte, point []byte) []byte {
	k := *scalar
	k[0] &= 248
	k[31] = k[31]&127 | 64
	x1, err := new(field.Element).SetBytes(point)
	if err != nil {
		panic(err) // callers checked its length
	}
	x2, z2 := new(field.Element).One(), new(field.Element)
	x3, z3 := new(field.Element).Set(x1), new(field.Element).One()
	swap := 0
	for t := 254; t >= 0; t-- {
		bit := int(k[t/8]>>(t%8)) & 1
		x2.Swap(x3, swap^bit)
		z2.Swap(z3, swap^bit)
		swap = bit
		step(x1, x2, z2, x3, z3)
	}
	x2.Swap(x3, swap)
	z2.Swap(z3, swap)
	return x2.Multiply(x2, z2.Invert(z2)).Bytes()
}

// step doubles (x2, z2), and adds it to (x3, z3); x1 is the difference of the two.
func step(x1, x2, z2, x3, z3 *field.Element) {
	var a, aa, b, bb, e, da, cb field.Element
	a.Add(x2, z2)
	aa.Square(&a)
	b.Subtract(x2, z2)
	bb.Square(&b)
	e.Subtract(&aa, &bb)
	da.Multiply(da.Subtract(x3, z3), &a)
	cb.Multiply(cb.Add(x3, z3), &b)
	x3.Square(x3.Add(&da, &cb))
	z3.Multiply(x1, z3.Square(z3.Subtract(&da, &cb)))
	x2.Multiply(&aa, &bb)
	z2.Multiply(&e, aa.Add(&aa, bb.Mult32(&e, 121665)))
}
