package rtctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// message is what Remote and Serve tell each other, as JSON.
type message struct {
	Op   string `json:"op"` // join, leave, send; connected, disconnected, joined, left, signal
	Room string `json:"room,omitempty"`
	Peer string `json:"peer,omitempty"`
	Data []byte `json:"data,omitempty"`
}

// Remote is the client of a server that is in another program, such as the one that started this page. It implements
// rtc.Signaler.
type Remote struct {
	send  func(text string)
	ready chan struct{} // holds one token when there may be events

	mu     sync.Mutex // guards the following fields
	events []rtc.SignalerEvent
	closed bool
}

// NewRemote makes a client that reaches its server with send. What the server answers must be given to Deliver.
func NewRemote(send func(text string)) *Remote {
	return &Remote{send: send, ready: make(chan struct{}, 1)}
}

// Deliver takes a text of the other side's Serve. It does not block.
func (r *Remote) Deliver(text string) error {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.Op {
	case "connected":
		r.events = append(r.events, rtc.Connected{Self: m.Peer})
	case "disconnected":
		r.events = append(r.events, rtc.Disconnected{Err: ErrDown})
	case "joined":
		r.events = append(r.events, rtc.PeerJoined{Room: m.Room, Peer: m.Peer})
	case "left":
		r.events = append(r.events, rtc.PeerLeft{Room: m.Room, Peer: m.Peer})
	case "signal":
		r.events = append(r.events, rtc.Signal{Room: m.Room, Peer: m.Peer, Data: m.Data})
	default:
		return fmt.Errorf("deliver: unknown operation %q", m.Op)
	}
	r.wake()
	return nil
}

func (r *Remote) wake() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

func (r *Remote) tell(m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	r.send(string(text))
	return nil
}

// Next is Next of rtc.Signaler.
func (r *Remote) Next(ctx context.Context) (rtc.SignalerEvent, error) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(r.events) > 0 {
			e := r.events[0]
			r.events = r.events[1:]
			r.mu.Unlock()
			return e, nil
		}
		r.mu.Unlock()
		select {
		case <-r.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Join is Join of rtc.Signaler.
func (r *Remote) Join(room string) error { return r.tell(message{Op: "join", Room: room}) }

// Leave is Leave of rtc.Signaler.
func (r *Remote) Leave(room string) error { return r.tell(message{Op: "leave", Room: room}) }

// Send is Send of rtc.Signaler.
func (r *Remote) Send(_ context.Context, room, peer string, data []byte) error {
	return r.tell(message{Op: "send", Room: room, Peer: peer, Data: data})
}

// Wake is Wake of rtc.Signaler. It does nothing.
func (r *Remote) Wake() {}

// Close is Close of rtc.Signaler.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
	return nil
}

// Serve connects a Remote of another program to s under id: what the Remote sends goes to the returned function, in order, and
// send passes texts back. It ends with ctx.
func (s *Server) Serve(ctx context.Context, id string, send func(text string)) (deliver func(text string) error) {
	c := s.Client(id)
	go func() {
		defer c.Close()
		for {
			event, err := c.Next(ctx)
			if err != nil {
				return
			}
			if text, err := json.Marshal(toMessage(event)); err == nil {
				send(string(text))
			}
		}
	}()
	return func(text string) error {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return fmt.Errorf("deliver: %w", err)
		}
		switch m.Op {
		case "join":
			return c.Join(m.Room)
		case "leave":
			return c.Leave(m.Room)
		case "send":
			return c.Send(ctx, m.Room, m.Peer, m.Data)
		}
		return errors.New("deliver: unknown operation")
	}
}

func toMessage(event rtc.SignalerEvent) message {
	switch e := event.(type) {
	case rtc.Connected:
		return message{Op: "connected", Peer: e.Self}
	case rtc.PeerJoined:
		return message{Op: "joined", Room: e.Room, Peer: e.Peer}
	case rtc.PeerLeft:
		return message{Op: "left", Room: e.Room, Peer: e.Peer}
	case rtc.Signal:
		return message{Op: "signal", Room: e.Room, Peer: e.Peer, Data: e.Data}
	}
	return message{Op: "disconnected"}
}
