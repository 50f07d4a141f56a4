// Package hub is the signaling server's core: WebSocket connections, the rooms they join, and the signals that it passes
// between members of one room. It speaks both dialects of docs/protocol.md, section Signaling, in shared rooms.
//
// Nothing that one client does makes another wait: what a client is sent goes into a bounded queue of its own, a client that
// stops reading is cut off, and a client that sends too fast is read more slowly.
package hub

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Options says what a Hub allows. The zero value of every field stands for its default; a negative number is no limit.
type Options struct {
	// Origins lists the values of the Origin header that may connect, such as "https://example.com"; "*" is any, the default.
	// A request without the header does not come from a page in a browser and is let through.
	Origins []string
	// Authorize decides who may enter a room by the token that the client gave, "" for none. A refusal is told to the client
	// with the error's text. It is called from many goroutines and may block only that client. Default: everybody may do everything.
	Authorize func(room, token string) (Grant, error)
	// ICEServers must not block. It returns the STUN servers for a peer, and with turn the TURN servers, and for how long their
	// credentials are good, 0 for ever; when three quarters of that are over, the peer is given new ones. Default: none.
	ICEServers func(peer string, turn bool) ([]protocol.ICEServer, time.Duration)
	// Joined is called with how long it took a client to get into a room, from its message on. It must not block. Default: nothing.
	Joined func(took time.Duration)
	// Cluster has other nodes serve the same rooms. Default: there are none.
	Cluster Cluster
	// NoRelay refuses to pass on what peers say to each other, for those that have no direct path. Default: whom Authorize
	// lets may.
	NoRelay bool
	// ResumeKey signs resume tokens. Servers with one key, and a server before and after its restart, honour each other's.
	// Default: random.
	ResumeKey []byte
	// RxDBMesh names all RxDB clients of a room to each other, as RxDB's server does, instead of arranging them in a tree. Their
	// replication is known not to settle when several write the same document at once then.
	RxDBMesh bool
	// TrustedProxies are the reverse proxies whose X-Forwarded-For header tells a client's address. Default: none.
	TrustedProxies []netip.Prefix

	MaxMessage         int           // bytes of one message from a client; default and at most protocol.MaxSignalingMessage
	MaxQueue           int           // bytes queued for one client before it is cut off; signals may fill half; default 512 KiB
	Rate               int           // messages a second from one client, each started KiB counting as one; default 200
	Burst              int           // messages that a client may send at once; default 4000
	RelayRate          int           // bytes a second that are relayed for one client; default 512 KiB
	RelayBurst         int           // bytes that a client may have relayed at once; default 4 MiB
	MaxRooms           int           // rooms of one connection; default 64
	MaxRoomPeers       int           // members of one room; default 1000
	MaxConns           int           // connections; default 100,000
	MaxConnsPerAddress int           // connections of one IPv4 address or IPv6 /64; default 256
	HandshakeTimeout   time.Duration // for the upgrade, and then until a Shoal client has said hello; default 10 s
	PingInterval       time.Duration // silence after which the server sends a WebSocket ping; default 20 s
	PingTimeout        time.Duration // silence after that ping that ends a connection; default 10 s
	IdleTimeout        time.Duration // without a message, not even ping; default protocol.IdleTimeout
	WriteTimeout       time.Duration // for 16 KiB to leave the server; default 10 s
	ListDelay          time.Duration // over which changes of a room are gathered; the first is told at once; default 50 ms, negative none

	Logger *slog.Logger // default: discard
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	def(&d.MaxMessage, protocol.MaxSignalingMessage, unlimited)
	def(&d.MaxQueue, 512<<10, unlimited)
	def(&d.Rate, 200, unlimited)
	def(&d.Burst, 4000, unlimited)
	def(&d.RelayRate, 512<<10, unlimited)
	def(&d.RelayBurst, 4<<20, unlimited)
	def(&d.MaxRooms, 64, unlimited)
	def(&d.MaxRoomPeers, 1000, unlimited)
	def(&d.MaxConns, 100_000, unlimited)
	def(&d.MaxConnsPerAddress, 256, unlimited)
	def(&d.HandshakeTimeout, 10*time.Second, forever)
	def(&d.PingInterval, 20*time.Second, forever)
	def(&d.PingTimeout, 10*time.Second, forever)
	def(&d.IdleTimeout, protocol.IdleTimeout, forever)
	def(&d.WriteTimeout, 10*time.Second, forever)
	if d.ListDelay == 0 {
		d.ListDelay = 50 * time.Millisecond
	}
	if len(d.ResumeKey) == 0 {
		d.ResumeKey = make([]byte, 32)
		rand.Read(d.ResumeKey) // never fails, see crypto/rand
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.MaxMessage = min(d.MaxMessage, protocol.MaxSignalingMessage)
	return d
}

const (
	// unlimited stands for no limit: what is reckoned with it does not overflow.
	unlimited = 1 << 30
	// forever is the same as a time, in seconds as the clock has it.
	forever = unlimited * time.Second
)

// def puts the default in place of 0, and most in place of no limit.
func def[T int | time.Duration](v *T, d, most T) {
	switch {
	case *v == 0:
		*v = d
	case *v < 0, *v > most:
		*v = most
	}
}

// Hub is the state of one signaling server. It is an http.Handler that upgrades every request it gets to a WebSocket.
type Hub struct {
	opts   Options
	tick   atomic.Uint32 // seconds since the start, the clock of all timeouts
	once   sync.Once
	stop   chan struct{} // closed by Close
	ready  chan *conn    // for the workers; closed by Close when no conn is left
	poller poller
	live   sync.WaitGroup // conns
	wg     sync.WaitGroup // all else
	stats  counters

	mu      sync.Mutex // guards the following fields
	closed  bool
	rooms   map[string]*room
	conns   map[*conn]struct{}
	pending map[*conn]struct{} // accepted, see Listener
	silent  map[netip.Addr]int // number of pending
	peers   map[string]*conn   // by peer id
	addrs   map[netip.Addr]int
	empty   chan struct{} // closed when the last conn has gone; made by Shutdown
}

// readyQueue is how many conns wait for a worker before those who bring them wait as well.
const readyQueue = 1024

// New returns a Hub that serves until Close.
func New(opts *Options) *Hub {
	h := &Hub{
		opts:    opts.withDefaults(),
		stop:    make(chan struct{}),
		ready:   make(chan *conn, readyQueue),
		rooms:   make(map[string]*room),
		conns:   make(map[*conn]struct{}),
		pending: make(map[*conn]struct{}),
		silent:  make(map[netip.Addr]int),
		peers:   make(map[string]*conn),
		addrs:   make(map[netip.Addr]int),
	}
	h.poller.hub = h
	h.stats.init()
	h.tick.Store(1) // so that 0 can mean never
	h.wg.Go(h.sweep)
	for range runtime.GOMAXPROCS(0) {
		h.wg.Go(newWorker(h).run)
	}
	return h
}

// Shutdown tells all clients to go elsewhere, waits until they have gone or ctx ends, and then closes the hub. It returns the
// cause of ctx when that had to cut clients off. New connections are refused from the beginning.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	conns := h.snapshot(nil)
	if h.empty == nil {
		h.empty = make(chan struct{})
		if len(conns) == 0 {
			close(h.empty)
		}
	}
	empty := h.empty
	h.mu.Unlock()
	for _, c := range conns {
		c.end(protocol.CodeGoingAway, "the server stops, connect again")
	}
	var err error
	select {
	case <-empty:
	case <-ctx.Done():
		err = fmt.Errorf("shut down: %w", context.Cause(ctx))
	}
	h.Close()
	return err
}

