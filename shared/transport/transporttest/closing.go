package transporttest

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/shoaldb/shoal/shared/transport"
)

// expectEnd checks what all methods say after c was closed here.
func (s *suite) expectEnd(c transport.Conn) {
	s.Helper()
	s.awaitClosed(c)
	if _, _, err := c.Receive(s.ctx); !errors.Is(err, net.ErrClosed) {
		s.Errorf("second Receive = %v, want one that matches net.ErrClosed", err)
	}
	if err := c.Send(s.ctx, transport.Live, []byte("late")); !errors.Is(err, net.ErrClosed) {
		s.Errorf("Send = %v, want one that matches net.ErrClosed", err)
	}
	if c.Peer() == "" || len(c.Binding()) == 0 {
		s.Error("a closed connection forgot its peer or binding")
	}
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.Errorf("Close again = %v", err)
	}
}

// testCloseHere: Close ends both ends.
func testCloseHere(s *suite) {
	a, b := s.pair()
	s.exchange(a, b)
	if err := a.Close(); err != nil {
		s.Errorf("Close = %v", err)
	}
	s.expectEnd(a)
	s.awaitClosed(b)
	s.expectEnd(b)
}

// testCloseThere: what came before the other end closed can be received, in order and without gaps.
func testCloseThere(s *suite) {
	a, b := s.pair()
	const count = 100
	for i := range count {
		s.send(a, transport.Live, fmt.Appendf(nil, "%d", i))
	}
	s.receiveText(b, "0")
	s.send(b, transport.Live, []byte("close"))
	s.receiveText(a, "close")
	if err := a.Close(); err != nil {
		s.Errorf("Close = %v", err)
	}
	for i := 1; ; i++ {
		_, msg, err := b.Receive(s.ctx)
		if err != nil {
			s.expectEnd(b)
			return
		}
		if want := fmt.Sprint(i); i >= count || string(msg) != want {
			s.Fatalf("received %.40q, want %q", msg, want)
		}
	}
}

// testCloseWhileBusy: Close ends every Send and Receive under way, and those of the other end.
func testCloseWhileBusy(s *suite) {
	a, b := s.pair()
	flood := func(c transport.Conn, lane transport.Lane) func() error {
		return func() error {
			for {
				if err := c.Send(s.ctx, lane, pattern(1, 300_000)); err != nil {
					return expectClosed("Send", err)
				}
			}
		}
	}
	idle := func() error {
		_, _, err := a.Receive(s.ctx)
		return expectClosed("Receive", err)
	}
	started := make(chan struct{})
	read := func() error { // until the flood has begun; then a's Sends block
		for i := 0; ; i++ {
			if _, _, err := b.Receive(s.ctx); err != nil {
				return err
			}
			if i == 20 {
				close(started)
				return nil
			}
		}
	}
	s.together(
		flood(a, transport.Live), flood(a, transport.Live), flood(a, transport.Bulk), flood(a, transport.Bulk),
		idle, read,
		func() error {
			select {
			case <-started:
				return a.Close()
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			}
		},
	)
	s.awaitClosed(b)
}

func expectClosed(what string, err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("%s during Close = %w, want one that matches net.ErrClosed", what, err)
}
