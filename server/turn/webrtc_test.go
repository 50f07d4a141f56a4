package turn_test

import (
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/shoaldb/shoal/server/turn"
	"github.com/shoaldb/shoal/shared/protocol"
)

// newPeer returns a peer connection that may use relays only.
func newPeer(t *testing.T, server protocol.ICEServer) *webrtc.PeerConnection {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{
		ICEServers: []webrtc.ICEServer{{
			URLs: server.URLs[:1], Username: server.Username, Credential: server.Credential,
		}},
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.GracefulClose() })
	return pc
}

// describe makes a description with all candidates in it.
func describe(t *testing.T, pc *webrtc.PeerConnection, make func() (webrtc.SessionDescription, error)) webrtc.SessionDescription {
	t.Helper()
	gathered := webrtc.GatheringCompletePromise(pc)
	desc, err := make()
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(desc); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return *pc.LocalDescription()
}

// TestWebRTC has two peers that see no other way talk by a data channel.
func TestWebRTC(t *testing.T) {
	s := listen(t, turn.Options{})
	ann, bob := newPeer(t, credential(t, s, "annannannann")), newPeer(t, credential(t, s, "bobbobbobbob"))
	got := make(chan string, 1)
	bob.OnDataChannel(func(dc *webrtc.DataChannel) {
		dc.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
	})
	dc, err := ann.CreateDataChannel("data", nil)
	if err != nil {
		t.Fatal(err)
	}
	dc.OnOpen(func() { dc.SendText("through the relay") })
	if err := bob.SetRemoteDescription(describe(t, ann, func() (webrtc.SessionDescription, error) { return ann.CreateOffer(nil) })); err != nil {
		t.Fatal(err)
	}
	if err := ann.SetRemoteDescription(describe(t, bob, func() (webrtc.SessionDescription, error) { return bob.CreateAnswer(nil) })); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		if text != "through the relay" {
			t.Errorf("got %q", text)
		}
	case <-t.Context().Done():
		t.Fatal("no message")
	}
	if st := s.Stats(); st.Bytes == 0 || st.Allocations < 2 {
		t.Errorf("%+v", st)
	}
}
