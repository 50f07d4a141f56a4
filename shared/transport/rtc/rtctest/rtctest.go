// Package rtctest is a signaling server in memory, and what a hostile one puts in the middle, for tests and benchmarks of networks that run in one process or page.
package rtctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// ErrDown is why clients are disconnected from a server that is down.
var ErrDown = errors.New("rtctest: the server is down")

// Server passes signals between its clients. All methods may be called concurrently.
type Server struct {
	mu      sync.Mutex // guards the following fields, and those of the clients
	clients []*Client
	down    bool
	filter  func(from, to string, data []byte) bool
	relay   func(from, to string, frame []byte) ([][]byte, error)
	seen    int
}

// New makes a server that is up.
func New() *Server { return &Server{} }

// Client is a client of the server. It implements rtc.Signaler.
type Client struct {
	server *Server
	id     string
	rooms  []string
	online bool
	closed bool
	events []rtc.SignalerEvent
	ready  chan struct{} // holds one token when there may be events
}

// Client connects a client under id, which must not be in use.
func (s *Server) Client(id string) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Client{server: s, id: id, ready: make(chan struct{}, 1)}
	s.clients = append(s.clients, c)
	if !s.down {
		c.connect()
	}
	return c
}

// SetFilter lets keep decide which signals are passed on; nil passes all. It is called under the server's lock.
func (s *Server) SetFilter(keep func(from, to string, data []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = keep
}

// SetRelay lets pass decide what becomes of a frame of a relayed connection: what it returns is delivered instead, or its error told to
// the sender, as final where it matches rtc.ErrRelay. nil passes all. It is called under the server's lock.
func (s *Server) SetRelay(pass func(from, to string, frame []byte) ([][]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.relay = pass
}

// Relaying connects a client under id for which the server relays.
func (s *Server) Relaying(id string) *RelayClient { return &RelayClient{s.Client(id)} }

// RelayClient is a client of a server that relays. It implements rtc.Relayer.
type RelayClient struct{ *Client }

// Relay is Relay of rtc.Relayer.
func (c *RelayClient) Relay(_ context.Context, room, peer string, frame []byte) error {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.online {
		return ErrDown
	}
	frames := [][]byte{frame}
	if s.relay != nil {
		var err error
		if frames, err = s.relay(c.id, peer, bytes.Clone(frame)); err != nil {
			c.tell(rtc.RelayRefused{Room: room, Peer: peer, Err: err, Final: errors.Is(err, rtc.ErrRelay)})
		}
	}
	for _, other := range s.clients {
		if other.id != peer || !other.online || !slices.Contains(other.rooms, room) || !slices.Contains(c.rooms, room) {
			continue
		}
		for _, f := range frames {
			other.tell(rtc.Relayed{Room: room, Peer: c.id, Piece: bytes.Clone(f)})
		}
	}
	return nil
}

// Signals counts the signals that clients sent and that reached another one.
func (s *Server) Signals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// SetDown takes the server down or up again. Clients come back under the ids that rename returns for theirs; nil keeps them.
func (s *Server) SetDown(down bool, rename func(id string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	for _, c := range s.clients {
		switch {
		case c.closed:
		case down && c.online:
			c.online = false
			c.tell(rtc.Disconnected{Err: ErrDown})
		case !down && !c.online:
			if rename != nil {
				c.id = rename(c.id)
			}
			c.connect()
		}
	}
}

// connect needs the server's lock, as tell, enter and leave do.
func (c *Client) connect() {
	c.online = true
	c.tell(rtc.Connected{Self: c.id})
	for _, room := range c.rooms {
		c.enter(room)
	}
}

func (c *Client) tell(e rtc.SignalerEvent) {
	c.events = append(c.events, e)
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

func (c *Client) enter(room string) {
	for _, other := range c.server.clients {
		if other != c && other.online && slices.Contains(other.rooms, room) {
			c.tell(rtc.PeerJoined{Room: room, Peer: other.id})
			other.tell(rtc.PeerJoined{Room: room, Peer: c.id})
		}
	}
}

func (c *Client) leave(room string) {
	for _, other := range c.server.clients {
		if other != c && other.online && slices.Contains(other.rooms, room) {
			other.tell(rtc.PeerLeft{Room: room, Peer: c.id})
		}
	}
}

// Next is Next of rtc.Signaler.
func (c *Client) Next(ctx context.Context) (rtc.SignalerEvent, error) {
	for {
		c.server.mu.Lock()
		if c.closed {
			c.server.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(c.events) > 0 {
			e := c.events[0]
			c.events = c.events[1:]
			c.server.mu.Unlock()
			return e, nil
		}
		c.server.mu.Unlock()
		select {
		case <-c.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Join is Join of rtc.Signaler.
func (c *Client) Join(room string) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if slices.Contains(c.rooms, room) {
		return fmt.Errorf("rtctest: in room %q already", room)
	}
	c.rooms = append(c.rooms, room)
	if c.online {
		c.enter(room)
	}
	return nil
}

// Leave is Leave of rtc.Signaler.
func (c *Client) Leave(room string) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.online {
		c.leave(room)
	}
	c.rooms = slices.DeleteFunc(c.rooms, func(r string) bool { return r == room })
	return nil
}

// Send is Send of rtc.Signaler.
func (c *Client) Send(_ context.Context, room, peer string, data []byte) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if !c.online {
		return ErrDown
	}
	if c.server.filter != nil && !c.server.filter(c.id, peer, data) {
		return nil
	}
	for _, other := range c.server.clients {
		if other.id == peer && other.online && slices.Contains(other.rooms, room) && slices.Contains(c.rooms, room) {
			c.server.seen++
			other.tell(rtc.Signal{Room: room, Peer: c.id, Data: bytes.Clone(data)})
		}
	}
	return nil
}

// Wake is Wake of rtc.Signaler. It does nothing: clients of this server are connected whenever it is up.
func (c *Client) Wake() {}

// Vanish removes the client from the server without the others being told, as a page that is killed does.
func (c *Client) Vanish() {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.online = false
	c.id += " vanished"
}

// Drop closes the client with that id, as a server does that has lost its connection.
func (s *Server) Drop(id string) {
	s.mu.Lock()
	var dropped *Client
	for _, c := range s.clients {
		if c.id == id {
			dropped = c
		}
	}
	s.mu.Unlock()
	if dropped != nil {
		_ = dropped.Close() // it has no error
	}
}

// Close is Close of rtc.Signaler.
func (c *Client) Close() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.closed {
		return nil
	}
	if c.online {
		for _, room := range c.rooms {
			c.leave(room)
		}
	}
	c.closed, c.online = true, false
	c.server.clients = slices.DeleteFunc(c.server.clients, func(other *Client) bool { return other == c })
	select {
	case c.ready <- struct{}{}:
	default:
	}
	return nil
}
