package hub_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
)

// pings are n WebSocket pings that differ.
func pings(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(fmt.Appendf(nil, "%0100d", i)))))
	}
	return b.Bytes()
}

// expectPongs reads the answers to pings.
func (p *peer) expectPongs(n int) {
	p.t.Helper()
	for i := range n {
		h, payload, err := p.frame()
		if err != nil || h.OpCode != ws.OpPong || string(payload) != fmt.Sprintf("%0100d", i) {
			p.t.Fatalf("frame %d: %v %q, %v", i, h.OpCode, payload, err)
		}
	}
}

// TestMuchAtOnce: what comes at once, and is more than the hub reads at once, is all answered. Nothing comes after it that would tell
// the hub of the rest.
func TestMuchAtOnce(t *testing.T) {
	s := serve(t, &hub.Options{Rate: -1, Burst: -1, MaxQueue: 64 << 20})
	p := s.connect(t, rxdb)
	const n = 20_000
	if _, err := p.conn.Write(pings(n)); err != nil {
		t.Fatal(err)
	}
	p.expectPongs(n)
}

// TestEndWithInput: the end that comes together with the last input is seen.
func TestEndWithInput(t *testing.T) {
	s := serve(t, nil)
	for range 50 {
		p := s.connect(t, rxdb)
		if _, err := p.conn.Write(pings(3)); err != nil {
			t.Fatal(err)
		}
		p.conn.(*net.TCPConn).CloseWrite()
		p.expectPongs(3)
		p.expectEnd()
	}
	until(t, "all to have gone", func() bool { return s.Stats().Connections == 0 })
}

// TestLateReader: who reads only after the sockets between are full gets all the same, once each.
func TestLateReader(t *testing.T) {
	s := serve(t, &hub.Options{Rate: -1, Burst: -1, MaxQueue: 64 << 20})
	p := s.connect(t, rxdb)
	const n = 150_000
	if _, err := p.conn.Write(pings(n)); err != nil {
		t.Fatal(err)
	}
	until(t, "output to wait", func() bool { return s.Stats().Queued > 1<<20 })
	p.expectPongs(n)
}
