//go:build !js

package rtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/sctp"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	shoal "github.com/shoaldb/shoal/shared/transport"
)

// defaultHighWater counts what was sent and not acknowledged as well: pion's bufferedAmount does, so that it bounds the throughput
// of long paths: 8 MB/s at 50 ms when measured on a simulated network, against 3 MB/s with 256 KB.
const defaultHighWater = 1 << 20

// receiveBuffer is the window that SCTP offers the peer, in bytes. The default of pion, 1 MB, would make it the limit of a
// path of 20 MB/s and 50 ms; inbox bounds what is really held.
const receiveBuffer = 4 << 20

// nativeConfig is what only pion can be told.
type nativeConfig struct {
	loopbackOnly bool
	filter       func(name string) bool
	logger       *slog.Logger
	// Tests use these: a simulated network, and shorter times until ICE calls a path disconnected and failed.
	net                  transport.Net
	disconnected, failed time.Duration
}

func newNativeConfig(opts *Options) (nativeConfig, error) {
	return nativeConfig{loopbackOnly: opts.LoopbackOnly, filter: opts.InterfaceFilter, logger: opts.Logger}, nil
}

type pc struct {
	pion   *webrtc.PeerConnection
	lanes  [shoal.Lanes]*webrtc.DataChannel
	text   bool // messages are texts
	counts *counts
	once   sync.Once
}

func newPC(cfg pcConfig, h pcHandler) (*pc, error) {
	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings(cfg.native)),
		webrtc.WithMediaEngine(&webrtc.MediaEngine{}), // no media: neither codecs nor the goroutines that serve them
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
	)
	pion, err := api.NewPeerConnection(configuration(cfg.servers, cfg.relayOnly))
	if err != nil {
		return nil, fmt.Errorf("make peer connection: %w", err)
	}
	cfg.counts.pcs.Add(1)
	p := &pc{pion: pion, text: cfg.single, counts: cfg.counts}
	if err := p.openChannels(cfg, h); err != nil {
		p.close()
		return nil, fmt.Errorf("make data channel: %w", err)
	}
	pion.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			return
		}
		init := c.ToJSON()
		h.event(pcEvent{kind: eventCandidate, candidate: candidate{
			Candidate: init.Candidate, SDPMid: init.SDPMid,
			SDPMLineIndex: init.SDPMLineIndex, UsernameFragment: init.UsernameFragment,
		}})
	})
	pion.OnConnectionStateChange(func(webrtc.PeerConnectionState) {
		h.event(pcEvent{kind: eventState, state: pion.ConnectionState().String()}) // pion's calls may come out of order
	})
	return p, nil
}

func settings(cfg nativeConfig) webrtc.SettingEngine {
	var s webrtc.SettingEngine
	s.LoggerFactory = loggerFactory{cfg.logger}
	s.SetSCTPMaxReceiveBufferSize(receiveBuffer)
	filter := cfg.filter
	if cfg.loopbackOnly {
		s.SetIncludeLoopbackCandidate(true)
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
		filter = func(name string) bool {
			return loopback(name) && (cfg.filter == nil || cfg.filter(name))
		}
	}
	if filter != nil {
		s.SetInterfaceFilter(filter)
	}
	if cfg.net != nil {
		s.SetNet(cfg.net)
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	}
	if cfg.disconnected > 0 {
		s.SetICETimeouts(cfg.disconnected, cfg.failed, cfg.disconnected/4)
	}
	return s
}

func (p *pc) openChannels(cfg pcConfig, h pcHandler) error {
	switch {
	case cfg.single && cfg.initiator:
		channel, err := p.pion.CreateDataChannel(singleLabel, nil)
		if err == nil {
			p.useSingle(channel, cfg.lowWater, h)
		}
		return err
	case cfg.single:
		var once sync.Once
		p.pion.OnDataChannel(func(channel *webrtc.DataChannel) {
			first := false
			once.Do(func() { first = true })
			if !first || !channel.Ordered() || channel.MaxRetransmits() != nil || channel.MaxPacketLifeTime() != nil {
				h.event(pcEvent{kind: eventFault, err: errChannel})
				return
			}
			p.useSingle(channel, cfg.lowWater, h)
		})
		return nil
	}
	for i := range p.lanes {
		if err := p.openLane(shoal.Lane(i), cfg.lowWater, h); err != nil {
			return err
		}
	}
	return nil
}

// useSingle makes channel the only one. It is used by others once they know that it is open.
func (p *pc) useSingle(channel *webrtc.DataChannel, lowWater int, h pcHandler) {
	p.lanes[shoal.Live] = channel
	channel.SetBufferedAmountLowThreshold(uint64(lowWater))
	channel.OnBufferedAmountLow(func() { h.drained(shoal.Live) })
	channel.OnOpen(func() { h.event(pcEvent{kind: eventOpen}) })
	channel.OnClose(func() { h.event(pcEvent{kind: eventClosed}) })
	channel.OnMessage(func(msg webrtc.DataChannelMessage) { h.heard(shoal.Live, msg.Data) })
}

