package hub

import (
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// relayLimits are the limits of what one client may have relayed, as those of a bucket in bytes.
func (o *Options) relayLimits() Options { return Options{Rate: o.RelayRate, Burst: o.RelayBurst} }

// handleRelay passes on a piece of a connection between two members of a room that no direct path was found for. The server
// cannot read it. Of the limits of messages it costs one message; its bytes have limits of their own. What is beyond
// these is refused and not delayed, for the client's signals must not wait behind it; the client sends it again.
func (w *worker) handleRelay(c *conn) {
	if sender, ok := w.env.Text(protocol.FieldSender); !ok || string(sender) != c.id {
		c.end(protocol.CodeSpoofed, "senderPeerId is not the id of this connection")
		return
	}
	name, _ := w.env.Text(protocol.FieldRoom)
	receiver, _ := w.env.Text(protocol.FieldReceiver)
	code := w.relay(c, name, receiver)
	if code == "" {
		return
	}
	w.refuse(c, code, "not relayed", string(name), string(receiver))
}

func (w *worker) relay(c *conn, name, receiver []byte) protocol.Code {
	r, grant := c.room(name)
	size := w.env.SignalSize()
	switch {
	case r == nil:
		return protocol.CodeNotInRoom
	case w.hub.opts.NoRelay || !grant.Relay:
		return protocol.CodeRelayDenied
	case !c.mayRelay(size):
		return protocol.CodeRelayLimit
	}
	code := r.relay(&w.env, receiver, &w.batch)
	if code == protocol.CodePeerBusy {
		code = protocol.CodeRelayBusy
	}
	if code == "" {
		w.charge(c, -(size >> 10)) // handleFrame charged for more than a message
		w.hub.stats.relayed.Add(1)
		w.hub.stats.relayBytes.Add(uint64(size))
	}
	return code
}

// mayRelay has the client pay for so many bytes, unless it owes for earlier ones.
func (c *conn) mayRelay(size int) bool {
	limits := c.hub.opts.relayLimits()
	if c.relay == nil {
		c.relay = &bucket{tokens: float64(limits.Burst), filled: time.Now(), tick: c.hub.tick.Load()}
	}
	if c.relay.debt(&limits) > 0 {
		return false
	}
	c.relay.charge(size, c.hub.tick.Load(), &limits)
	return true
}
