package rxdb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
)

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// TestSplitLikeRxDB checks the pieces against a slicing by UTF-16 code units as String.prototype.slice does it.
func TestSplitLikeRxDB(t *testing.T) {
	rng := newRand()
	alphabet := []rune("aä漢😀\"\\\n\x01\u2028\u007f�")
	for range 20 {
		text := make([]rune, rng.IntN(3*chunkUnits))
		for i := range text {
			text[i] = alphabet[rng.IntN(len(alphabet))]
		}
		units := utf16.Encode(text)
		texts := split([]byte(string(text)), rng)
		if len(units) <= chunkUnits {
			if len(texts) != 1 || string(texts[0]) != string(text) {
				t.Fatal("a short message is not sent whole")
			}
			continue
		}
		if want := (len(units) + chunkUnits - 1) / chunkUnits; len(texts) != want {
			t.Fatalf("%d chunks, want %d", len(texts), want)
		}
		for i, text := range texts {
			var c struct{ Chunk struct{ Index, Total int } }
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			if c.Chunk.Index != i || c.Chunk.Total != len(texts) {
				t.Fatalf("chunk %d says %+v", i, c)
			}
			_, data, _ := bytes.Cut(text, []byte(`"data":`))
			if got, want := unitsOf(t, data[:len(data)-2]), units[i*chunkUnits:min(len(units), (i+1)*chunkUnits)]; !equalUnits(got, want) {
				t.Fatalf("chunk %d has other code units than a slice", i)
			}
		}
	}
}

// unitsOf reads a JSON string as UTF-16 code units, lone surrogates included.
func unitsOf(t *testing.T, literal []byte) (units []uint16) {
	t.Helper()
	s := string(literal[1 : len(literal)-1])
	for len(s) > 0 {
		if strings.HasPrefix(s, `\u`) {
			var u uint16
			if _, err := fmt.Sscanf(s[2:6], "%04x", &u); err != nil {
				t.Fatal(err)
			}
			units, s = append(units, u), s[6:]
			continue
		}
		if s[0] == '\\' {
			var one string
			if err := json.Unmarshal([]byte(`"`+s[:2]+`"`), &one); err != nil {
				t.Fatal(err)
			}
			units, s = append(units, uint16(one[0])), s[2:]
			continue
		}
		for _, r := range s {
			n := len(string(r))
			if strings.HasPrefix(s, "�") {
				n = 3
			}
			units, s = utf16.AppendRune(units, r), s[n:]
			break
		}
	}
	return units
}

func equalUnits(a, b []uint16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestJoin joins what split makes, in any order, with other messages in between.
func TestJoin(t *testing.T) {
	rng := newRand()
	var j joiner
	for range 10 {
		var texts [][]byte
		want := make(map[string]bool)
		for range 3 {
			// Pairs at an odd and an even offset, so that chunks cut some.
			message := `{"id":"` + RandomToken(rng) + strings.Repeat("x", rng.IntN(2)) + strings.Repeat("😀", chunkUnits+rng.IntN(chunkUnits)) + `"}`
			want[message] = true
			texts = append(texts, split([]byte(message), rng)...)
		}
		rng.Shuffle(len(texts), func(i, k int) { texts[i], texts[k] = texts[k], texts[i] })
		for _, text := range texts {
			m, tooLong, err := j.join(text)
			if err != nil || tooLong {
				t.Fatal(err, tooLong)
			}
			if m != nil {
				if !want[string(m)] {
					t.Fatalf("joined to %.60s", m)
				}
				delete(want, string(m))
			}
		}
		if len(want) > 0 || len(j.partial) > 0 || j.bytes != 0 {
			t.Fatalf("%d messages did not come, %d wait with %d bytes", len(want), len(j.partial), j.bytes)
		}
	}
}

// TestJoinIsBounded: whatever a peer sends and never finishes.
func TestJoinIsBounded(t *testing.T) {
	var j joiner
	data := strings.Repeat("x", 200_000)
	for i := range 600 {
		_, _, err := j.join(fmt.Appendf(nil, `{"chunk":{"id":"%d","index":%d,"total":1000,"data":%q}}`, i/60, i%60, data))
		if err != nil {
			t.Fatal(err)
		}
		if len(j.partial) > maxPartial || j.bytes > maxPartialBytes || len(j.discarded) > maxDiscarded {
			t.Fatalf("%d messages with %d bytes wait, %d are remembered", len(j.partial), j.bytes, len(j.discarded))
		}
	}
	for i := range 200 {
		if _, tooLong, err := j.join(fmt.Appendf(nil, `{"chunk":{"id":"long%d","index":0,"total":%d,"data":""}}`, i, MaxMessage)); err != nil || !tooLong {
			t.Fatal(tooLong, err)
		}
		if _, tooLong, err := j.join(fmt.Appendf(nil, `{"chunk":{"id":"long%d","index":1,"total":%d,"data":""}}`, i, MaxMessage)); err != nil || tooLong {
			t.Fatal("told twice that a message is too long", err)
		}
	}
	if len(j.discarded) > maxDiscarded {
		t.Errorf("%d are remembered", len(j.discarded))
	}
	if _, _, err := j.join([]byte(`{"chunk":{"id":"1","index":0,"total":1,"data":"` + strings.Repeat(`\u0000`, MaxText/6) + `"}}`)); !errors.Is(err, ErrLimit) {
		t.Errorf("a text over the limit: %v", err)
	}
}
