package rtc

import (
	"context"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// Times are those of timing that a test changes; zero keeps the default.
type Times struct {
	Connect, BackoffMin, BackoffMax, Ping, Gone, Frozen, Probe, Restart, Again, GiveUp, Relay, Upgrade time.Duration
}

// NativeConfig lets tests change what only pion can be told.
type NativeConfig = nativeConfig

// StartTest is New with other times.
func StartTest(signaler Signaler, opts *Options, times Times, change func(*NativeConfig)) (*Network, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	native, err := newNativeConfig(opts)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(&native)
	}
	t := defaultTiming(opts.ConnectTimeout)
	for value, target := range map[*time.Duration]*time.Duration{
		&times.Connect: &t.connect, &times.BackoffMin: &t.backoffMin, &times.BackoffMax: &t.backoffMax, &times.Ping: &t.ping,
		&times.Gone: &t.gone, &times.Frozen: &t.frozen, &times.Probe: &t.probe, &times.Restart: &t.restart, &times.Again: &t.again, &times.GiveUp: &t.giveUp,
		&times.Relay: &t.relay, &times.Upgrade: &t.upgrade,
	} {
		if *value != 0 {
			*target = *value
		}
	}
	return start(signaler, opts, native, t), nil
}

// Open is how many peer connections and JavaScript callbacks n has at the moment.
func (n *Network) Open() (pcs, funcs int64) { return n.counts.pcs.Load(), n.counts.funcs.Load() }

// Known is how many peers and links n knows of.
func (n *Network) Known() (peers, links int) {
	n.do(func() { peers, links = len(n.peers), len(n.links) })
	return peers, links
}

// SendRaw sends a piece as it is when the channel has room.
func SendRaw(ctx context.Context, c transport.Conn, lane transport.Lane, piece []byte) error {
	l := c.(*link)
	for l.pc.buffered(lane) > l.highWater {
		if err := l.wait(ctx, l.lanes[lane].drained); err != nil {
			return err
		}
	}
	return l.pc.send(lane, piece)
}

// ConnID is the id of a connection.
func ConnID(c transport.Conn) string { return c.(*link).id }

// Constants of the protocol.
const (
	Window   = window
	MaxPiece = maxPiece
)
