package x25519

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func unhex(t *testing.T, text string) (b [Size]byte) {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != Size {
		t.Fatal(text, err)
	}
	return [Size]byte(raw)
}

// TestVectors has those of RFC 7748, section 5.2.
func TestVectors(t *testing.T) {
	for _, v := range []struct{ scalar, point, want string }{
		{
			"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
			"e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
			"c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
		},
		{
			"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
			"e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
			"95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
		},
	} {
		scalar, point := unhex(t, v.scalar), unhex(t, v.point)
		if got := ladder(&scalar, point[:]); hex.EncodeToString(got) != v.want {
			t.Errorf("ladder %x, want %s", got, v.want)
		}
		if got, err := Shared(&scalar, point[:]); err != nil || hex.EncodeToString(got) != v.want {
			t.Errorf("shared %x, %v, want %s", got, err, v.want)
		}
	}
}

// TestIterated is the iteration of RFC 7748, section 5.2.
func TestIterated(t *testing.T) {
	k, u := [Size]byte{9}, [Size]byte{9}
	for i := range 1000 {
		k, u = [Size]byte(ladder(&k, u[:])), k
		if i == 0 && hex.EncodeToString(k[:]) != "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079" {
			t.Fatalf("after one iteration %x", k)
		}
	}
	if hex.EncodeToString(k[:]) != "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51" {
		t.Errorf("after 1,000 iterations %x", k)
	}
}

// TestSame compares the two implementations, natively, on points of the curve, of its twist, and beyond the field.
func TestSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		var scalar, point [Size]byte
		for j := range scalar {
			scalar[j], point[j] = byte(rng.Uint32()), byte(rng.Uint32())
		}
		if i < 40 { // near the end of the field
			for j := 1; j < Size; j++ {
				point[j] = 0xff
			}
			point[0] = byte(0xff - i)
		}
		want, err := Shared(&scalar, point[:])
		if err != nil {
			want = make([]byte, Size)
		}
		if got := ladder(&scalar, point[:]); !bytes.Equal(got, want) {
			t.Fatalf("%x times %x is %x, want %x", scalar, point, got, want)
		}
	}
}

func TestBadPoints(t *testing.T) {
	scalar := [Size]byte{1, 2, 3}
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		point := unhex(t, text)
		if got, err := Shared(&scalar, point[:]); !errors.Is(err, ErrPoint) {
			t.Errorf("%s: %x, %v", text, got, err)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := Shared(&scalar, make([]byte, n)); !errors.Is(err, ErrPoint) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestPublic(t *testing.T) { // RFC 7748, section 6.1
	a := [Size]byte{1, 2, 3, 31: 0xff}
	b := unhex(t, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
	if got := Public(&b); hex.EncodeToString(got) != "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f" {
		t.Errorf("public key %x", got)
	}
	one, err := Shared(&a, Public(&b))
	if err != nil {
		t.Fatal(err)
	}
	two, err := Shared(&b, Public(&a))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("%x and %x, %v", one, two, err)
	}
}
