package rtc_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/transport"
)

// TestLiveOvertakesBulk: while the bulk lane is full, a live message arrives before most of what was queued before it.
func TestLiveOvertakesBulk(t *testing.T) {
	l := newLab(t)
	a, b := l.member("a", setup{}), l.member("b", setup{})
	ca, cb := a.accept(), b.accept()
	const count, size = 30, 1 << 20
	flooded := make(chan error, 1)
	go func() {
		for i := range count {
			if err := ca.Send(l.ctx, transport.Bulk, make([]byte, size)); err != nil {
				flooded <- fmt.Errorf("message %d: %w", i, err)
				return
			}
		}
		flooded <- nil
	}()
	answered := make(chan error, 1)
	go func() {
		lane, msg, err := ca.Receive(l.ctx) // b says "go" when the flood has reached it
		if err != nil || lane != transport.Live || string(msg) != "go" {
			answered <- errors.Join(fmt.Errorf("received %.20q on lane %d", msg, lane), err)
			return
		}
		answered <- ca.Send(l.ctx, transport.Live, []byte("live"))
	}()
	bulk, before := 0, -1
	for bulk < count || before < 0 {
		lane, msg, err := cb.Receive(l.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if lane == transport.Live {
			before = bulk
			continue
		}
		if len(msg) != size {
			t.Fatalf("%d bytes on the bulk lane", len(msg))
		}
		if bulk++; bulk == 1 {
			if err := cb.Send(l.ctx, transport.Live, []byte("go")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(<-flooded, <-answered); err != nil {
		t.Fatal(err)
	}
	if before > count/2 {
		t.Errorf("the live message came after %d of %d bulk messages of 1 MB", before, count)
	}
	t.Logf("the live message came after %d bulk messages", before)
}
