package rtc

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

const (
	// tunnelWindowMin and tunnelWindowMax bound how many bytes of frames may be on their way unacknowledged.
	tunnelWindowMin = relayPayload
	tunnelWindowMax = 4 * relayPayload
	// ackEvery and ackDelay say when frames are acknowledged that no own frame acknowledges: after so many, or so late.
	ackEvery = 2
	ackDelay = 30 * time.Millisecond
	// resendMin and resendMax bound how long to wait for an acknowledgement.
	resendMin = time.Second
	resendMax = 10 * time.Second
	// slowMin and slowMax bound for how long nothing is sent after the server has refused to relay so much.
	slowMin = 250 * time.Millisecond
	slowMax = 4 * time.Second
)

// tunnel makes a reliable stream of pieces of relay frames that may be lost and repeated: frames are numbered, taken in order
// only, acknowledged, and sent again from the first that is missing. It has no I/O and no clock of its own. What is queued may be
// added by anybody; all else belongs to one goroutine.
type tunnel struct {
	keys    *relayKeys
	heard   func(lane transport.Lane, piece []byte)
	drained func(lane transport.Lane)
	low     int           // drained is called when a queue falls to this
	news    chan struct{} // holds one token when something was queued

	mu     sync.Mutex // guards the following field
	queues [transport.Lanes]pieceQueue

	frames   []tunnelFrame // not acknowledged
	sent     int           // how many of them were sent since the last loss
	flying   int           // bytes of these
	number   uint64        // of the next frame
	expected uint64        // of the next frame of the peer
	acks     uint64        // number of the next acknowledgement
	unacked  int           // frames of the peer that this side did not acknowledge
	ackAt    time.Time     // when to do so; zero: no need

	window   int
	ceiling  int // up to which the window grows quickly
	rtt      time.Duration
	wait     time.Duration // for an acknowledgement
	resendAt time.Time     // zero: nothing is awaited
	slow     time.Duration // last wait after a refusal
	slowTill time.Time

	sentBytes, receivedBytes atomic.Uint64 // of data frames
}

type pieceQueue struct {
	pieces [][]byte
	bytes  int
}

type tunnelFrame struct {
	bytes []byte
	at    time.Time // when it was sent; zero when it was sent again, for then the time says nothing
}

func newTunnel(keys *relayKeys, h pcHandler, low int) *tunnel {
	return &tunnel{
		keys: keys, heard: h.heard, drained: h.drained, low: low, news: make(chan struct{}, 1),
		window: 2 * tunnelWindowMin, ceiling: tunnelWindowMax, wait: resendMin,
	}
}

// send queues a piece.
func (t *tunnel) send(lane transport.Lane, piece []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := &t.queues[lane]
	q.pieces = append(q.pieces, append([]byte(nil), piece...))
	q.bytes += len(piece)
	signalOne(t.news)
	return nil
}

// buffered is the number of bytes queued.
func (t *tunnel) buffered(lane transport.Lane) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queues[lane].bytes
}

// next returns the next frame that is to be sent now, or nil.
func (t *tunnel) next(now time.Time) []byte {
	switch {
	case now.Before(t.slowTill):
		return nil
	case t.sent < len(t.frames) && (t.sent == 0 || t.flying < t.window):
		return t.fly(&t.frames[t.sent], now, t.frames[t.sent].at.IsZero())
	case t.sent == len(t.frames) && t.flying < t.window:
		if content := t.content(); content != nil {
			t.frames = append(t.frames, tunnelFrame{bytes: t.keys.seal(relayData, t.number, content)})
			t.number++
			return t.fly(&t.frames[t.sent], now, false)
		}
	}
	if t.ackAt.IsZero() || now.Before(t.ackAt) {
		return nil
	}
	t.acknowledged()
	frame := t.keys.seal(relayAck, t.acks, binary.BigEndian.AppendUint64(nil, t.expected))
	t.acks++
	return frame
}

func (t *tunnel) fly(f *tunnelFrame, now time.Time, again bool) []byte {
	f.at = now
	if again {
		f.at = time.Time{}
	}
	t.sent++
	t.flying += len(f.bytes)
	t.sentBytes.Add(uint64(len(f.bytes)))
	if t.resendAt.IsZero() {
		t.resendAt = now.Add(t.wait)
	}
	return f.bytes
}

// content takes queued pieces, those of the live lane first, for one frame. It returns nil if there are none.
func (t *tunnel) content() []byte {
	var content []byte
	for lane := range t.queues {
		fell := false
		t.mu.Lock()
		q := &t.queues[lane]
		for len(q.pieces) > 0 && len(content)+len(q.pieces[0])+16 <= relayPayload {
			if content == nil {
				content = binary.BigEndian.AppendUint64(make([]byte, 0, relayPayload), t.expected)
			}
			piece := q.pieces[0]
			q.pieces[0] = nil
			q.pieces = q.pieces[1:]
			content = appendPiece(content, byte(lane), piece)
			above := q.bytes > t.low
			q.bytes -= len(piece)
			fell = fell || above && q.bytes <= t.low
		}
		if len(q.pieces) == 0 {
			q.pieces = nil // so that the array does not grow for ever
		}
		t.mu.Unlock()
		if fell {
			t.drained(transport.Lane(lane))
		}
	}
	if content != nil {
		t.acknowledged()
	}
	return content
}

