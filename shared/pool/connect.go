package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
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
	s := &signaler{client: signaling.New(url, &o.Signaling), mesh: m, rooms: make(map[string]map[string]rtc.PeerJoined)}
	network, err := rtc.New(s, &o.RTC)
	if err != nil {
		s.client.Close()
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	m.wake = network.Wake
	m.start(network)
	return m, nil
}

// signaler is a signaling.Client as an rtc.Signaler. The client tells what changes in a room, also over a reconnect; the network wants to
// hear of everybody after each.
type signaler struct {
	client *signaling.Client
	mesh   *Mesh
	// Used by Next alone.
	self   string
	ice    []rtc.ICEServer
	rooms  map[string]map[string]rtc.PeerJoined
	queued []rtc.SignalerEvent
}

// Join implements rtc.Signaler.
func (s *signaler) Join(room string) error { return s.client.Join(room) }

// Leave implements rtc.Signaler.
func (s *signaler) Leave(room string) error { return s.client.Leave(room) }

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
		s.self = e.Self
		s.connected()
	case signaling.ICEServers:
		s.ice = s.ice[:0:0]
		for _, i := range e.Servers {
			s.ice = append(s.ice, rtc.ICEServer{URLs: i.URLs, Username: i.Username, Credential: i.Credential})
		}
		s.connected()
	case signaling.Disconnected:
		s.queue(rtc.Disconnected{Err: e.Err})
	case signaling.PeerJoined:
		if s.rooms[e.Room] == nil {
			s.rooms[e.Room] = make(map[string]rtc.PeerJoined)
		}
		j := rtc.PeerJoined{Room: e.Room, Peer: e.Peer, Foreign: e.Dialect != protocol.DialectShoal}
		s.rooms[e.Room][e.Peer] = j
		s.queue(j)
	case signaling.PeerLeft:
		delete(s.rooms[e.Room], e.Peer)
		s.queue(rtc.PeerLeft{Room: e.Room, Peer: e.Peer})
	case signaling.Signal:
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

func (s *signaler) queue(e rtc.SignalerEvent) { s.queued = append(s.queued, e) }
