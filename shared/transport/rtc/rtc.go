// Package rtc is the WebRTC driver of transport: a Network that finds peers through a signaling server and connects to each
// of them directly, with the browser's own WebRTC under GOOS=js and with pion elsewhere. Both understand each other.
//
// # Connections
//
// Two networks that meet in a topic make one peer connection, whatever number of topics they share. The one whose id is the
// lesser begins (RxDB's rule: remoteID > ownID initiates), the other waits for its offer, and asks for it when none comes.
// Candidates trickle. An attempt that is not open after Options.ConnectTimeout is given up and repeated, 0.5 s later at
// first and 15 s at last, as long as the peer is listed.
//
// Where no direct path is found after 5 s, and the signaling server relays, the two are connected through it meanwhile, encrypted from end to
// end. A direct path is tried again from time to time, and when the network changes; the direct connection then takes the place of the other one.
//
// An open connection does not depend on the signaling server. When its path fails, ICE is restarted as soon as signals can
// pass; when that does not help within 30 s, the connection ends, and is attempted anew while the peer is listed. Pings
// on the live lane find peers that stopped without a word. A hidden page answers them, although its timers hardly run.
// A page that is frozen does not: it is given up after 15 s without an answer when ICE has lost it too, else after 60 s.
//
// When a peer comes back, be it with a new id after the signaling server lost it, or as a reloaded page under the same id,
// the two ends find out whether they still have a connection: it is kept if so, else the new connection takes the place of the
// old one, which ends with ErrReplaced.
//
// # Messages
//
// Each lane is a data channel (negotiated, ordered, reliable; ids 0 and 1). A message is split into pieces of at most 64 KB.
// Send blocks while its channel holds more than Options.HighWater bytes, and while the receiver has not taken 4 MB of that
// lane: a slow reader slows its sender down, and holds at most 24 MB for each lane. Receive returns messages of the
// live lane first.
package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

var (
	// ErrReplaced is why a connection closed that the peer replaced by another one.
	ErrReplaced = errors.New("rtc: replaced by a newer connection to the same peer")
	// ErrTimeout is why an attempt failed that did not become a connection in time.
	ErrTimeout = errors.New("rtc: no connection in time: the peer may be gone, or no path to it found (is there a TURN server?)")
	// ErrPeerGone is why a connection closed whose peer answered no more, or could not be reached any more.
	ErrPeerGone = errors.New("rtc: peer does not answer any more")
	// ErrFull is why an attempt failed that one side refused because of its Options.MaxPeers.
	ErrFull = errors.New("rtc: too many connections")
	// ErrUnsupported is the error of New for options that this platform does not have. It matches errors.ErrUnsupported.
	ErrUnsupported = fmt.Errorf("rtc: %w", errors.ErrUnsupported)
)

// ICEServer is a STUN or TURN server: an RTCIceServer of W3C WebRTC.
type ICEServer struct {
	URLs       []string
	Username   string
	Credential string
}

// Options of New. The zero value of a field is its default.
type Options struct {
	// ICEServers to use in addition to those that the signaling server hands out.
	ICEServers []ICEServer
	// RelayOnly connects through TURN servers only, so that peers do not learn each other's address: the ICE transport policy
	// "relay" of W3C WebRTC. Default: all paths.
	RelayOnly bool
	// NoRelay makes no connections through the signaling server, which are made where no direct path is found, and takes none. The server
	// cannot read them, but it can see how much is said and when.
	NoRelay bool
	// ConnectTimeout is after what time an attempt at a connection is given up. Default: 15 s.
	ConnectTimeout time.Duration
	// MaxPeers is the largest number of connections and attempts at one time; peers beyond it are refused. Default: 128.
	MaxPeers int
	// HighWater is the number of bytes that a data channel may hold before Send blocks. Less makes the live lane quicker while
	// the bulk lane is full, more makes the bulk lane faster on long paths. Default: 128 KB in the browser, and 1 MB with pion,
	// which also counts what is on its way.
	HighWater int
	// LoopbackOnly uses no interface but the loopback one, for tests. Not in the browser.
	LoopbackOnly bool
	// InterfaceFilter says which network interfaces to use, by name. Default: all. Not in the browser.
	InterfaceFilter func(name string) bool
	// Events is told of connections and of the signaling server. It is called by the network's only goroutine: it must not block,
	// and must not call the network.
	Events func(transport.Event)
	// Logger receives what happens, with the keys peer, room, kind and error. Default: discarded.
	Logger *slog.Logger
	// Rand makes ids and jitter. It is used by the network alone. Default: randomly seeded.
	Rand *rand.Rand
}

func (o *Options) withDefaults() *Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.ConnectTimeout == 0 {
		opts.ConnectTimeout = 15 * time.Second
	}
	if opts.MaxPeers == 0 {
		opts.MaxPeers = 128
	}
	if opts.HighWater == 0 {
		opts.HighWater = defaultHighWater
	}
	if opts.Events == nil {
		opts.Events = func(transport.Event) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Rand == nil {
		opts.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &opts
}

func (o *Options) validate() error {
	switch {
	case o.ConnectTimeout < 0:
		return fmt.Errorf("rtc: ConnectTimeout is %v, want a positive duration", o.ConnectTimeout)
	case o.MaxPeers < 0:
		return fmt.Errorf("rtc: MaxPeers is %d, want a positive number", o.MaxPeers)
	case o.HighWater < 0:
		return fmt.Errorf("rtc: HighWater is %d, want a positive number of bytes", o.HighWater)
	}
	for _, server := range o.ICEServers {
		if len(server.URLs) == 0 {
			return errors.New("rtc: an ICE server has no URLs")
		}
	}
	return nil
}

// timing holds the times of a network; tests shorten them.
type timing struct {
	connect    time.Duration // until an attempt is given up
	backoffMin time.Duration // before the first repetition
	backoffMax time.Duration // before the last ones
	steady     time.Duration // a connection that lived so long makes the next backoff start anew
	ping       time.Duration // between pings when nothing comes
	gone       time.Duration // without an answer, when the path is not connected
	frozen     time.Duration // without an answer, when the path is connected
	probe      time.Duration // without an answer, after the server said that the peer left
	restart    time.Duration // a path may be disconnected before ICE is restarted
	again      time.Duration // until ICE is restarted once more
	relay      time.Duration // an attempt may take before the peer is connected through the signaling server meanwhile
	upgrade    time.Duration // until a direct path is tried anew while there is such a connection; each time twice as long, up to 8 times
	giveUp     time.Duration // a path may be without connection before the connection ends
}

func defaultTiming(connect time.Duration) timing {
	return timing{
		connect:    connect,
		backoffMin: 500 * time.Millisecond,
		backoffMax: 15 * time.Second,
		steady:     30 * time.Second,
		ping:       5 * time.Second,
		gone:       15 * time.Second,
		frozen:     60 * time.Second,
		probe:      5 * time.Second,
		restart:    2 * time.Second,
		again:      8 * time.Second,
		relay:      5 * time.Second,
		upgrade:    30 * time.Second,
		giveUp:     30 * time.Second,
	}
}

// backoff is how long to wait after so many failures in a row. Half of it is jitter, so that peers do not act in step.
func (t timing) backoff(failures int, rng *rand.Rand) time.Duration {
	d := t.backoffMax
	if failures < 16 {
		d = min(d, t.backoffMin<<max(failures, 1))
	}
	return d/2 + time.Duration(rng.Int64N(int64(d/2)+1))
}