func (t *tunnel) acknowledged() { t.unacked, t.ackAt = 0, time.Time{} }

// due is when something is to be done even if nothing comes; zero for never.
func (t *tunnel) due(now time.Time) time.Time {
	if now.Before(t.slowTill) {
		return t.slowTill
	}
	due := t.ackAt
	if !t.resendAt.IsZero() && (due.IsZero() || t.resendAt.Before(due)) {
		due = t.resendAt
	}
	return due
}

// tick does what is due: frames of which no acknowledgement came in time are taken for lost.
func (t *tunnel) tick(now time.Time) {
	if t.resendAt.IsZero() || now.Before(t.resendAt) || now.Before(t.slowTill) {
		return
	}
	t.lost(now)
	t.wait = min(2*t.wait, resendMax)
}

// lost sends everything again that is not acknowledged, in a smaller window.
func (t *tunnel) lost(now time.Time) {
	t.ceiling = max(t.window/2, tunnelWindowMin)
	t.window = t.ceiling
	for i := range t.frames[:t.sent] {
		t.frames[i].at = time.Time{}
	}
	t.sent, t.flying = 0, 0
	t.resendAt = time.Time{}
	if len(t.frames) > 0 {
		t.resendAt = now.Add(t.wait)
	}
}

// refused deals with the server's word that it dropped something because it was too much.
func (t *tunnel) refused(now time.Time) {
	if now.Before(t.slowTill) {
		return // of the same burst
	}
	t.slow = min(max(2*t.slow, slowMin), slowMax)
	t.slowTill = now.Add(t.slow)
	t.lost(now)
	if !t.resendAt.IsZero() {
		t.resendAt = t.slowTill.Add(t.wait)
	}
}

// resume sends everything again at once: there is a way to the server again.
func (t *tunnel) resume(now time.Time) {
	if len(t.frames) > 0 {
		t.lost(now)
	}
	t.wait = max(resendMin, 4*t.rtt)
}

// take takes a data or ack frame. One that somebody changed or made up has no effect, and gives an error that matches errRelayForged;
// other errors are the peer's fault.
func (t *tunnel) take(f relayFrame, now time.Time) error {
	if f.kind == relayData && f.number != t.expected {
		t.owe(now, f.number < t.expected)
		return nil
	}
	plain, err := t.keys.open(f)
	if err != nil {
		return err
	}
	ack, rest, err := takeAck(plain)
	if err != nil {
		return err
	}
	t.takeAck(ack, now)
	if f.kind == relayAck {
		return nil
	}
	t.expected++
	t.receivedBytes.Add(uint64(len(f.whole)))
	t.owe(now, false)
	for len(rest) > 0 {
		var lane byte
		var piece []byte
		if lane, piece, rest, err = nextPiece(rest); err != nil {
			return err
		}
		if lane >= transport.Lanes {
			return fmt.Errorf("%w: lane %d", errRelayFrame, lane)
		}
		t.heard(transport.Lane(lane), piece)
	}
	return nil
}

// owe notes that the peer is to be told what arrived: soon, or, when it seems to have missed that, at the next occasion.
func (t *tunnel) owe(now time.Time, missed bool) {
	t.unacked++
	at := now.Add(ackDelay)
	if t.unacked >= ackEvery && !missed {
		at = now
	}
	if t.ackAt.IsZero() || at.Before(t.ackAt) {
		t.ackAt = at
	}
}

// takeAck forgets the frames that arrived.
func (t *tunnel) takeAck(ack uint64, now time.Time) {
	first := t.number - uint64(len(t.frames))
	if ack <= first || ack > t.number {
		return
	}
	n := int(ack - first)
	size := 0
	for i, f := range t.frames[:n] {
		size += len(f.bytes)
		if i < t.sent {
			t.flying -= len(f.bytes)
		}
		if !f.at.IsZero() {
			t.rtt = now.Sub(f.at)
		}
	}
	t.frames = append(t.frames[:0:0], t.frames[n:]...)
	t.sent = max(0, t.sent-n)
	t.wait = min(max(resendMin, 4*t.rtt), resendMax)
	t.slow = 0
	if t.window < t.ceiling {
		t.window += size
	} else {
		t.window += relayPayload * size / t.window
	}
	t.window = min(t.window, tunnelWindowMax)
	t.resendAt = time.Time{}
	if len(t.frames) > 0 {
		t.resendAt = now.Add(t.wait)
	}
}
