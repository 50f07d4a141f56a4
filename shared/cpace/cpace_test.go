package cpace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/x25519"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The run of appendix B.1 of draft-irtf-cfrg-cpace-13.
const (
	draftSecret    = "Password"
	draftChannel   = "6f630b425f726573706f6e6465720b415f696e69746961746f72"
	draftSession   = "7e4b4791d6a8ef019b936c79fb7f2c57"
	draftGenerator = "64e8099e3ea682cfdc5cb665c057ebb514d06bf23ebc9f743b51b82242327074"
	draftScalarA   = "21b4f4bd9e64ed355c3eb676a28ebedaf6d8f17bdc365995b319097153044080"
	draftScalarB   = "848b0779ff415f0af4ea14df9dd1d3c29ac41d836c7808896c4eba19c51ac40a"
	draftShareA    = "1b02dad6dbd29a07b6d28c9e04cb2f184f0734350e32bb7e62ff9dbcfdb63d15"
	draftShareB    = "20cda5955f82c4931545bcbf40758ce1010d7db4db2a907013d79c7a8fcf957f"
	draftPoint     = "f97fdfcfff1c983ed6283856a401de3191ca919902b323c5f950c9703df7297a"
	draftKey       = "5cc27e49679423f81a37d7521d9fb1327c840d2ea4a1543652e7de5cabb89eba" +
		"d27d24761b3288a3fd5764b441ecb78d30abc26161ff45ea297bb311dde04727" // B.1.6, parallel execution
)

func TestDraftVectors(t *testing.T) {
	channel, session := unhex(t, draftChannel), unhex(t, draftSession)
	if g := generator([]byte(draftSecret), channel, session); hex.EncodeToString(g) != draftGenerator {
		t.Errorf("generator %x, want %s", g, draftGenerator)
	}
	a, err := newExchange([]byte(draftSecret), channel, session, [32]byte(unhex(t, draftScalarA)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newExchange([]byte(draftSecret), channel, session, [32]byte(unhex(t, draftScalarB)))
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(a.Share()) != draftShareA || hex.EncodeToString(b.Share()) != draftShareB {
		t.Errorf("shares %x and %x", a.Share(), b.Share())
	}
	point, err := x25519.Shared(&a.scalar, b.Share())
	if err != nil || hex.EncodeToString(point) != draftPoint {
		t.Errorf("point %x, %v, want %s", point, err, draftPoint)
	}
	adA, adB := []byte("ADa"), []byte("ADb")
	for _, key := range [][]byte{
		sessionKey(session, point, listOf(a.share, adA), listOf(b.share, adB)),
		sessionKey(session, point, listOf(b.share, adB), listOf(a.share, adA)),
	} {
		if hex.EncodeToString(key) != draftKey {
			t.Errorf("key %x, want %s", key, draftKey)
		}
	}
}

// The tags of that run without session and additional data, as Tags makes them. They are on the wire, so they must not change.
const (
	goldenTagA = "b9e1607a2bb63b3318f8ae1f93aa9064d21fdc08de5f84e0ec19f875e2300812" +
		"8654a3145970ce6c13a6048e31e2d1caf74ed11e7f9222c7d3d9571149786c18"
	goldenTagB = "27e152013fff0d787617d50c93a93a2b31dd058104114d00065cccdf078a7817" +
		"3dfa9667c4517384d03d3609c21906052835292c9ce6b00700f9e37a96b76aa7"
)

func TestGoldenTags(t *testing.T) {
	channel := unhex(t, draftChannel)
	a, err := newExchange([]byte(draftSecret), channel, nil, [32]byte(unhex(t, draftScalarA)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newExchange([]byte(draftSecret), channel, nil, [32]byte(unhex(t, draftScalarB)))
	if err != nil {
		t.Fatal(err)
	}
	ownA, wantB, err := a.Tags(b.Share())
	if err != nil {
		t.Fatal(err)
	}
	ownB, wantA, err := b.Tags(a.Share())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ownA, wantA) || !bytes.Equal(ownB, wantB) || bytes.Equal(ownA, ownB) {
		t.Errorf("tags %x/%x and %x/%x", ownA, wantA, ownB, wantB)
	}
	if hex.EncodeToString(ownA) != goldenTagA || hex.EncodeToString(ownB) != goldenTagB {
		t.Errorf("tags\n%x\n%x", ownA, ownB)
	}
}

// TestDiffer: whatever the two sides see differently, neither takes the other's tag.
func TestDiffer(t *testing.T) {
	for name, other := range map[string][2]string{
		"secret":       {"secret2", "channel"},
		"no secret":    {"", "channel"},
		"channel":      {"secret", "channel2"},
		"moved border": {"secretc", "hannel"},
	} {
		a, err := New([]byte("secret"), []byte("channel"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := New([]byte(other[0]), []byte(other[1]))
		if err != nil {
			t.Fatal(err)
		}
		ownA, wantB, errA := a.Tags(b.Share())
		ownB, wantA, errB := b.Tags(a.Share())
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if bytes.Equal(ownA, wantA) || bytes.Equal(ownB, wantB) {
			t.Errorf("%s: the tags agree", name)
		}
	}
}

func TestBadShares(t *testing.T) {
	e, err := New([]byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, share := range map[string][]byte{
		"own": e.Share(), "short": make([]byte, 31), "empty": nil,
		"order 1":  make([]byte, 32),
		"order 4":  unhex(t, "0100000000000000000000000000000000000000000000000000000000000000"),
		"order 8":  unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
		"-order 8": unhex(t, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
		"p-1":      unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
		"p":        unhex(t, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	} {
		if _, _, err := e.Tags(share); !errors.Is(err, ErrShare) {
			t.Errorf("%s: %v, want ErrShare", name, err)
		}
	}
}

func TestGeneratorsDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for i := range 200 {
		seen[string(generator([]byte{byte(i)}, nil, nil))] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d generators of 200 secrets", len(seen))
	}
}
