//go:build js

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// network is a connection handler of the application as a transport.Network. It is in one topic, for which it was made. A message of
// the handler is the byte of the lane and a message.
type network struct {
	core   *core
	number int
	news   chan struct{} // capacity 1: accepted is not empty
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex // guards the following fields
	topic    string
	peers    map[string]*peerConn // also those that were closed here, until the handler says that they are gone
	accepted []*peerConn
}

var (
	errOneTopic  = errors.New("a connection handler is for one topic")
	errFlooded   = errors.New("peer sends faster than its messages are read")
	errSendEmpty = errors.New("connection handler delivered an empty message")
)

// inboxBytes bounds what waits for Receive: the largest message and what a first sync has on its way.
const inboxBytes = 2*transport.MaxMessage + 24<<20

// addNetwork () makes a network and returns its number.
func (c *core) addNetwork(context.Context, arguments) (any, error) {
	n := &network{core: c, news: make(chan struct{}, 1), peers: make(map[string]*peerConn)}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	n.number = c.add(n)
	return n.number, nil
}

// networkEvent (network, kind, peer, bytes) takes what a connection handler tells: "connect", "disconnect" or "message".
func (c *core) networkEvent(_ context.Context, a arguments) (any, error) {
	n, err := thing[*network](c, a)
	if err != nil {
		return nil, nil // it was closed meanwhile
	}
	kind, err := at[string](a, 1)
	if err != nil {
		return nil, err
	}
	peer, err := at[string](a, 2)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "connect":
		n.peer(peer)
	case "disconnect":
		n.gone(peer)
	case "message":
		data, err := at[[]byte](a, 3)
		if err != nil {
			return nil, err
		}
		n.peer(peer).deliver(data)
	default:
		return nil, jsbridge.TypeError("unknown event " + kind)
	}
	return nil, nil
}

// peer returns the connection to a peer, made if need be: messages can come before the handler says that there is a connection.
func (n *network) peer(id string) *peerConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[id]
	if p == nil {
		p = &peerConn{network: n, id: id, some: make(chan struct{}, 1)}
		p.ctx, p.cancel = context.WithCancelCause(n.ctx)
		n.peers[id] = p
		n.accepted = append(n.accepted, p)
		select {
		case n.news <- struct{}{}:
		default:
		}
	}
	return p
}

func (n *network) gone(id string) {
	n.mu.Lock()
	p := n.peers[id]
	delete(n.peers, id)
	n.mu.Unlock()
	if p != nil {
		p.cancel(net.ErrClosed)
	}
}

// Join implements transport.Network.
func (n *network) Join(topic string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.topic != "" {
		return errOneTopic
	}
	n.topic = topic
	return nil
}

// Leave implements transport.Network.
func (n *network) Leave(string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.topic = ""
	for _, p := range n.peers {
		p.cancel(net.ErrClosed)
	}
	return nil
}

// Accept implements transport.Network.
func (n *network) Accept(ctx context.Context) (transport.Conn, error) {
	for {
		n.mu.Lock()
		if len(n.accepted) > 0 {
			p := n.accepted[0]
			n.accepted = slices.Delete(n.accepted, 0, 1)
			n.mu.Unlock()
			return p, nil
		}
		n.mu.Unlock()
		select {
		case <-n.news:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-n.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// Close implements transport.Network. It asks the handler to close.
func (n *network) Close() error {
	if n.ctx.Err() != nil {
		return nil
	}
	n.cancel(net.ErrClosed)
	n.core.forget(n.number)
	_, err := n.core.ask(context.Background(), requestClose, n.number, "", nil)
	return err
}

// peerConn is one peer of a network.
type peerConn struct {
	network *network
	id      string
	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	some    chan struct{} // capacity 1: an inbox is not empty

	mu    sync.Mutex // guards the following fields
	inbox [transport.Lanes][][]byte
	size  int // of all in inbox
}

// deliver takes a message. One that should not have come ends the connection.
func (p *peerConn) deliver(data []byte) {
	if p.ctx.Err() != nil {
		return
	}
	if len(data) == 0 || data[0] >= transport.Lanes || len(data) > transport.MaxMessage+1 {
		p.fail(errSendEmpty)
		return
	}
	p.mu.Lock()
	lane := data[0]
	p.inbox[lane] = append(p.inbox[lane], data[1:])
	p.size += len(data)
	full := p.size > inboxBytes
	p.mu.Unlock()
	if full {
		p.fail(errFlooded)
		return
	}
	select {
	case p.some <- struct{}{}:
	default:
	}
}

func (p *peerConn) fail(err error) {
	p.cancel(fmt.Errorf("%w: %w", net.ErrClosed, err))
}

// Send implements transport.Conn. It blocks until the handler has taken the message.
func (p *peerConn) Send(ctx context.Context, lane transport.Lane, msg []byte) error {
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })()
	framed := append(append(make([]byte, 0, len(msg)+1), byte(lane)), msg...)
	if _, err := p.network.core.ask(ctx, requestSend, p.network.number, p.id, framed); err != nil {
		if ctx.Err() == nil {
			p.fail(err)
			return fmt.Errorf("%w: %w", net.ErrClosed, err)
		}
		return err
	}
	return nil
}

// Receive implements transport.Conn.
func (p *peerConn) Receive(ctx context.Context) (transport.Lane, []byte, error) {
	for {
		if lane, msg, ok := p.pop(); ok {
			return lane, msg, nil
		}
		select {
		case <-p.some:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		case <-p.ctx.Done():
			if lane, msg, ok := p.pop(); ok {
				return lane, msg, nil
			}
			return 0, nil, context.Cause(p.ctx)
		}
	}
}

func (p *peerConn) pop() (transport.Lane, []byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for lane := range p.inbox {
		if box := p.inbox[lane]; len(box) > 0 {
			msg := box[0]
			box[0] = nil
			p.inbox[lane] = box[1:]
			p.size -= len(msg) + 1
			return transport.Lane(lane), msg, true
		}
	}
	return 0, nil, false
}

// Close implements transport.Conn. The handler keeps its connection: its interface has no way to end just one.
func (p *peerConn) Close() error {
	p.cancel(net.ErrClosed)
	return nil
}

// Peer implements transport.Conn.
func (p *peerConn) Peer() string { return p.id }

// Binding implements transport.Conn. A connection handler has none.
func (p *peerConn) Binding() []byte { return nil }

// Stats implements transport.Conn.
func (p *peerConn) Stats(context.Context) transport.Stats { return transport.Stats{} }
