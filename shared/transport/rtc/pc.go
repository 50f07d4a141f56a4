package rtc

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/shoaldb/shoal/shared/transport"
)

// The type pc, in pc_js.go and pc_notjs.go, is an RTCPeerConnection with a data channel for each lane, or a single one. Its methods may be called
// concurrently, but offer, answer, accept and addCandidate one at a time. Where they wait they do so until ctx ends at most.
//
//	newPC(cfg pcConfig, h pcHandler) (*pc, error)
//	offer(ctx, restart bool) (sdp string, err error)          createOffer, setLocalDescription
//	answer(ctx, offer string) (sdp string, err error)         setRemoteDescription, createAnswer, setLocalDescription
//	accept(ctx, answer string) error                          setRemoteDescription
//	addCandidate(ctx, c candidate) error
//	descriptions() (local, remote string)                     the session descriptions in use
//	send(lane, piece []byte) error                            does not wait, and does not keep piece; as text on a single channel
//	buffered(lane) int                                        bytes of the lane's channel that are unsent
//	stats(ctx) (transport.Stats, error)
//	setServers(servers []ICEServer)                           for the next ICE restart
//	close()                                                   waits until no handler runs any more; only the first call counts

// laneLabels are the labels of the data channels; their ids are the lanes.
var laneLabels = [transport.Lanes]string{transport.Live: "shoal.live", transport.Bulk: "shoal.bulk"}

type pcConfig struct {
	servers   []ICEServer
	relayOnly bool
	lowWater  int // the drained handler is called when a channel falls to this
	native    nativeConfig
	counts    *counts
	// Instead of the lanes one channel, of texts, which the initiator makes, as simple-peer does. It takes the place of the live lane.
	single, initiator bool
}

// counts is what a network has open at the moment.
type counts struct {
	pcs   atomic.Int64
	funcs atomic.Int64 // callbacks handed to JavaScript
}

// pcHandler is what a pc calls. No handler may block or call the pc's close.
type pcHandler struct {
	event   func(pcEvent)
	heard   func(lane transport.Lane, piece []byte) // the handler owns piece
	drained func(lane transport.Lane)
}

// pcEvent is one of the following; what does not belong to its kind is zero.
type pcEvent struct {
	kind      pcEventKind
	candidate candidate      // of eventCandidate
	state     string         // of eventState: an RTCPeerConnectionState
	lane      transport.Lane // of eventOpen and eventClosed
	err       error          // of eventFault and eventGather
}

type pcEventKind uint8

const (
	eventCandidate pcEventKind = iota
	eventState
	eventOpen
	eventClosed
	eventGather // a STUN or TURN server could not be used; not told by pion
	eventFault  // the channel did something that no peer of this network makes it do
)

// The values of RTCPeerConnectionState that matter here.
const (
	stateConnected    = "connected"
	stateDisconnected = "disconnected"
	stateFailed       = "failed"
	stateClosed       = "closed"
)

// pcQueue holds events until the link takes them. Its length is bounded by what a peer connection does by itself.
type pcQueue struct {
	ready chan struct{} // holds one token when events wait

	mu     sync.Mutex // guards the following field
	events []pcEvent
}

func (q *pcQueue) put(e pcEvent) {
	q.mu.Lock()
	q.events = append(q.events, e)
	q.mu.Unlock()
	signalOne(q.ready)
}

func (q *pcQueue) takeAll() []pcEvent {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

// errChannel is the fault of a simple peer that opened a channel that is of no use, or more than one.
var errChannel = errors.New("rtc: peer opened a second data channel, or one that loses or reorders messages")

// errText is the fault of a peer that sent a text message.
var errText = errors.New("rtc: peer sent text, only binary messages are in use")