// Close ends all connections at once and waits until nothing of the hub runs any more.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.closed = true
	conns := h.snapshot(nil)
	h.mu.Unlock()
	for _, c := range conns {
		c.cut()
	}
	h.dropPending(func(*conn) bool { return true })
	h.live.Wait()
	h.once.Do(func() {
		close(h.stop)
		h.poller.close()
		close(h.ready)
	})
	h.wg.Wait()
	return nil
}

// snapshot appends the connections to conns; h.mu is held.
func (h *Hub) snapshot(conns []*conn) []*conn {
	conns = slices.Grow(conns, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	return conns
}

// register takes up a connection and gives it its peer id, or refuses it.
func (h *Hub) register(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.admit(c.addr); err != nil {
		return err
	}
	if !c.shoal {
		h.name(c, h.freshID())
	}
	h.conns[c] = struct{}{}
	h.addrs[c.addr]++
	h.live.Add(1)
	return nil
}

// admit reports why no further connection of addr is taken; h.mu is held.
func (h *Hub) admit(addr netip.Addr) error {
	switch {
	case h.closed:
		return &refusal{http.StatusServiceUnavailable, reasonStopping, "the server stops", net.ErrClosed}
	case len(h.conns) >= h.opts.MaxConns:
		return &refusal{http.StatusServiceUnavailable, reasonFull, "the server is full", nil}
	case h.addrs[addr] >= h.opts.MaxConnsPerAddress:
		return &refusal{http.StatusTooManyRequests, reasonAddress, "too many connections from this address", nil}
	}
	return nil
}

// unregister forgets a connection. Its peer leaves its rooms, unless another connection resumed it.
func (h *Hub) unregister(c *conn) {
	c.close()
	h.mu.Lock()
	delete(h.conns, c)
	if h.addrs[c.addr]--; h.addrs[c.addr] == 0 {
		delete(h.addrs, c.addr)
	}
	if h.peers[c.id] == c {
		delete(h.peers, c.id)
	}
	if h.empty != nil && len(h.conns) == 0 {
		close(h.empty)
	}
	h.mu.Unlock()
	var b batch
	for _, m := range c.takeRooms() {
		h.leave(c, m.room, &b)
	}
	b.flush()
}
