package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// MinSecret is the shortest secret for HS256 in bytes: RFC 7518, section 3.2.
const MinSecret = 32

// filePrefix begins a key that stands in a file.
const filePrefix = "file:"

// Keys are the keys that tokens may be signed with. All methods may be called concurrently.
type Keys struct {
	sources []string
	keys    atomic.Pointer[keySet]
	stamps  atomic.Pointer[[]stamp]
}

type keySet []key

// key is one key, for one algorithm.
type key struct {
	id     string
	alg    jose.SignatureAlgorithm
	verify any
	sign   any // nil where it can only verify
}

// withID returns the keys that a token with that key id may be signed with: keys without an id fit every token.
func (s keySet) withID(id string) []key {
	var fit []key
	for _, k := range s {
		if id == "" || k.id == "" || k.id == id {
			fit = append(fit, k)
		}
	}
	return fit
}

// stamp tells whether a file has changed.
type stamp struct {
	size int64
	time time.Time
}

// Open reads keys. Each source is a secret of at least MinSecret bytes, or "file:" and the path of a file, which has secrets, one on a line, or
// a JWK or JWK Set (RFC 7517) with keys of type oct for HS256 and of type OKP, curve Ed25519, for EdDSA. Keys of a set that are
// of other types are passed over.
func Open(sources ...string) (*Keys, error) {
	k := &Keys{sources: sources}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the files again. After an error the keys are what they were.
func (k *Keys) Reload() error {
	stamps := k.stat() // before reading: what changes meanwhile is noticed later
	var all keySet
	for _, source := range k.sources {
		keys, err := read(source)
		if err != nil {
			return err
		}
		all = append(all, keys...)
	}
	if len(all) == 0 {
		return errors.New("read keys: there is none")
	}
	k.keys.Store(&all)
	k.stamps.Store(&stamps)
	return nil
}

// Changed reports whether a file is another one than was read.
func (k *Keys) Changed() bool {
	now, then := k.stat(), *k.stamps.Load()
	for i, s := range now {
		if s.size != then[i].size || !s.time.Equal(then[i].time) {
			return true
		}
	}
	return false
}

// Len is the number of keys.
func (k *Keys) Len() int { return len(*k.keys.Load()) }

// stat returns a stamp for each source; a zero one for what is no file, or is not there at the moment.
func (k *Keys) stat() []stamp {
	stamps := make([]stamp, len(k.sources))
	for i, source := range k.sources {
		path, ok := strings.CutPrefix(source, filePrefix)
		if !ok {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			stamps[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return stamps
}

func read(source string) (keySet, error) {
	path, ok := strings.CutPrefix(source, filePrefix)
	if !ok {
		k, err := secret(source)
		return keySet{k}, err
	}
	data, err := os.ReadFile(path)
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return nil, fmt.Errorf("read keys from %s: %w", path, pathErr.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	keys, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read keys from %s: %w", path, err)
	}
	return keys, nil
}

// parse reads what stands in a file of keys.
func parse(data []byte) (keySet, error) {
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("{")) {
		return parseJWKs(data)
	}
	var keys keySet
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		k, err := secret(string(line))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func secret(text string) (key, error) {
	if len(text) < MinSecret {
		return key{}, fmt.Errorf("secret has %d bytes; HS256 needs at least %d, such as those of `openssl rand -base64 32`", len(text), MinSecret)
	}
	return key{alg: jose.HS256, verify: []byte(text), sign: []byte(text)}, nil
}

func parseJWKs(data []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a JWK or JWK Set: %w", err)
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{data}
	}
	var keys keySet
	var reasons []error
	for i, raw := range set.Keys {
		k, err := parseJWK(raw)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key of type oct or OKP with curve Ed25519: %w", errors.Join(reasons...))
	}
	return keys, nil
}

func parseJWK(raw []byte) (key, error) {
	var k jose.JSONWebKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return key{}, err
	}
	if k.Use != "" && k.Use != "sig" {
		return key{}, fmt.Errorf("its use is %q, not sig", k.Use)
	}
	parsed := key{id: k.KeyID}
	switch material := k.Key.(type) {
	case []byte:
		if len(material) < MinSecret {
			return key{}, fmt.Errorf("has %d bytes; HS256 needs at least %d", len(material), MinSecret)
		}
		parsed.alg, parsed.verify, parsed.sign = jose.HS256, material, material
	case ed25519.PublicKey:
		parsed.alg, parsed.verify = jose.EdDSA, material
	case ed25519.PrivateKey:
		parsed.alg, parsed.verify, parsed.sign = jose.EdDSA, material.Public(), material
	default:
		return key{}, fmt.Errorf("is a %T", material)
	}
	if k.Algorithm != "" && k.Algorithm != string(parsed.alg) && (k.Algorithm != "Ed25519" || parsed.alg != jose.EdDSA) {
		return key{}, fmt.Errorf("is for %s", k.Algorithm)
	}
	return parsed, nil
}
