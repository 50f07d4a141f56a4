package rtc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/shoaldb/shoal/shared/transport"
)

// window is how many bytes of the messages of a lane a peer may have sent without having been told that they were taken. A
// message may begin as long as less is outstanding. It is above what a fast path holds in flight: 20 MB/s at 200 ms.
const window = 4 << 20

// maxUnread bounds what one lane of an inbox holds when the peer keeps to the window.
const maxUnread = window + transport.MaxMessage

// errOverrun is the error of a peer that sent more than it was given credit for.
var errOverrun = errors.New("rtc: peer sent beyond its credit")

// inbox holds the messages that arrived and were not received yet. It is filled by the callbacks of the data channels, so
// put never blocks.
type inbox struct {
	ready chan struct{} // holds one token when there may be something to take; put and end fill it, take empties it

	mu    sync.Mutex // guards the following fields
	lanes [transport.Lanes]laneInbox
	err   error // why nothing arrives any more
}

type laneInbox struct {
	join     joiner
	messages [][]byte
	unread   int    // bytes in messages
	taken    uint64 // bytes of all messages ever taken
	told     uint64 // value of taken that the peer knows
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

func (b *inbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// put takes one piece that is no control piece.
func (b *inbox) put(lane transport.Lane, piece []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lanes[lane]
	msg, ok, err := l.join.join(piece)
	if err != nil || !ok {
		return err
	}
	if l.unread += len(msg); l.unread > maxUnread {
		return fmt.Errorf("%w: %d bytes are unread on lane %d", errOverrun, l.unread, lane)
	}
	l.messages = append(l.messages, msg)
	b.wake()
	return nil
}

// end makes take return err once it has returned all that arrived before. The first call counts.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		b.wake()
	}
}

// take blocks for the next message. Messages of the live lane come first. It also returns the number of bytes taken from that
// lane so far when the peer should be told, else 0.
func (b *inbox) take(ctx context.Context) (lane transport.Lane, msg []byte, credit uint64, err error) {
	for {
		lane, msg, credit, ok, err := b.tryTake()
		if ok || err != nil {
			return lane, msg, credit, err
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
			return 0, nil, 0, context.Cause(ctx)
		}
	}
}

func (b *inbox) tryTake() (lane transport.Lane, msg []byte, credit uint64, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.lanes {
		l := &b.lanes[i]
		if len(l.messages) == 0 {
			continue
		}
		msg = l.messages[0]
		l.messages[0] = nil
		if l.messages = l.messages[1:]; len(l.messages) == 0 {
			l.messages = nil // so that the array does not grow for ever
		}
		l.unread -= len(msg)
		l.taken += uint64(len(msg))
		if l.taken-l.told >= window/2 {
			l.told = l.taken
			credit = l.told
		}
		return transport.Lane(i), msg, credit, true, nil
	}
	return 0, nil, 0, false, b.err
}
