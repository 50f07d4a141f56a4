package rtc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxSDP is the largest session description that is taken, in bytes. One with data channels only has about 1 KB, and
// 150 bytes for each candidate in it.
const maxSDP = 32 << 10

// errSDP is the error of a session description that this network does not take.
var errSDP = errors.New("rtc: session description refused")

// checkSDP refuses what no peer of this network sends: media, which would make a browser set up codecs, more than one
// certificate, which would make the binding ambiguous, and hashes other than SHA-256.
func checkSDP(sdp string) error {
	if len(sdp) > maxSDP {
		return fmt.Errorf("%w: %d bytes, the limit is %d", errSDP, len(sdp), maxSDP)
	}
	media := 0
	for line := range strings.Lines(sdp) {
		if strings.HasPrefix(line, "m=") {
			media++
			if !strings.HasPrefix(line, "m=application ") {
				return fmt.Errorf("%w: it has media: %.40q", errSDP, line)
			}
		}
	}
	if media != 1 {
		return fmt.Errorf("%w: %d data sections, want 1", errSDP, media)
	}
	_, err := fingerprint(sdp)
	return err
}

// fingerprint returns the SHA-256 fingerprint of the DTLS certificate that sdp names (RFC 8122 section 5).
func fingerprint(sdp string) ([]byte, error) {
	var found []byte
	for line := range strings.Lines(sdp) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "a=fingerprint:")
		if !ok {
			continue
		}
		hash, digits, _ := strings.Cut(value, " ")
		sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
		if err != nil || len(sum) != sha256.Size || !strings.EqualFold(hash, "sha-256") {
			return nil, fmt.Errorf("%w: no SHA-256 fingerprint: %.120q", errSDP, value)
		}
		if found != nil && !bytes.Equal(found, sum) {
			return nil, fmt.Errorf("%w: more than one certificate", errSDP)
		}
		found = sum
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no fingerprint", errSDP)
	}
	return found, nil
}

// binding makes the channel binding of a connection of its two session descriptions. It is the same on both ends.
func binding(local, remote string) ([]byte, error) {
	a, err := fingerprint(local)
	if err != nil {
		return nil, err
	}
	b, err := fingerprint(remote)
	if err != nil {
		return nil, err
	}
	if bytes.Compare(a, b) > 0 {
		a, b = b, a
	}
	sum := sha256.Sum256(append(bytes.Clone(a), b...))
	return sum[:], nil
}

// pieceLimit is the largest piece that the peer takes, given its session description (RFC 8841 section 6).
func pieceLimit(remote string) int {
	for line := range strings.Lines(remote) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "a=max-message-size:")
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 63); err == nil && n > 0 {
			return int(max(min(n, maxPiece), minPiece))
		}
	}
	return maxPiece
}

// minPiece bounds how small the pieces get that a peer can ask for: 1 KB, which is below all known implementations.
const minPiece = 1 << 10
