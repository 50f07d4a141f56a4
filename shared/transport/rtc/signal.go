package rtc

import (
	"encoding/json"
	"errors"
	"fmt"
)

// The kinds of a signal. Every connection, and every attempt at one, has an id that its initiator made; signals that name
// none that is known are stale and dropped.
const (
	// kindOffer begins an attempt, or, for the id of a connection that is there, restarts ICE.
	kindOffer      = "offer"
	kindAnswer     = "answer"
	kindCandidates = "candidates"
	// kindRestart asks the initiator of connection ID for an ICE restart: only it makes offers.
	kindRestart = "restart"
	// kindHello asks a peer that may be known under another id: do you have a connection to me? The answer is have or want.
	kindHello = "hello"
	// kindHave says that connection ID exists already, so there is no need for the attempt or connection asked for.
	kindHave = "have"
	// kindWant asks whoever has the initiator's part to begin an attempt.
	kindWant = "want"
	// kindFull refuses attempt ID: the sender has as many connections as it takes.
	kindFull = "full"
)

// signalVersion is the version of this format, the member "shoal" of each signal.
const signalVersion = 1

const (
	maxSignal        = 48 << 10 // bytes of one signal
	maxCandidates    = 64       // candidates in one signal
	maxCandidateText = 1 << 10  // bytes of each member of a candidate
	maxIDText        = 64       // bytes of an id
)

// signal is what peers tell each other through the signaling server to make a connection.
type signal struct {
	Version    int         `json:"shoal"`
	Kind       string      `json:"kind"`
	ID         string      `json:"id,omitempty"`   // of the connection or attempt
	From       string      `json:"from,omitempty"` // the sender's instance: the same as long as its network lives, under whatever peer id
	Old        string      `json:"old,omitempty"`  // in an offer: a connection that the sender no longer has
	Turn       int         `json:"turn,omitempty"` // of an offer, among those of its connection; its answer has the same
	SDP        string      `json:"sdp,omitempty"`
	Candidates []candidate `json:"candidates,omitempty"`
}

// candidate is an RTCIceCandidateInit.
type candidate struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid,omitempty"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex,omitempty"`
	UsernameFragment *string `json:"usernameFragment,omitempty"`
}

// errSignal is the error of a signal that breaks the rules above.
var errSignal = errors.New("rtc: malformed signal")

func encodeSignal(s signal) ([]byte, error) {
	s.Version = signalVersion
	return json.Marshal(s)
}

func decodeSignal(data []byte) (signal, error) {
	var s signal
	if len(data) > maxSignal {
		return s, fmt.Errorf("%w: %d bytes, the limit is %d", errSignal, len(data), maxSignal)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%w: %w", errSignal, err)
	}
	return s, s.check()
}

func (s signal) check() error {
	switch {
	case s.Version != signalVersion:
		return fmt.Errorf("%w: version %d, want %d", errSignal, s.Version, signalVersion)
	case len(s.ID) > maxIDText || len(s.From) > maxIDText || len(s.Old) > maxIDText:
		return fmt.Errorf("%w: an id is longer than %d bytes", errSignal, maxIDText)
	case len(s.Candidates) > maxCandidates:
		return fmt.Errorf("%w: %d candidates, the limit is %d", errSignal, len(s.Candidates), maxCandidates)
	}
	for _, c := range s.Candidates {
		if err := c.check(); err != nil {
			return err
		}
	}
	switch s.Kind {
	case kindOffer, kindAnswer:
		if s.ID == "" || s.From == "" {
			return fmt.Errorf("%w: %s without id or from", errSignal, s.Kind)
		}
		return checkSDP(s.SDP)
	case kindHello, kindWant:
		if s.From == "" {
			return fmt.Errorf("%w: %s without from", errSignal, s.Kind)
		}
	case kindCandidates, kindRestart, kindHave, kindFull:
		if s.ID == "" {
			return fmt.Errorf("%w: %s without id", errSignal, s.Kind)
		}
	default:
		return fmt.Errorf("%w: kind %.20q is unknown", errSignal, s.Kind)
	}
	return nil
}

func (c candidate) check() error {
	for _, text := range []*string{&c.Candidate, c.SDPMid, c.UsernameFragment} {
		if text != nil && len(*text) > maxCandidateText {
			return fmt.Errorf("%w: a member of a candidate is longer than %d bytes", errSignal, maxCandidateText)
		}
	}
	return nil
}
