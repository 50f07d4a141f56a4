//go:build !js

package x25519

import (
	"crypto/ecdh"
	"fmt"
)

// Shared multiplies a point, a public key for one, with a scalar. It takes every point but those of small order.
func Shared(scalar *[Size]byte, point []byte) ([]byte, error) {
	private, err := ecdh.X25519().NewPrivateKey(scalar[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	public, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	out, err := private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPoint, err)
	}
	return out, nil
}
