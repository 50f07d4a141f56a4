//go:build !js

package rtc

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"

	shoal "github.com/shoaldb/shoal/shared/transport"
)

func (p *pc) stats(context.Context) (shoal.Stats, error) {
	var s shoal.Stats
	sctp := p.pion.SCTP()
	if sctp == nil || sctp.Transport() == nil || sctp.Transport().ICETransport() == nil {
		return s, nil
	}
	ice := sctp.Transport().ICETransport()
	if pair, err := ice.GetSelectedCandidatePair(); err == nil && pair != nil {
		s.LocalCandidate, s.RemoteCandidate = pair.Local.Typ.String(), pair.Remote.Typ.String()
		s.Relayed = pair.Local.Typ == webrtc.ICECandidateTypeRelay || pair.Remote.Typ == webrtc.ICECandidateTypeRelay
	}
	if pair, ok := ice.GetSelectedCandidatePairStats(); ok {
		s.RTT = time.Duration(pair.CurrentRoundTripTime * float64(time.Second))
	}
	transport := ice.Stats()
	s.BytesSent, s.BytesReceived = transport.BytesSent, transport.BytesReceived
	return s, nil
}
