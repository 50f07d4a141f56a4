package rtc

import (
	"context"
	"log/slog"
	"sync"
)

// outboxSize bounds the signals that wait for the signaler. What does not fit is lost, and the attempt that it belonged to is
// repeated later.
const outboxSize = 1024

// outbox passes signals to the signaler, one after the other, so that the loop never waits for it.
type outbox struct {
	ready chan struct{} // holds one token when signals wait

	mu      sync.Mutex // guards the following fields
	waiting []outgoing
	cut     context.CancelFunc // ends the Send under way
}

type outgoing struct {
	room, peer string
	data       []byte
	relay      bool // a frame for the relay
}

func newOutbox() *outbox {
	return &outbox{ready: make(chan struct{}, 1), cut: func() {}}
}

// put queues a signal and says whether there was room.
func (o *outbox) put(s outgoing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) >= outboxSize {
		return false
	}
	o.waiting = append(o.waiting, s)
	signalOne(o.ready)
	return true
}

// drop forgets what waits: the way to the server is gone, and signals are soon stale.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = nil
	o.cut()
}

func (o *outbox) next(cut context.CancelFunc) (outgoing, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut = cut
	if len(o.waiting) == 0 {
		return outgoing{}, false
	}
	s := o.waiting[0]
	o.waiting = o.waiting[1:]
	return s, true
}

func (s *outgoing) send(ctx context.Context, signaler Signaler) error {
	if r, ok := signaler.(Relayer); ok && s.relay {
		return r.Relay(ctx, s.room, s.peer, s.data)
	}
	return signaler.Send(ctx, s.room, s.peer, s.data)
}

// run sends until ctx ends.
func (o *outbox) run(ctx context.Context, signaler Signaler, logger *slog.Logger) {
	for {
		sending, cut := context.WithCancel(ctx)
		s, ok := o.next(cut)
		if ok {
			if err := s.send(sending, signaler); err != nil {
				logger.Debug("send signal", "peer", s.peer, "room", s.room, "error", err)
			}
			cut()
			continue
		}
		cut()
		select {
		case <-o.ready:
		case <-ctx.Done():
			return
		}
	}
}
