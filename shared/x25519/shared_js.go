//go:build js

package x25519

import "crypto/subtle"

// Shared multiplies a point, a public key for one, with a scalar. It takes every point but those of small order.
func Shared(scalar *[Size]byte, point []byte) ([]byte, error) {
	if len(point) != Size {
		return nil, ErrPoint
	}
	out := ladder(scalar, point)
	if subtle.ConstantTimeCompare(out, make([]byte, Size)) == 1 {
		return nil, ErrPoint
	}
	return out, nil
}