func (p *pc) openLane(lane shoal.Lane, lowWater int, h pcHandler) error {
	ordered, negotiated, id := true, true, uint16(lane)
	channel, err := p.pion.CreateDataChannel(laneLabels[lane], &webrtc.DataChannelInit{
		Ordered: &ordered, Negotiated: &negotiated, ID: &id,
	})
	if err != nil {
		return err
	}
	p.lanes[lane] = channel
	channel.SetBufferedAmountLowThreshold(uint64(lowWater))
	channel.OnBufferedAmountLow(func() { h.drained(lane) })
	channel.OnOpen(func() { h.event(pcEvent{kind: eventOpen, lane: lane}) })
	channel.OnClose(func() { h.event(pcEvent{kind: eventClosed, lane: lane}) })
	channel.OnMessage(func(msg webrtc.DataChannelMessage) {
		if msg.IsString {
			h.event(pcEvent{kind: eventFault, err: errText})
			return
		}
		h.heard(lane, msg.Data)
	})
	return nil
}

func (p *pc) offer(_ context.Context, restart bool) (string, error) {
	offer, err := p.pion.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return "", fmt.Errorf("create offer: %w", err)
	}
	if p.pion.PendingLocalDescription() != nil {
		// The last offer has no answer. Browsers then take another one; pion does not, and cannot roll back, but what changes in
		// an offer that restarts ICE is in force once it is created.
		return offer.SDP, nil
	}
	if err := p.pion.SetLocalDescription(offer); err != nil {
		return "", fmt.Errorf("set local description: %w", err)
	}
	return offer.SDP, nil
}

func (p *pc) answer(_ context.Context, offer string) (string, error) {
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}
	if err := p.pion.SetRemoteDescription(remote); err != nil {
		return "", fmt.Errorf("set remote description: %w", err)
	}
	answer, err := p.pion.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("create answer: %w", err)
	}
	if err := p.pion.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("set local description: %w", err)
	}
	return answer.SDP, nil
}

func (p *pc) accept(_ context.Context, answer string) error {
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}
	if err := p.pion.SetRemoteDescription(remote); err != nil {
		return fmt.Errorf("set remote description: %w", err)
	}
	return nil
}

func (p *pc) addCandidate(_ context.Context, c candidate) error {
	return p.pion.AddICECandidate(webrtc.ICECandidateInit{
		Candidate: c.Candidate, SDPMid: c.SDPMid, SDPMLineIndex: c.SDPMLineIndex, UsernameFragment: c.UsernameFragment,
	})
}

func (p *pc) descriptions() (local, remote string) {
	if d := p.pion.CurrentLocalDescription(); d != nil {
		local = d.SDP
	}
	if d := p.pion.CurrentRemoteDescription(); d != nil {
		remote = d.SDP
	}
	return local, remote
}

func (p *pc) send(lane shoal.Lane, piece []byte) (err error) {
	if p.text {
		err = p.lanes[lane].SendText(string(piece))
	} else {
		err = p.lanes[lane].Send(piece)
	}
	if errors.Is(err, io.ErrClosedPipe) || errors.Is(err, sctp.ErrStreamClosed) || errors.Is(err, sctp.ErrPayloadDataStateNotExist) {
		return errClosedByPeer // known here before pion tells
	}
	return err
}

func (p *pc) buffered(lane shoal.Lane) int { return int(p.lanes[lane].BufferedAmount()) }

func (p *pc) setServers(servers []ICEServer) {
	cfg := p.pion.GetConfiguration()
	cfg.ICEServers = iceServers(servers)
	_ = p.pion.SetConfiguration(cfg) // without it the restart uses the servers of before
}

func (p *pc) close() {
	p.once.Do(func() {
		_ = p.pion.GracefulClose() // nothing is left to do about a transport that does not close
		p.counts.pcs.Add(-1)
	})
}

func configuration(servers []ICEServer, relayOnly bool) webrtc.Configuration {
	cfg := webrtc.Configuration{ICEServers: iceServers(servers)}
	if relayOnly {
		cfg.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	return cfg
}

func iceServers(servers []ICEServer) []webrtc.ICEServer {
	list := make([]webrtc.ICEServer, len(servers))
	for i, server := range servers {
		list[i] = webrtc.ICEServer{URLs: server.URLs, Username: server.Username}
		if server.Credential != "" {
			list[i].Credential = server.Credential
		}
	}
	return list
}
