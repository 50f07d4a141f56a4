package rtc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// simplePair connects two simple peers whose signals pass through change.
func simplePair(t *testing.T, change func(from int, signal string) []string) [2]*rtc.SimplePeer {
	t.Helper()
	needRTC(t)
	var peers [2]*rtc.SimplePeer
	var mu sync.Mutex // guards early and made
	var early [2][]string
	made := false
	give := func(to int, signal string) {
		mu.Lock()
		defer mu.Unlock()
		if !made {
			early[to] = append(early[to], signal)
			return
		}
		peers[to].Signal([]byte(signal))
	}
	for i := range peers {
		p, err := rtc.NewSimplePeer(&rtc.SimplePeerOptions{
			Initiator: i == 0, LoopbackOnly: native, ConnectTimeout: 20 * time.Second,
			Tell: func(_ context.Context, signal []byte) {
				for _, s := range change(i, string(signal)) {
					give(1-i, s)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		peers[i] = p
	}
	mu.Lock()
	made = true
	for i := range peers {
		for _, s := range early[i] {
			peers[i].Signal([]byte(s))
		}
	}
	mu.Unlock()
	return peers
}

func unchanged(_ int, signal string) []string { return []string{signal} }

func TestSimplePeer(t *testing.T) {
	peers := simplePair(t, unchanged)
	for i, p := range peers {
		for _, text := range []string{"hello", "ä漢😀", strings.Repeat("x", 100_000), "{}"} {
			if err := p.Send(t.Context(), fmt.Append(nil, i, text)); err != nil {
				t.Fatal(err)
			}
			got, err := peers[1-i].Receive(t.Context())
			if err != nil || string(got) != fmt.Sprint(i, text) {
				t.Fatalf("received %.50q, %v, want %.50q", got, err, text)
			}
		}
	}
	select {
	case <-peers[0].Opened():
	default:
		t.Error("open, but not Opened")
	}
	if s := peers[0].Stats(t.Context()); s.LocalCandidate == "" || s.BytesSent == 0 {
		t.Errorf("stats %+v", s)
	}
	peers[0].Close()
	if _, err := peers[1].Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the other end closed: %v", err)
	}
	<-peers[1].Done()
	if err := peers[1].Send(t.Context(), []byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after the end: %v", err)
	}
}

// TestSimplePeerIgnores: what simple-peer may say besides offers, answers and candidates, and what comes twice.
func TestSimplePeerIgnores(t *testing.T) {
	peers := simplePair(t, func(_ int, signal string) []string {
		return []string{
			`{"type":"transceiverRequest","transceiverRequest":{"kind":"audio"}}`, `{"type":"renegotiate","renegotiate":true}`,
			`{"type":"candidate","candidate":{"candidate":"","sdpMLineIndex":0,"sdpMid":"0"}}`,
			`{"type":"candidate","candidate":{"candidate":"candidate:1 1 sctp 1 nowhere.local 1 typ host","sdpMLineIndex":0,"sdpMid":"0"}}`,
			signal, signal,
		}
	})
	if err := peers[0].Send(t.Context(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := peers[1].Receive(t.Context()); err != nil || string(got) != "hello" {
		t.Fatalf("received %q, %v", got, err)
	}
}

// TestSimplePeerRefuses: a signal that is wrong ends the connection.
func TestSimplePeerRefuses(t *testing.T) {
	for name, signal := range map[string]string{
		"no JSON":   `offer`,
		"wrong SDP": `{"type":"offer","sdp":7}`,
		"media":     `{"type":"offer","sdp":"v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"}`,
		"long SDP":  `{"type":"offer","sdp":"` + strings.Repeat("x", 40_000) + `"}`,
		"candidate": `{"candidate":{"candidate":"` + strings.Repeat("x", 2000) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			peers := simplePair(t, func(int, string) []string { return nil })
			peers[1].Signal([]byte(signal))
			<-peers[1].Done()
			if err := peers[1].Err(); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
	t.Run("candidates without end", func(t *testing.T) {
		peers := simplePair(t, func(int, string) []string { return nil })
		for range 1000 {
			peers[1].Signal([]byte(`{"candidate":{"candidate":"x"}}`))
		}
		<-peers[1].Done()
	})
}

// TestSimplePeerGolden answers an offer of simple-peer 9.11.1 in RxDB, and takes its candidate.
func TestSimplePeerGolden(t *testing.T) {
	if !native {
		t.Skip("there are no files")
	}
	told := make(chan string, 100)
	p, err := rtc.NewSimplePeer(&rtc.SimplePeerOptions{
		LoopbackOnly: true, Tell: func(_ context.Context, signal []byte) { told <- string(signal) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, name := range []string{"candidate", "offer"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "protocol", "testdata", "rxdb", "signal-"+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Data json.RawMessage }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		p.Signal(m.Data)
	}
	var answer struct{ Type, SDP string }
	if err := json.Unmarshal([]byte(<-told), &answer); err != nil || answer.Type != "answer" || !strings.Contains(answer.SDP, "m=application ") {
		t.Errorf("the answer is %+v, %v", answer, err)
	}
	if p.Err() != nil {
		t.Error(p.Err())
	}
}
