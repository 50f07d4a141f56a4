package transporttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// testSizes: messages of all sizes, in particular around those at which drivers split, keep their bounds and content.
func testSizes(s *suite) {
	a, b := s.pair()
	sizes := []int{0, 1, 2, 100, 1199, 1200}
	for edge, around := range map[int]int{16 << 10: 1, 64 << 10: 9, 128 << 10: 9, 256 << 10: 1, 1 << 20: 1} {
		for delta := -around; delta <= around; delta++ {
			sizes = append(sizes, edge+delta)
		}
	}
	sizes = append(sizes, transport.MaxMessage)
	for lane := range transport.Lane(transport.Lanes) {
		sent := make(chan error, 1)
		go func() {
			for i, size := range sizes {
				if err := a.Send(s.ctx, lane, pattern(uint64(i), size)); err != nil {
					sent <- fmt.Errorf("send %d bytes: %w", size, err)
					return
				}
			}
			sent <- nil
		}()
		for i, size := range sizes {
			gotLane, msg := s.receive(b)
			if gotLane != lane || !bytes.Equal(msg, pattern(uint64(i), size)) {
				s.Fatalf("lane %d: received %d bytes on lane %d, want %d, or the content differs", lane, len(msg), gotLane, size)
			}
		}
		if err := <-sent; err != nil {
			s.Fatal(err)
		}
	}
}

// testTooBig: what is too big is refused, and harms nothing.
func testTooBig(s *suite) {
	a, b := s.pair()
	if err := a.Send(s.ctx, transport.Bulk, make([]byte, transport.MaxMessage+1)); err == nil {
		s.Errorf("Send of %d bytes: no error", transport.MaxMessage+1)
	}
	if err := a.Send(s.ctx, transport.Lanes, []byte("no lane")); err == nil {
		s.Error("Send on a lane that does not exist: no error")
	}
	s.exchange(a, b)
}

// sendNumbered sends messages that carry their number, of varying size.
func sendNumbered(ctx context.Context, c transport.Conn, lane transport.Lane, count int) error {
	for i := range count {
		msg := binary.BigEndian.AppendUint32(nil, uint32(i))
		if i%50 == 0 {
			msg = append(msg, pattern(uint64(i), 100_000)...)
		}
		if err := c.Send(ctx, lane, msg); err != nil {
			return fmt.Errorf("send message %d on lane %d: %w", i, lane, err)
		}
	}
	return nil
}

