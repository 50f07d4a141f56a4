package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/shoaldb/shoal/shared/transport"
)

// Network is one peer of a Net.
type Network struct {
	net    *Net
	id     string
	accept *queue[*conn]
	closed chan struct{}
	topics map[string]bool // guarded by net.mu; nil once closed
}

var _ transport.Network = (*Network)(nil)

// Join implements transport.Network.
func (p *Network) Join(topic string) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	switch {
	case p.topics == nil:
		return net.ErrClosed
	case p.topics[topic]:
		return fmt.Errorf("memnet: topic %q was joined already", topic)
	}
	p.topics[topic] = true
	p.net.updateAll(p.id)
	return nil
}

// Leave implements transport.Network.
func (p *Network) Leave(topic string) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	switch {
	case p.topics == nil:
		return net.ErrClosed
	case !p.topics[topic]:
		return fmt.Errorf("memnet: topic %q was not joined", topic)
	}
	delete(p.topics, topic)
	p.net.updateAll(p.id)
	return nil
}

// Accept implements transport.Network.
func (p *Network) Accept(ctx context.Context) (transport.Conn, error) {
	c, err := p.accept.pop(ctx, p.closed)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close implements transport.Network.
func (p *Network) Close() error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.topics == nil {
		return nil
	}
	p.topics = nil
	delete(p.net.peers, p.id)
	p.net.updateAll(p.id)
	close(p.closed)
	return nil
}

// queue is an unbounded queue with one consumer.
type queue[T any] struct {
	mu    sync.Mutex // guards the following field
	items []T
	ready chan struct{} // capacity 1
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

func (q *queue[T]) push(v T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, v)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue[T]) take() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return v, false
	}
	v = q.items[0]
	q.items = q.items[1:]
	return v, true
}

// pop blocks for an item. Once closed is closed and nothing is left it returns net.ErrClosed.
func (q *queue[T]) pop(ctx context.Context, closed <-chan struct{}) (v T, err error) {
	for {
		if v, ok := q.take(); ok {
			return v, nil
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return v, context.Cause(ctx)
		case <-closed:
			if v, ok := q.take(); ok {
				return v, nil
			}
			return v, net.ErrClosed
		}
	}
}
