package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

// offer is a signal message of some 1.5 KB, like an SDP with many lines.
func offer() []byte {
	line := `a=candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx\r\n`
	return []byte(`{"type":"signal","room":"my-users-pool","senderPeerId":"abcdefghijkl","receiverPeerId":"mnopqrstuvwx",` +
		`"data":{"type":"offer","sdp":"` + strings.Repeat(line, 19) + `"},"connectionId":"abcdefghij"}`)
}

func BenchmarkScan(b *testing.B) {
	data := offer()
	b.SetBytes(int64(len(data)))
	var e Envelope
	for b.Loop() {
		if err := e.Scan(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	data := offer()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var m Message
		if err := json.Unmarshal(data, &m); err != nil {
			b.Fatal(err)
		}
	}
}
