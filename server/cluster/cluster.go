// Package cluster has several servers serve the same rooms. The nodes tell one another by NATS who is in which room, and pass
// on signals to the node that has the receiver.
//
// Each node numbers what it tells of its members, and says every half second what the last number was. Who missed one, or hears of
// the node for the first time, asks for the whole. A node that is not heard for a while is dead to the others, and its peers have
// left. So nothing needs to be kept or acknowledged by NATS, and while it is away each node goes on by itself.
package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shoaldb/shoal/server/hub"
)

// Options says how a Cluster behaves. The zero value of every field stands for its default.
type Options struct {
	// URL is that of NATS servers, several with commas between them, such as "nats://user:password@10.0.0.1:4222". It is needed.
	URL string
	// Credentials is a file with credentials for NATS. Default: none but what URL has.
	Credentials string
	// Name is that of the cluster, of letters, digits, - and _. Default: "shoal".
	Name string
	// Heartbeat is how often a node says that it is there. Default: 500 ms.
	Heartbeat time.Duration
	// Timeout is after what silence a node is dead. Default: 2.5 s.
	Timeout time.Duration
	// Logger gets what happens to the connection and to other nodes. Default: discard.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Name == "" {
		d.Name = "shoal"
	}
	if d.Heartbeat <= 0 {
		d.Heartbeat = 500 * time.Millisecond
	}
	if d.Timeout <= 0 {
		d.Timeout = 2500 * time.Millisecond
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

const (
	// incoming is how many messages wait to be handled before more are lost; those that matter are then asked for again.
	incoming = 16 << 10
	// maxSignals bounds the bytes of signals that wait to be published.
	maxSignals = 8 << 20
	// reconnectWait is the pause between two attempts to reach NATS.
	reconnectWait = 250 * time.Millisecond
	// pingInterval and maxPings are how a dead connection to NATS is noticed.
	pingInterval = 2 * time.Second
	maxPings     = 2
)

// Cluster is a node's connection to the others. It is the Cluster of a hub.
type Cluster struct {
	opts  Options
	node  string
	nc    *nats.Conn
	in    chan *nats.Msg
	wake  chan struct{}
	up    atomic.Bool
	stats counters

	mu      sync.Mutex // guards the following fields
	queue   []op
	signals int // bytes of signals in queue
}

type counters struct {
	sent, received, lost, syncs atomic.Uint64
	nodes, peers                atomic.Int64
}

// Stats tells what a node knows and did.
type Stats struct {
	Connected bool   // to NATS
	Nodes     int    // others
	Peers     int    // of others, once for each room
	Sent      uint64 // signals to others since the start
	Received  uint64 // signals from others
	Lost      uint64 // messages that could not be sent or handled
	Syncs     uint64 // times that the whole was asked for
}

// Stats returns the figures of this moment.
func (c *Cluster) Stats() Stats {
	s := &c.stats
	return Stats{
		Connected: c.up.Load(), Nodes: int(s.nodes.Load()), Peers: int(s.peers.Load()),
		Sent: s.sent.Load(), Received: s.received.Load(), Lost: s.lost.Load(), Syncs: s.syncs.Load(),
	}
}

// New connects to NATS. Where that cannot be reached it returns all the same, and the connection is made later. Run does the rest.
func New(opts *Options) (*Cluster, error) {
	o := opts.withDefaults()
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(o.Name) {
		return nil, fmt.Errorf("join cluster: name %q is not of letters, digits, - and _", o.Name)
	}
	c := &Cluster{
		opts: o,
		node: rand.Text()[:16],
		in:   make(chan *nats.Msg, incoming),
		wake: make(chan struct{}, 1),
	}
	nc, err := nats.Connect(o.URL, c.options()...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c.nc = nc
	if nc.IsConnected() { // if it is later, the handlers say so, who may have done it by now
		c.up.Store(true)
	} else {
		o.Logger.Warn("NATS cannot be reached yet; rooms are of this node alone")
	}
	for _, kind := range []string{presenceOf, helloOf, signalTo + c.node, syncTo + c.node, stateTo + c.node} {
		if _, err := nc.ChanSubscribe(o.Name+kind, c.in); err != nil {
			nc.Close()
			return nil, fmt.Errorf("subscribe to NATS: %w", err)
		}
	}
	return c, nil
}

// The subjects, after the name of the cluster. The last part of some is a node.
const (
	presenceOf = ".presence"
	helloOf    = ".hello"
	signalTo   = ".signal."
	syncTo     = ".sync."
	stateTo    = ".state."
)

func (c *Cluster) options() []nats.Option {
	log := c.opts.Logger
	options := []nats.Option{
		nats.Name("shoal-server " + c.node),
		nats.NoEcho(),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1), // what is old by then is of no use
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(maxPings),
		nats.ConnectHandler(func(*nats.Conn) { c.connected(true); log.Info("connected to NATS") }),
		nats.ReconnectHandler(func(*nats.Conn) { c.connected(true); log.Info("connected to NATS again") }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if c.up.Load() {
				log.Warn("NATS is away; rooms are of this node alone until it is back", "err", err)
			}
			c.connected(false)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.stats.lost.Add(1)
			log.Warn("NATS", "err", err)
		}),
	}
	if c.opts.Credentials != "" {
		options = append(options, nats.UserCredentials(c.opts.Credentials))
	}
	return options
}

func (c *Cluster) connected(up bool) {
	c.up.Store(up)
	if up {
		c.put(op{kind: opHello})
	}
}

// Run connects a hub with those of the other nodes until ctx ends, and then tells them that this one leaves. It is called once.
func (c *Cluster) Run(ctx context.Context, h *hub.Hub) {
	c.opts.Logger.Info("in cluster", "name", c.opts.Name, "node", c.node)
	c.put(op{kind: opHello})
	var wg sync.WaitGroup
	wg.Go(func() { newSender(c).run(ctx) })
	newReceiver(c, h).run(ctx)
	wg.Wait()
	c.Close()
}

// Close ends the connection to NATS. After Run there is nothing left to do for it.
func (c *Cluster) Close() { c.nc.Close() }

// Node is the name of this node, a new one at each start.
func (c *Cluster) Node() string { return c.node }

// Joined is for the hub.
func (c *Cluster) Joined(room string, p hub.Presence) {
	c.put(op{kind: opJoined, room: room, presence: p})
}

// Left is for the hub.
func (c *Cluster) Left(room, peer string) {
	c.put(op{kind: opLeft, room: room, presence: hub.Presence{Peer: peer}})
}

// Signal is for the hub. It takes nothing while NATS is away, or too slow.
func (c *Cluster) Signal(node string, text []byte) bool {
	if !c.up.Load() {
		return false
	}
	c.mu.Lock()
	full := c.signals+len(text) > maxSignals
	if !full {
		c.signals += len(text)
	}
	c.mu.Unlock()
	if full {
		c.stats.lost.Add(1)
		return false
	}
	c.put(op{kind: opSignal, node: node, text: text})
	return true
}

func (c *Cluster) put(o op) {
	c.mu.Lock()
	c.queue = append(c.queue, o)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Cluster) take() []op {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.queue
	c.queue, c.signals = nil, 0
	return queue
}
