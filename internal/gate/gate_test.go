package gate_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate.Gate
		call, leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() { g.Close(); close(closed) }()
		<-call.Done()
		if cause := context.Cause(call); !errors.Is(cause, net.ErrClosed) {
			t.Errorf("the call ended with %v, want net.ErrClosed", cause)
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the call")
		default:
		}
		if _, _, err := g.Enter(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("enter while closing: %v, want net.ErrClosed", err)
		}
		leave()
		<-closed
		g.Close()
	})
}

func TestContext(t *testing.T) {
	var g gate.Gate
	cause := errors.New("had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	call, leave, err := g.Enter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	cancel(cause)
	<-call.Done()
	if got := context.Cause(call); got != cause {
		t.Errorf("the call ended with %v, want the cause of its context", got)
	}
	if _, _, err := g.Enter(ctx); err != cause {
		t.Errorf("enter with a context that has ended: %v, want its cause", err)
	}
}
