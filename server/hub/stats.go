package hub

import (
	"errors"
	"sync/atomic"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Stats tells how a hub is used.
type Stats struct {
	Connections int // of this moment, as those that follow
	Peers       int // connections that have a peer id
	Rooms       int
	Members     int    // of all rooms; a peer counts once for each of its rooms, those of other nodes included
	Queued      int    // bytes that wait to be sent
	Waiting     int    // connections for which such bytes wait
	Busy        int    // connections with input that waits for a worker
	Joins       uint64 // since the start, as all below
	Signals     uint64 // passed on
	Relayed     uint64 // pieces of relayed connections passed on
	RelayBytes  uint64 // of them
	Undelivered uint64 // signals to peers that were not there, or did not keep up
	Refused     uint64 // connections not taken
	Cut         uint64 // connections that the server ended: faults, dead sockets, readers that stopped
	Delayed     uint64 // times that a client that sent too fast was made to wait
	// Refusals counts by reason what was refused, and why connections were ended: codes of package protocol, and besides
	// them "origin", "full", "address", "silent", "stopping", "upgrade", "slow_reader" and "dead".
	Refusals map[string]uint64
}

// reason is why something was refused: a protocol.Code, or one of those below, which clients are not told by a code.
type reason string

const (
	reasonOrigin   reason = "origin"      // of the page
	reasonFull     reason = "full"        // MaxConns
	reasonAddress  reason = "address"     // MaxConnsPerAddress
	reasonSilent   reason = "silent"      // too many connections that say nothing
	reasonStopping reason = "stopping"    // Shutdown
	reasonUpgrade  reason = "upgrade"     // no proper upgrade to a WebSocket
	reasonSlow     reason = "slow_reader" // MaxQueue or WriteTimeout
	reasonDead     reason = "dead"        // PingTimeout
)

// counters are what Stats tells.
type counters struct {
	joins, signals, undelivered, refused, cut, delayed atomic.Uint64
	relayed, relayBytes                                atomic.Uint64
	reasons                                            map[reason]*atomic.Uint64 // not changed after init
}

func (c *counters) init() {
	c.reasons = make(map[reason]*atomic.Uint64)
	for _, code := range protocol.Codes() {
		c.reasons[reason(code)] = new(atomic.Uint64)
	}
	for _, r := range []reason{
		reasonOrigin, reasonFull, reasonAddress, reasonSilent, reasonStopping, reasonUpgrade, reasonSlow, reasonDead,
	} {
		c.reasons[r] = new(atomic.Uint64)
	}
}

// note counts something refused.
func (c *counters) note(r reason) {
	if n := c.reasons[r]; n != nil {
		n.Add(1)
	}
}

// refuse counts a connection that was not taken.
func (c *counters) refuse(err error) {
	c.refused.Add(1)
	r := reasonUpgrade // what the upgrader says
	var ref *refusal
	if errors.As(err, &ref) {
		r = ref.reason
	}
	c.note(r)
}

// cutFor counts a connection that the server ended.
func (c *counters) cutFor(r reason) {
	c.cut.Add(1)
	c.note(r)
}

// Stats returns the figures of this moment. It looks at every connection.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	s := Stats{Connections: len(h.conns), Peers: len(h.peers), Rooms: len(h.rooms), Busy: len(h.ready)}
	conns := h.snapshot(nil)
	for _, r := range h.rooms {
		r.mu.Lock()
		s.Members += len(r.members)
		r.mu.Unlock()
	}
	h.mu.Unlock()
	for _, c := range conns {
		if n := c.out.size(); n > 0 {
			s.Queued += n
			s.Waiting++
		}
	}
	s.Joins, s.Signals = h.stats.joins.Load(), h.stats.signals.Load()
	s.Undelivered, s.Refused = h.stats.undelivered.Load(), h.stats.refused.Load()
	s.Relayed, s.RelayBytes = h.stats.relayed.Load(), h.stats.relayBytes.Load()
	s.Cut, s.Delayed = h.stats.cut.Load(), h.stats.delayed.Load()
	s.Refusals = make(map[string]uint64, len(h.stats.reasons))
	for r, n := range h.stats.reasons {
		s.Refusals[string(r)] = n.Load()
	}
	return s
}

// size is how many bytes wait, those being written included.
func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.flying
	if o.queued != nil {
		n += len(o.queued.b)
	}
	return n
}
