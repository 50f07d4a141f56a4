package turn

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"
)

const (
	// firstPort is where the dynamic ports begin, RFC 6335, section 6, of which relays have theirs.
	firstPort = 49152
	ports     = 1<<16 - firstPort
	// inbox is how many datagrams wait for the owner of a relay. It holds what a sender has on its way in a burst.
	inbox = 128
	// maxDatagram is the largest that is relayed; pion's server reads no larger ones.
	maxDatagram = 1600
	// sweepInterval is how often usage of credentials that ended is forgotten.
	sweepInterval = time.Minute
)

var (
	errNotOffered = errors.New("turn: not offered")
	errQuota      = errors.New("turn: quota of the credential is used up")
	errFull       = errors.New("turn: no relay is free")
)

// exchange is the network of the relays. Their ports are names within this process, not sockets: a datagram to one goes into
// the inbox of its owner, and one to anything else nowhere.
type exchange struct {
	opts     *Options
	counters *counters
	hosts    []netip.Addr

	mu     sync.RWMutex // guards the following fields
	closed bool
	relays map[netip.AddrPort]*relay
	users  map[string]*usage
}

// usage is what a credential is used for.
type usage struct {
	relays int          // guarded by exchange.mu
	bytes  atomic.Int64 // sent so far
}

func newExchange(opts *Options, c *counters, hosts []netip.Addr) *exchange {
	return &exchange{
		opts: opts, counters: c, hosts: hosts, relays: make(map[netip.AddrPort]*relay), users: make(map[string]*usage),
	}
}

// Validate is called by pion's server.
func (x *exchange) Validate() error { return nil }

// AllocateListener refuses relays for TCP (RFC 6062).
func (x *exchange) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errNotOffered
}

// AllocateConn refuses connections of such.
func (x *exchange) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errNotOffered }

// AllocatePacketConn makes a relay.
func (x *exchange) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, nil, net.ErrClosed
	}
	at, err := x.free(c.Network == "udp4", c.RequestedPort)
	if err != nil {
		return nil, nil, err
	}
	r := &relay{exchange: x, at: at, user: c.UserID, in: make(chan datagram, inbox), gone: make(chan struct{})}
	if c.UserID != "" { // pion also asks for relays of nobody, to see which port is free
		if r.usage = x.users[c.UserID]; r.usage == nil {
			r.usage = &usage{}
			x.users[c.UserID] = r.usage
		}
		if !x.within(r.usage) {
			x.counters.overQuota.Add(1)
			return nil, nil, errQuota
		}
		r.usage.relays++
	}
	x.relays[at] = r
	return r, net.UDPAddrFromAddrPort(at), nil
}

// free returns an address that no relay has; x.mu is held.
func (x *exchange) free(v4 bool, port int) (netip.AddrPort, error) {
	switch {
	case len(x.relays) >= x.opts.MaxRelays:
		return netip.AddrPort{}, errFull
	case port != 0 && (port < firstPort || port >= firstPort+ports):
		return netip.AddrPort{}, errNotOffered
	}
	for _, host := range x.hosts {
		if host.Is4() != v4 {
			continue
		}
		from, tries := rand.IntN(ports), ports
		if port != 0 {
			from, tries = port-firstPort, 1
		}
		for i := range tries {
			at := netip.AddrPortFrom(host, uint16(firstPort+(from+i)%ports))
			if x.relays[at] == nil {
				return at, nil
			}
		}
		return netip.AddrPort{}, errFull
	}
	return netip.AddrPort{}, errNotOffered
}

// within reports whether a credential may make another relay; x.mu is held.
func (x *exchange) within(u *usage) bool {
	return u.relays < x.opts.MaxAllocations && u.bytes.Load() < x.opts.MaxBytes
}

// admits is within for a user name, for which there may be no usage so far.
func (x *exchange) admits(user string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if u := x.users[user]; u != nil && !x.within(u) {
		x.counters.overQuota.Add(1)
		return false
	}
	return true
}

// serves reports whether relays have that address.
func (x *exchange) serves(ip netip.Addr) bool {
	for _, host := range x.hosts {
		if host == ip {
			return true
		}
	}
	return false
}

func (x *exchange) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.relays)
}

// sweep forgets what credentials were used for whose time is over, until ctx ends.
func (x *exchange) sweep(ctx context.Context) {
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			x.forget(now)
		}
	}
}

func (x *exchange) forget(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for user, u := range x.users {
		if end, _ := ends(user); u.relays == 0 && now.After(end) {
			delete(x.users, user)
		}
	}
}

func (x *exchange) close() {
	x.mu.Lock()
	x.closed = true
	relays := make([]*relay, 0, len(x.relays))
	for _, r := range x.relays {
		relays = append(relays, r)
	}
	x.mu.Unlock()
	for _, r := range relays {
		r.Close()
	}
}
