// Package turn is the STUN and TURN server (RFC 8489, RFC 8656) for the peers of this server's rooms. It differs from one that
// serves anybody in what it relays to: only to other peers that relay through it. So it opens no ports, and nobody can use it
// to reach the network behind it. Both ends of a connection that is relayed have credentials, for both are in a room.
package turn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"

	"github.com/shoaldb/shoal/shared/protocol"
)

// Options says how a Server behaves. The zero value of every field stands for its default; a negative number is no limit.
type Options struct {
	// Listen is the address for UDP and TCP. Default: 127.0.0.1:3478.
	Listen string
	// ListenTLS is the address for TLS, with the configuration TLS. Default: no TLS.
	ListenTLS string
	TLS       *tls.Config
	// Host is the name or address by which clients reach the server. It is needed where Listen names no single address.
	// Default: the address of Listen.
	Host string
	// URLs are what clients are given, such as "turn:example.com:3478?transport=udp": for several servers that share their Secret,
	// or where ports are forwarded. Default: those of this server.
	URLs []string
	// Secret signs credentials as other TURN servers do that know the scheme of draft-uberti-behave-turn-rest-00, coturn for
	// one. Default: random.
	Secret []byte

	TTL            time.Duration // for which a credential can make allocations; default 1 h
	MaxBytes       int64         // that one credential can send, until its allocations end; default 1 GiB
	MaxAllocations int           // of one credential at a time; default 256
	MaxRelays      int           // allocations in all; default and at most 16,384
	MaxConns       int           // TCP and TLS connections; default 4096
	MaxConnsPerIP  int           // of one IPv4 address or IPv6 /64; default 256

	Logger *slog.Logger // default: discard
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Listen == "" {
		d.Listen = "127.0.0.1:3478"
	}
	if len(d.Secret) == 0 {
		d.Secret = make([]byte, 32)
		rand.Read(d.Secret) // never fails, see crypto/rand
	}
	if d.TTL <= 0 {
		d.TTL = time.Hour
	}
	def(&d.MaxBytes, 1<<30)
	def(&d.MaxAllocations, 256)
	def(&d.MaxRelays, ports)
	def(&d.MaxConns, 4096)
	def(&d.MaxConnsPerIP, 256)
	d.MaxRelays = min(d.MaxRelays, ports)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

func def[T int | int64](v *T, d T) {
	switch {
	case *v == 0:
		*v = d
	case *v < 0:
		*v = T(^uint(0) >> 1)
	}
}

// Server is a running server.
type Server struct {
	opts     Options
	turn     *turn.Server
	exchange *exchange
	stun     []string // URLs for everybody
	urls     []string // URLs that need credentials
	udp, tcp net.Addr
	tls      net.Addr // nil where there is none
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	counters counters
}

type counters struct{ bytes, dropped, unauthorized, overQuota, forbidden atomic.Uint64 }

// Stats tells how a server is used.
type Stats struct {
	Allocations  int    // of this moment
	Bytes        uint64 // relayed since the start
	Dropped      uint64 // datagrams to relays that do not exist, or whose owner does not keep up
	Unauthorized uint64 // requests with credentials that do not count
	OverQuota    uint64 // allocations refused, or ended, for their credential's quota
	Forbidden    uint64 // permissions refused, for peers that do not relay through this server
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	c := &s.counters
	return Stats{
		Allocations: s.exchange.size(), Bytes: c.bytes.Load(), Dropped: c.dropped.Load(), Unauthorized: c.unauthorized.Load(),
		OverQuota: c.overQuota.Load(), Forbidden: c.forbidden.Load(),
	}
}

// realm is what clients mix into their keys; they take it from the server.
const realm = "shoal"

// Listen opens the ports and serves until Close.
func Listen(ctx context.Context, opts *Options) (*Server, error) {
	s := &Server{opts: opts.withDefaults()}
	udp, listeners, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	hosts, err := s.hosts(ctx)
	if err == nil {
		s.exchange = newExchange(&s.opts, &s.counters, hosts)
		s.turn, err = turn.NewServer(s.config(udp, listeners))
	}
	if err != nil {
		udp.Close()
		for _, l := range listeners {
			l.Close()
		}
		return nil, fmt.Errorf("start TURN server: %w", err)
	}
	s.name()
	ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(func() { s.exchange.sweep(ctx) })
	return s, nil
}

// config puts together what pion's server needs. It is the owner of what udp and listeners stand for.
func (s *Server) config(udp net.PacketConn, listeners []net.Listener) turn.ServerConfig {
	permit := func(_ net.Addr, peer net.IP) bool {
		ip, _ := netip.AddrFromSlice(peer)
		if s.exchange.serves(ip.Unmap()) {
			return true
		}
		s.counters.forbidden.Add(1)
		return false
	}
	c := turn.ServerConfig{
		Realm:         realm,
		LoggerFactory: loggers{s.opts.Logger},
		AuthHandler:   s.authenticate,
		EventHandler: turn.EventHandler{OnAuth: func(_, _ net.Addr, _, _, _, _ string, ok bool) {
			if !ok {
				s.counters.unauthorized.Add(1)
			}
		}},
		QuotaHandler: func(user, _ string, _ net.Addr) bool { return s.exchange.admits(user) },
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: udp, RelayAddressGenerator: s.exchange, PermissionHandler: permit,
		}},
	}
	for _, l := range listeners {
		c.ListenerConfigs = append(c.ListenerConfigs, turn.ListenerConfig{
			Listener: l, RelayAddressGenerator: s.exchange, PermissionHandler: permit,
		})
	}
	return c
}

