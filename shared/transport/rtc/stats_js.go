//go:build js

package rtc

import (
	"context"
	"syscall/js"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// stats reads the report of getStats (W3C WebRTC Statistics): the selected candidate pair and its two candidates. Whatever ctx
// says, it waits for the browser, which answers soon.
func (p *pc) stats(context.Context) (s transport.Stats, err error) {
	defer catch(&err)
	report, err := p.await(p.rtc.Call("getStats"))
	if err != nil {
		return s, err
	}
	pair, whole := selectedPair(report)
	if !pair.Truthy() {
		return s, nil
	}
	s.LocalCandidate = candidateType(report, pair.Get("localCandidateId"))
	s.RemoteCandidate = candidateType(report, pair.Get("remoteCandidateId"))
	s.Relayed = s.LocalCandidate == "relay" || s.RemoteCandidate == "relay"
	s.RTT = time.Duration(number(pair.Get("currentRoundTripTime")) * float64(time.Second))
	s.BytesSent = uint64(number(whole.Get("bytesSent")))
	s.BytesReceived = uint64(number(whole.Get("bytesReceived")))
	return s, nil
}

// selectedPair finds the pair in use and what counts the bytes of the connection: the transport, which names the pair. In
// browsers without statistics of transports, the pair is marked, and counts its own bytes.
func selectedPair(report js.Value) (pair, whole js.Value) {
	all := js.Global().Get("Array").Call("from", report.Call("values"))
	marked := js.Null()
	for i := range all.Length() {
		entry := all.Index(i)
		switch entry.Get("type").String() {
		case "transport":
			if id := entry.Get("selectedCandidatePairId"); id.Truthy() {
				return report.Call("get", id), entry
			}
		case "candidate-pair":
			if entry.Get("selected").Truthy() || entry.Get("nominated").Truthy() && entry.Get("state").String() == "succeeded" {
				marked = entry
			}
		}
	}
	return marked, marked
}

func candidateType(report, id js.Value) string {
	if entry := report.Call("get", id); entry.Truthy() && entry.Get("candidateType").Truthy() {
		return entry.Get("candidateType").String()
	}
	return ""
}

func number(v js.Value) float64 {
	if v.Type() != js.TypeNumber {
		return 0
	}
	return v.Float()
}
