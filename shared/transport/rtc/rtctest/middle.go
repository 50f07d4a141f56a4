package rtctest

import (
	"context"
	"sync"

	"github.com/shoaldb/shoal/shared/transport"
)

// Middle makes two networks into what sits between two peers that a hostile signaling server has introduced to it instead of to each other: it
// passes on what their connections say. The function that it returns closes both, and waits until nothing runs any more.
func Middle(a, b transport.Network) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			passBoth(ctx, a, b)
		}
	})
	return func() {
		cancel()
		_, _ = a.Close(), b.Close() // networks of a test that is over
		running.Wait()
	}
}

// passBoth passes messages between the next connections of both until one ends.
func passBoth(ctx context.Context, a, b transport.Network) {
	left, err := a.Accept(ctx)
	if err != nil {
		return
	}
	defer left.Close()
	right, err := b.Accept(ctx)
	if err != nil {
		return
	}
	defer right.Close()
	var back sync.WaitGroup
	back.Go(func() {
		pass(ctx, right, left)
		left.Close()
	})
	pass(ctx, left, right)
	right.Close()
	back.Wait()
}

func pass(ctx context.Context, from, to transport.Conn) {
	for {
		lane, msg, err := from.Receive(ctx)
		if err != nil || to.Send(ctx, lane, msg) != nil {
			return
		}
	}
}
