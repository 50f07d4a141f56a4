package hub

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// refusal is an error with the HTTP status that tells it.
type refusal struct {
	status int
	reason reason
	text   string
	err    error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }

// ServeHTTP upgrades the request to a WebSocket and returns; the connection lives on in the hub. What it does not take it
// answers with a status and a line of text that says why.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := h.accept(w, r)
	if err == nil {
		c.start()
		return
	}
	h.stats.refuse(err)
	h.opts.Logger.Debug("connection refused", "addr", r.RemoteAddr, "err", err)
	if ref, ok := err.(*refusal); ok {
		if ref.status == http.StatusUpgradeRequired && r.ProtoMajor == 1 { // HTTP/2 has no upgrades, and forbids their headers
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
		}
		http.Error(w, ref.text, ref.status)
	}
}

// accept checks and upgrades a request, and registers the connection. An error that is not a refusal has been answered.
func (h *Hub) accept(w http.ResponseWriter, r *http.Request) (*conn, error) {
	if !IsUpgrade(r) {
		return nil, &refusal{http.StatusUpgradeRequired, reasonUpgrade, "this is a signaling server, connect to it by WebSocket", nil}
	}
	offered := r.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) > 0 && !offers(offered, protocol.Subprotocol) {
		return nil, &refusal{http.StatusBadRequest, reasonUpgrade, "unknown subprotocol, this server speaks " + protocol.Subprotocol, nil}
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero address for sockets that have none
	addr := h.clientAddr(ap.Addr(), r.Header.Values("X-Forwarded-For"))
	if err := h.check(addr, r.Header.Get("Origin")); err != nil {
		return nil, err
	}
	up := ws.HTTPUpgrader{
		Timeout:  h.opts.HandshakeTimeout,
		Protocol: func(s string) bool { return s == protocol.Subprotocol },
	}
	nc, rw, hs, err := up.Upgrade(r, w)
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		return nil, err
	}
	if rest, ok := nc.(*replayed); ok && len(rest.early) == 0 {
		nc = rest.Conn
	}
	sock := h.poller.adopt(nc)
	if sock != nil {
		nc = nil
	}
	c := newConn(h, nc, sock)
	c.token = urlToken(r.URL.RawQuery)
	c.addr, c.shoal = addr, hs.Protocol == protocol.Subprotocol
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n)
		c.rest = append(c.rest, early...)
	}
	if err := h.register(c); err != nil { // others came first, or the hub was closed
		c.shut()
		return nil, &net.OpError{Op: "accept", Net: "websocket", Err: err}
	}
	c.watch()
	return c, nil
}

// urlToken returns the token that a client's URL has: RxDB's dialect has no other place for one.
func urlToken(query string) string {
	if !strings.Contains(query, "token=") {
		return ""
	}
	values, _ := url.ParseQuery(query) // what is wrong in it is dropped
	return values.Get("token")
}

// IsUpgrade reports whether a request asks for a WebSocket, so that one path can serve a page as well.
func IsUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func offers(headers []string, want string) bool {
	for _, h := range headers {
		for p := range strings.SplitSeq(h, ",") {
			if strings.TrimSpace(p) == want {
				return true
			}
		}
	}
	return false
}

func (h *Hub) originAllowed(origin string) bool {
	return origin == "" || len(h.opts.Origins) == 0 ||
		slices.Contains(h.opts.Origins, "*") || slices.ContainsFunc(h.opts.Origins, func(o string) bool {
		return strings.EqualFold(o, origin)
	})
}

// check reports why a connection is not taken, as far as that can be told before the upgrade.
func (h *Hub) check(addr netip.Addr, origin string) error {
	if !h.originAllowed(origin) {
		return &refusal{http.StatusForbidden, reasonOrigin, "origin not allowed: " + origin, nil}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.admit(addr)
}

// clientAddr returns the address that a client's connections are counted under: an IPv4 address, or the first 64 bits of an
// IPv6 address, of which a single host commonly has all the rest.
func (h *Hub) clientAddr(addr netip.Addr, forwarded []string) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if len(h.opts.TrustedProxies) > 0 {
		hops := strings.Split(strings.Join(forwarded, ","), ",")
		for i := len(hops) - 1; i >= 0 && h.trusted(addr); i-- {
			hop, err := parseHop(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			addr = hop.Unmap().WithZone("")
		}
	}
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// parseHop reads an address to which some proxies add a port.
func parseHop(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), nil
	}
	return netip.ParseAddr(s)
}

func (h *Hub) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(h.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
