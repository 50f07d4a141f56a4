package rxdb

import (
	"crypto/sha256"
	"encoding/hex"
)

// IsMaster reports whether the side with the storage token own is master towards the one with the token other: isMasterInWebRTCReplication in
// RxDB's webrtc-helper.ts, with RxDB's default hash function, SHA-256.
func IsMaster(own, other string) bool { return hash(own+"|"+other) > hash(other+"|"+own) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