// expectNumbered receives what sendNumbered sent on both lanes.
func (s *suite) expectNumbered(c transport.Conn, count int) error {
	var next [transport.Lanes]int
	for range count * transport.Lanes {
		lane, msg, err := c.Receive(s.ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if len(msg) < 4 || int(binary.BigEndian.Uint32(msg)) != next[lane] {
			return fmt.Errorf("lane %d: a message of %d bytes, want number %d", lane, len(msg), next[lane])
		}
		if i := next[lane]; i%50 == 0 && !bytes.Equal(msg[4:], pattern(uint64(i), 100_000)) {
			return fmt.Errorf("lane %d: content of message %d differs", lane, i)
		}
		next[lane]++
	}
	return nil
}

// together runs all functions at once, and reports their errors.
func (s *suite) together(functions ...func() error) {
	s.Helper()
	errs := make([]error, len(functions))
	var running sync.WaitGroup
	for i, f := range functions {
		running.Go(func() { errs[i] = f() })
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

// testOrder: each lane keeps its order while both are in use.
func testOrder(s *suite) {
	const count = 500
	a, b := s.pair()
	s.together(
		func() error { return sendNumbered(s.ctx, a, transport.Live, count) },
		func() error { return sendNumbered(s.ctx, a, transport.Bulk, count) },
		func() error { return s.expectNumbered(b, count) },
	)
}

// testBothWays: the same in both directions at once.
func testBothWays(s *suite) {
	const count = 300
	a, b := s.pair()
	s.together(
		func() error { return sendNumbered(s.ctx, a, transport.Live, count) },
		func() error { return sendNumbered(s.ctx, a, transport.Bulk, count) },
		func() error { return sendNumbered(s.ctx, b, transport.Live, count) },
		func() error { return sendNumbered(s.ctx, b, transport.Bulk, count) },
		func() error { return s.expectNumbered(a, count) },
		func() error { return s.expectNumbered(b, count) },
	)
}

// testManySenders: Send may be called concurrently on one lane, with messages that are split too.
func testManySenders(s *suite) {
	const senders, each = 8, 10
	a, b := s.pair()
	size := func(sender, i int) int { return (sender*each+i)*5_000 + 2 }
	var functions []func() error
	for sender := range senders {
		functions = append(functions, func() error {
			for i := range each {
				msg := append([]byte{byte(sender), byte(i)}, pattern(uint64(sender), size(sender, i))...)
				if err := a.Send(s.ctx, transport.Bulk, msg); err != nil {
					return fmt.Errorf("sender %d: %w", sender, err)
				}
			}
			return nil
		})
	}
	s.together(append(functions, func() error {
		var next [senders]int
		for range senders * each {
			_, msg, err := b.Receive(s.ctx)
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			sender, i := int(msg[0]), int(msg[1])
			if i != next[sender] || !bytes.Equal(msg[2:], pattern(uint64(sender), size(sender, i))) {
				return fmt.Errorf("sender %d: message %d of %d bytes, want message %d unchanged", sender, i, len(msg), next[sender])
			}
			next[sender]++
		}
		return nil
	})...)
}

// testSliceOwnership: a sent slice belongs to the sender again, a received one to the receiver.
func testSliceOwnership(s *suite) {
	a, b := s.pair()
	for _, size := range []int{10, 1000, 200_000} {
		first, second := pattern(1, size), pattern(2, size)
		buf := bytes.Clone(first)
		s.send(a, transport.Live, buf)
		copy(buf, second)
		s.send(a, transport.Live, buf)
		clear(buf)
		_, got := s.receive(b)
		if !bytes.Equal(got, first) {
			s.Fatalf("%d bytes: the message changed with the sender's slice", size)
		}
		clear(got[:cap(got)])
		if _, got := s.receive(b); !bytes.Equal(got, second) {
			s.Fatalf("%d bytes: the message changed with the sender's or the receiver's slice", size)
		}
	}
}

// testSendCancelled: a Send whose ctx is over returns its cause and sends nothing.
func testSendCancelled(s *suite) {
	a, b := s.pair()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(s.ctx)
	cancel(cause)
	if err := a.Send(ctx, transport.Live, []byte("never")); !errors.Is(err, cause) {
		s.Errorf("Send = %v, want %v", err, cause)
	}
	s.exchange(a, b)
}

// testReceiveCancelled: a Receive whose ctx ends returns its cause, and no message is lost by it.
func testReceiveCancelled(s *suite) {
	a, b := s.pair()
	cause := errors.New("enough")
	for range 3 {
		ctx, cancel := context.WithCancelCause(s.ctx)
		received := make(chan error, 1)
		go func() {
			_, _, err := b.Receive(ctx)
			received <- err
		}()
		cancel(cause)
		if err := <-received; !errors.Is(err, cause) {
			s.Fatalf("Receive = %v, want %v", err, cause)
		}
		s.exchange(a, b)
	}
}

// patience is how long a Send must block before the suite believes that it does not just take a while. That it is too short
// makes a test weaker, not fail.
const patience = 2 * time.Second

// sendUntilBlocked sends messages of 1 MB until one does not get through, and returns how many did.
func (s *suite) sendUntilBlocked(c transport.Conn, lane transport.Lane) int {
	s.Helper()
	const most = 100
	for i := range most {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		err := c.Send(ctx, lane, pattern(uint64(i), 1<<20))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return i
		}
		if err != nil {
			s.Fatalf("Send to a peer that does not read: %v", err)
		}
	}
	s.Fatalf("%d MB were sent to a peer that does not read, and Send never blocked", most)
	return 0
}

// testSlowReader: a peer that does not read blocks Send. When it reads, it gets exactly what was sent.
func testSlowReader(s *suite) {
	a, b := s.pair()
	for lane := range transport.Lane(transport.Lanes) {
		count := s.sendUntilBlocked(a, lane)
		for i := range count {
			if _, msg := s.receive(b); !bytes.Equal(msg, pattern(uint64(i), 1<<20)) {
				s.Fatalf("lane %d: message %d is wrong", lane, i)
			}
		}
		s.send(a, lane, []byte("after"))
		s.receiveText(b, "after")
	}
	s.exchange(a, b)
}

// testLanesApart: when one lane is blocked, the other one is not.
func testLanesApart(s *suite) {
	a, b := s.pair()
	count := s.sendUntilBlocked(a, transport.Bulk)
	s.send(a, transport.Live, []byte("live"))
	s.send(b, transport.Live, []byte("back"))
	s.receiveText(a, "back")
	for live := false; count > 0 || !live; {
		switch lane, msg := s.receive(b); {
		case lane == transport.Live && string(msg) == "live" && !live:
			live = true
		case lane == transport.Bulk && len(msg) == 1<<20:
			count--
		default:
			s.Fatalf("received %d bytes on lane %d", len(msg), lane)
		}
	}
}

// testStats: statistics can be had at any time, and where they count bytes they count them all.
func testStats(s *suite) {
	a, b := s.pair()
	const size = 1 << 20
	s.together(
		func() error { return a.Send(s.ctx, transport.Bulk, pattern(1, size)) },
		func() error { _, _, err := b.Receive(s.ctx); return err },
	)
	s.exchange(a, b)
	sent, received := a.Stats(s.ctx), b.Stats(s.ctx)
	if sent.BytesSent != 0 && sent.BytesSent < size || received.BytesReceived != 0 && received.BytesReceived < size {
		s.Errorf("%d bytes sent and %d received, want 0 (unknown) or at least %d", sent.BytesSent, received.BytesReceived, size)
	}
	if sent.RTT < 0 || sent.Relayed != received.Relayed {
		s.Errorf("statistics of the two ends: %+v and %+v", sent, received)
	}
	s.closeAll()
	a.Stats(s.ctx)
}
