// Package gate lets a type refuse calls once it is closed, and end and wait for those that are under way.
package gate

import (
	"context"
	"net"
	"sync"
)

// Gate counts the calls under way of something that can be closed. The zero value is open.
type Gate struct {
	wg sync.WaitGroup

	mu     sync.Mutex // guards the following fields
	closed bool
	last   uint64
	calls  map[uint64]context.CancelCauseFunc
}

// Enter begins a call. The context that it returns ends with ctx, and with net.ErrClosed when the gate is closed. The caller
// calls leave when the call is over. A closed gate answers net.ErrClosed, a ctx that has ended its cause.
func (g *Gate) Enter(ctx context.Context) (call context.Context, leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, nil, net.ErrClosed
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if g.calls == nil {
		g.calls = make(map[uint64]context.CancelCauseFunc)
	}
	call, cancel := context.WithCancelCause(ctx)
	g.last++
	id := g.last
	g.calls[id] = cancel
	g.wg.Add(1)
	return call, func() { g.leave(id) }, nil
}

func (g *Gate) leave(id uint64) {
	g.mu.Lock()
	cancel := g.calls[id]
	delete(g.calls, id)
	g.mu.Unlock()
	cancel(nil)
	g.wg.Done()
}

// Close refuses calls from now on, ends those under way and waits for them. Closing again only waits.
func (g *Gate) Close() {
	g.mu.Lock()
	g.closed = true
	for _, cancel := range g.calls {
		cancel(net.ErrClosed)
	}
	g.mu.Unlock()
	g.wg.Wait()
}