// open opens the ports: the same one for UDP and TCP.
func (s *Server) open(ctx context.Context) (net.PacketConn, []net.Listener, error) {
	var lc net.ListenConfig
	for try := 0; ; try++ {
		udp, err := lc.ListenPacket(ctx, "udp", s.opts.Listen)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for TURN: %w", err)
		}
		tcp, err := lc.Listen(ctx, "tcp", udp.LocalAddr().String())
		if err != nil {
			udp.Close()
			if _, port, _ := net.SplitHostPort(s.opts.Listen); port == "0" && try < 10 {
				continue // any port, and that one is not free for both
			}
			return nil, nil, fmt.Errorf("listen for TURN: %w", err)
		}
		s.udp, s.tcp = udp.LocalAddr(), tcp.Addr()
		gate := newGate(&s.opts)
		listeners := []net.Listener{newListener(tcp, gate, nil, &s.wg)}
		if s.opts.ListenTLS != "" {
			l, err := s.openTLS(ctx)
			if err != nil {
				udp.Close()
				tcp.Close()
				return nil, nil, err
			}
			listeners = append(listeners, newListener(l, gate, s.opts.TLS, &s.wg))
		}
		return newPacketConn(udp, &s.wg), listeners, nil
	}
}

func (s *Server) openTLS(ctx context.Context) (net.Listener, error) {
	if s.opts.TLS == nil {
		return nil, errors.New("listen for TURN over TLS: there is no certificate")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.opts.ListenTLS)
	if err != nil {
		return nil, fmt.Errorf("listen for TURN over TLS: %w", err)
	}
	s.tls = l.Addr()
	return l, nil
}

// hosts returns the addresses that relays have: those of the host, one of each family.
func (s *Server) hosts(ctx context.Context) ([]netip.Addr, error) {
	if s.opts.Host == "" {
		ip := s.udp.(*net.UDPAddr).AddrPort().Addr().Unmap()
		if ip.IsUnspecified() {
			return nil, fmt.Errorf("%s is no single address; say by which name or address clients reach it", s.udp)
		}
		s.opts.Host = ip.WithZone("").String()
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.opts.Host)
	if err != nil {
		return nil, fmt.Errorf("find address of TURN host: %w", err)
	}
	var hosts []netip.Addr
	for _, ip := range found {
		if ip = ip.Unmap(); len(hosts) == 0 || len(hosts) == 1 && hosts[0].Is4() != ip.Is4() {
			hosts = append(hosts, ip)
		}
	}
	return hosts, nil
}

// name makes the URLs that clients are given.
func (s *Server) name() {
	at := func(a net.Addr) string {
		_, port, _ := net.SplitHostPort(a.String())
		return net.JoinHostPort(s.opts.Host, port)
	}
	s.stun = []string{"stun:" + at(s.udp)}
	s.urls = s.opts.URLs
	if len(s.urls) > 0 {
		return
	}
	s.urls = []string{"turn:" + at(s.udp) + "?transport=udp", "turn:" + at(s.tcp) + "?transport=tcp"}
	if s.tls != nil {
		s.urls = append(s.urls, "turns:"+at(s.tls)+"?transport=tcp")
	}
}

// ICEServers returns the STUN server for a peer and, where it may use TURN, that with a credential, and for how long the
// credential is good. It is made for hub.Options.
func (s *Server) ICEServers(peer string, relay bool) ([]protocol.ICEServer, time.Duration) {
	servers := []protocol.ICEServer{{URLs: s.stun}}
	if !relay {
		return servers, 0
	}
	user := strconv.FormatInt(time.Now().Add(s.opts.TTL).Unix(), 10) + ":" + peer
	return append(servers, protocol.ICEServer{URLs: s.urls, Username: user, Credential: s.password(user)}), s.opts.TTL
}

// Addr is the address of the UDP and the TCP port.
func (s *Server) Addr() net.Addr { return s.udp }

// Close ends all allocations and waits until nothing of the server runs any more.
func (s *Server) Close() error {
	s.cancel()
	err := s.turn.Close()
	s.exchange.close()
	s.wg.Wait()
	return err
}
