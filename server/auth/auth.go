// Package auth decides by signed tokens who may enter which room. A token is a JWT (RFC 7519), signed with HS256 or EdDSA by
// whoever has a key: the application's own server, an identity provider, or the command "shoal-server token".
package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // matches keys exactly: a claim "Rooms" that a user chose must not count as "rooms"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Permission is something that a token allows in its rooms.
type Permission string

// The permissions.
const (
	Join  Permission = "join"  // to enter, and to exchange signals
	Relay Permission = "relay" // to send through the signaling server where there is no direct path
	TURN  Permission = "turn"  // to get credentials of the TURN server
)

// Permissions lists all that there are: those of a token that does not list any.
func Permissions() []Permission { return []Permission{Join, Relay, TURN} }

// Claims are what a token says.
type Claims struct {
	// Rooms are the names that the token is for. One that ends with * stands for all names that begin with what is before it.
	Rooms []string `json:"rooms"`
	// Permissions are what it allows there. Default: all.
	Permissions []Permission `json:"permissions,omitempty"`
	// Subject is whose it is, for the log. Optional.
	Subject string `json:"sub,omitempty"`
	// Expires is when the token ends, and with it its bearer's stay in the rooms.
	Expires *jwt.NumericDate `json:"exp"`
	// NotBefore is when it begins. Optional.
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
}

// Why a token is refused, for errors.Is. The errors that Check returns say more.
var (
	ErrNoToken     = errors.New("no token: this server lets nobody into a room without one")
	ErrMalformed   = errors.New("not a signed JWT")
	ErrAlgorithm   = errors.New("algorithm not allowed")
	ErrSignature   = errors.New("signature is of none of this server's keys")
	ErrClaims      = errors.New("claims missing or wrong")
	ErrExpired     = errors.New("token expired")
	ErrNotYetValid = errors.New("token not valid yet")
	ErrRoom        = errors.New("token is not for this room")
	ErrPermission  = errors.New("token does not give the permission to join")
)

// leeway is by how much the clock of whoever made a token may be ahead of this one.
const leeway = 30 * time.Second

// Check returns the claims of a token that lets its bearer into the room at that time.
func (k *Keys) Check(room, token string, now time.Time) (*Claims, error) {
	switch {
	case token == "":
		return nil, ErrNoToken
	case len(token) > protocol.MaxToken:
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, protocol.MaxToken)
	}
	payload, err := k.verify(token)
	if err != nil {
		return nil, err
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("%w: rooms and permissions must be lists of strings, exp and nbf numbers: %w", ErrClaims, err)
	}
	if err := c.check(room, now); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *Claims) check(room string, now time.Time) error {
	switch {
	case c.Expires == nil:
		return fmt.Errorf("%w: exp, when the token ends", ErrClaims)
	case len(c.Rooms) == 0:
		return fmt.Errorf("%w: rooms, a list of the names that the token is for", ErrClaims)
	case !now.Before(c.Expires.Time()):
		return fmt.Errorf("%w at %s", ErrExpired, c.Expires.Time().UTC().Format(time.RFC3339))
	case c.NotBefore != nil && now.Add(leeway).Before(c.NotBefore.Time()):
		return fmt.Errorf("%w, but from %s", ErrNotYetValid, c.NotBefore.Time().UTC().Format(time.RFC3339))
	case !c.covers(room):
		return fmt.Errorf("%w %q, but for %s", ErrRoom, room, strings.Join(c.Rooms, ", "))
	case !c.Allows(Join):
		return ErrPermission
	}
	return nil
}

func (c *Claims) covers(room string) bool {
	return slices.ContainsFunc(c.Rooms, func(pattern string) bool {
		prefix, ok := strings.CutSuffix(pattern, "*")
		return pattern == room || ok && strings.HasPrefix(room, prefix)
	})
}

// Allows reports whether the token gives a permission.
func (c *Claims) Allows(p Permission) bool {
	return c.Permissions == nil || slices.Contains(c.Permissions, p)
}

// verify returns what a token says if one of the keys has signed it.
func (k *Keys) verify(token string) ([]byte, error) {
	sig, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.HS256, jose.EdDSA})
	var alg *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &alg):
		return nil, fmt.Errorf("%w: %q; tokens are signed with HS256 or EdDSA", ErrAlgorithm, alg.Got)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrMalformed, strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
	}
	h := sig.Signatures[0].Protected
	candidates := k.keys.Load().withID(h.KeyID)
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%w: there is none with kid %q", ErrSignature, h.KeyID)
	}
	fits := false
	for _, key := range candidates {
		if string(key.alg) != h.Algorithm {
			continue // never with a key made for another algorithm: RFC 8725, section 3.1
		}
		fits = true
		if payload, err := sig.Verify(key.verify); err == nil {
			return payload, nil
		}
	}
	if !fits {
		return nil, fmt.Errorf("%w: token says %s, and the key is for %s", ErrAlgorithm, h.Algorithm, candidates[0].alg)
	}
	return nil, ErrSignature
}

// Issue signs a token with the first key that can sign.
func (k *Keys) Issue(c *Claims) (string, error) {
	for _, key := range *k.keys.Load() {
		if key.sign == nil {
			continue
		}
		opts := (&jose.SignerOptions{}).WithType("JWT")
		if key.id != "" {
			opts = opts.WithHeader("kid", key.id)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: key.alg, Key: key.sign}, opts)
		if err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
		token, err := jwt.Signed(signer).Claims(c).Serialize()
		if err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
		return token, nil
	}
	return "", errors.New("sign token: no key that can sign; a JWK Set needs a symmetric key, or an Ed25519 key with its private part d")
}
