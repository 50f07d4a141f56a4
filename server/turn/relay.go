package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// relay is one relayed transport address, as a net.PacketConn. Its owner's goroutine in pion's server reads from it.
type relay struct {
	exchange *exchange
	at       netip.AddrPort
	user     string
	usage    *usage // nil for a relay of nobody
	in       chan datagram
	once     sync.Once
	gone     chan struct{}
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

// WriteTo puts a datagram into the inbox of the relay with that address. As with UDP, it is lost where there is none, or where
// the inbox is full.
func (r *relay) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || len(p) > maxDatagram {
		return 0, net.InvalidAddrError("turn: no address of a relay")
	}
	at := netip.AddrPortFrom(to.AddrPort().Addr().Unmap(), to.AddrPort().Port())
	r.exchange.mu.RLock()
	other := r.exchange.relays[at]
	r.exchange.mu.RUnlock()
	if !r.charge(len(p)) || other == nil {
		r.exchange.counters.dropped.Add(1)
		return len(p), nil
	}
	select {
	case other.in <- datagram{r.at, append([]byte(nil), p...)}:
	default:
		r.exchange.counters.dropped.Add(1)
	}
	return len(p), nil
}

// charge notes what the relay's owner sends. The relay ends where its credential has sent more than the quota. Who receives does not pay, or
// others could spend what is not theirs.
func (r *relay) charge(n int) bool {
	if r.usage == nil {
		return false
	}
	if r.usage.bytes.Add(int64(n)) <= r.exchange.opts.MaxBytes {
		return true
	}
	r.exchange.counters.overQuota.Add(1)
	r.leave()
	return false
}

// ReadFrom returns the next datagram.
func (r *relay) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case d := <-r.in:
		r.exchange.counters.bytes.Add(uint64(len(d.data)))
		return copy(p, d.data), net.UDPAddrFromAddrPort(d.from), nil
	case <-r.gone:
		return 0, nil, net.ErrClosed
	}
}

// leave takes the relay out of the exchange, and ends ReadFrom.
func (r *relay) leave() {
	r.once.Do(func() {
		x := r.exchange
		x.mu.Lock()
		delete(x.relays, r.at)
		if r.usage != nil {
			r.usage.relays--
		}
		x.mu.Unlock()
		close(r.gone)
	})
}

// Close ends the relay.
func (r *relay) Close() error {
	r.leave()
	return nil
}

// LocalAddr is the relayed transport address.
func (r *relay) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(r.at) }

// SetDeadline does nothing, as the two that follow: nobody waits with a deadline.
func (r *relay) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (r *relay) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (r *relay) SetWriteDeadline(time.Time) error { return nil }
