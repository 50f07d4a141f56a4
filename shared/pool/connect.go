package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/tidwall/gjson"
)

// ConnectOptions adjusts Connect. The zero value of a field is its default.
type ConnectOptions struct {
	Mesh      MeshOptions
	Signaling signaling.Options
	RTC       rtc.Options // its Events are told to the pools as well
}

// Connect makes a Mesh over WebRTC, whose peers find each other through the signaling server at url ("ws://…" or "wss://…"). It returns at
// once and connects in the background, again and again, for as long as the mesh is open.
func Connect(url string, opts *ConnectOptions) (*Mesh, error) {
	var o ConnectOptions
	if opts != nil {
		o = *opts
	}
	m := newMesh(&o.Mesh)
	events := o.RTC.Events
	o.RTC.Events = func(e transport.Event) {
		m.observe(e)
		if events != nil {
			events(e)
		}
	}
	s := &signaler{
		client: signaling.New(url, &o.Signaling), mesh: m, rtc: o.RTC,
		rooms: make(map[string]map[string]rtc.PeerJoined), bridges: make(map[string]*bridge),
	}
	network, err := rtc.New(s, &o.RTC)
	if err != nil {
		s.client.Close()
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	m.wake, m.avoid, m.signaler = network.Wake, network.Avoid, s
	m.start(network)
	return m, nil
}

// signaler is a signaling.Client as an rtc.Signaler. The client tells what changes in a room, also over a reconnect; the network wants to
// hear of everybody after each.
type signaler struct {
	client *signaling.Client
	mesh   *Mesh
	rtc    rtc.Options // of the network
	// Used by Next alone.
	rooms  map[string]map[string]rtc.PeerJoined
	queued []rtc.SignalerEvent

	mu      sync.Mutex // guards the following fields; self and ice are written by Next alone
	self    string
	ice     []rtc.ICEServer
	joined  map[string]bool
	bridges map[string]*bridge // by room
}

// Join implements rtc.Signaler.
func (s *signaler) Join(room string) error {
	s.mu.Lock()
	if s.joined == nil {
		s.joined = make(map[string]bool)
	}
	s.joined[room] = true
	b := s.bridges[room]
	s.mu.Unlock()
	return s.client.JoinAs(room, roleOf(b))
}

// roleOf is the role in a room of which b replicates with the RxDB clients; nil for nobody.
func roleOf(b *bridge) protocol.Role {
	if b == nil {
		return protocol.Role{}
	}
	return protocol.Role{RxDB: true, AlwaysOn: b.opts.AlwaysOn}
}

// setBridge says who replicates with the RxDB clients of a room; nil for nobody.
func (s *signaler) setBridge(room string, b *bridge) {
	s.mu.Lock()
	if b == nil {
		delete(s.bridges, room)
	} else {
		s.bridges[room] = b
	}
	if b != nil && s.self != "" {
		b.push(signaling.Connected{Self: s.self})
	}
	joined := s.joined[room]
	s.mu.Unlock()
	if joined {
		if err := s.client.JoinAs(room, roleOf(b)); err != nil {
			s.mesh.log.Debug("change role", "room", room, "error", err)
		}
	}
}

// toBridge gives an event to the bridge of a room, if there is one, or to all for room "".
func (s *signaler) toBridge(room string, e signaling.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, b := range s.bridges {
		if room == "" || r == room {
			b.push(e)
		}
	}
}

// sendAttempt implements connector.
func (s *signaler) sendAttempt(ctx context.Context, room, peer, connectionID string, data []byte) error {
	return s.client.SendAttempt(ctx, room, peer, connectionID, json.RawMessage(data))
}

// newSimplePeer implements connector.
func (s *signaler) newSimplePeer(opts *rtc.SimplePeerOptions) (*rtc.SimplePeer, error) {
	s.mu.Lock()
	opts.ICEServers = slices.Concat(s.rtc.ICEServers, s.ice)
	s.mu.Unlock()
	opts.RelayOnly, opts.LoopbackOnly, opts.InterfaceFilter = s.rtc.RelayOnly, s.rtc.LoopbackOnly, s.rtc.InterfaceFilter
	opts.ConnectTimeout, opts.HighWater, opts.Logger = s.rtc.ConnectTimeout, s.rtc.HighWater, s.rtc.Logger
	return rtc.NewSimplePeer(opts)
}

// Leave implements rtc.Signaler.
func (s *signaler) Leave(room string) error {
	s.mu.Lock()
	delete(s.joined, room)
	s.mu.Unlock()
	return s.client.Leave(room)
}

// Send implements rtc.Signaler.
func (s *signaler) Send(ctx context.Context, room, peer string, data []byte) error {
	return s.client.Send(ctx, room, peer, json.RawMessage(data))
}

// Relay implements rtc.Relayer.
func (s *signaler) Relay(ctx context.Context, room, peer string, frame []byte) error {
	return s.client.Relay(ctx, room, peer, frame)
}

// Wake implements rtc.Signaler.
func (s *signaler) Wake() { s.client.Wake() }

// Close implements rtc.Signaler.
func (s *signaler) Close() error { return s.client.Close() }

// Next implements rtc.Signaler.
func (s *signaler) Next(ctx context.Context) (rtc.SignalerEvent, error) {
	for len(s.queued) == 0 {
		e, err := s.client.Next(ctx)
		if err != nil {
			return nil, err
		}
		s.take(e)
	}
	e := s.queued[0]
	s.queued = s.queued[1:]
	return e, nil
}

func (s *signaler) take(e signaling.Event) {
	switch e := e.(type) {
	case signaling.Connected:
		s.mu.Lock()
		s.self = e.Self
		s.mu.Unlock()
		s.connected()
		s.toBridge("", e)
	case signaling.ICEServers:
		ice := make([]rtc.ICEServer, 0, len(e.Servers))
		for _, i := range e.Servers {
			ice = append(ice, rtc.ICEServer{URLs: i.URLs, Username: i.Username, Credential: i.Credential})
		}
		s.mu.Lock()
		s.ice = ice
		s.mu.Unlock()
		s.connected()
	case signaling.Disconnected:
		s.queue(rtc.Disconnected{Err: e.Err})
	case signaling.PeerJoined:
		if e.Dialect != protocol.DialectShoal {
			s.toBridge(e.Room, e)
			return
		}
		if s.rooms[e.Room] == nil {
			s.rooms[e.Room] = make(map[string]rtc.PeerJoined)
		}
		j := rtc.PeerJoined{Room: e.Room, Peer: e.Peer}
		s.rooms[e.Room][e.Peer] = j
		s.queue(j)
	case signaling.PeerServed:
		s.toBridge(e.Room, e)
	case signaling.PeerLeft:
		if _, ok := s.rooms[e.Room][e.Peer]; !ok {
			s.toBridge(e.Room, e)
			return
		}
		delete(s.rooms[e.Room], e.Peer)
		s.queue(rtc.PeerLeft{Room: e.Room, Peer: e.Peer})
	case signaling.Signal:
		if _, ok := s.rooms[e.Room][e.Peer]; !ok && !isShoalSignal(e.Data) {
			s.toBridge(e.Room, e)
			return
		}
		s.queue(rtc.Signal{Room: e.Room, Peer: e.Peer, Data: e.Data})
	case signaling.Relayed:
		s.queue(rtc.Relayed{Room: e.Room, Peer: e.Peer, Piece: e.Piece})
	case signaling.Refused:
		switch {
		case errors.Is(e.Err, protocol.ErrRelayLimit) || errors.Is(e.Err, protocol.ErrRelayBusy):
			s.queue(rtc.RelayRefused{Room: e.Room, Peer: e.Peer, Err: e.Err})
		case errors.Is(e.Err, protocol.ErrRelayDenied):
			s.queue(rtc.RelayRefused{Room: e.Room, Peer: e.Peer, Err: e.Err, Final: true})
		default:
			s.mesh.refused(e)
		}
	}
}

func (s *signaler) connected() {
	s.queue(rtc.Connected{Self: s.self, ICEServers: s.ice})
	for _, room := range slices.Sorted(maps.Keys(s.rooms)) {
		for _, peer := range slices.Sorted(maps.Keys(s.rooms[room])) {
			s.queue(s.rooms[room][peer])
		}
	}
}

// isShoalSignal tells the signals of this project's networks from others, for those that overtake the news of their sender.
func isShoalSignal(data []byte) bool { return gjson.GetBytes(data, "shoal").Exists() }

func (s *signaler) queue(e rtc.SignalerEvent) { s.queued = append(s.queued, e) }
