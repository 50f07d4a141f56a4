package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// oneWay is how long a packet takes; there and back it is 50 ms.
const oneWay = 25 * time.Millisecond

// perByte is how long the link is busy with a byte: 100 Mbit/s. Without it the browsers' receive buffers overflow, as what is sent in one go
// comes in one go.
const perByte = 80 * time.Nanosecond

// delay stands between the browsers: it passes on what they signal, but for their addresses, for each of which it gives one of its
// own, and passes the packets on that come there, later.
type delay struct {
	t      *testing.T
	signal string
	ctx    context.Context
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the following fields
	relays map[string]string
	conns  []io.Closer
}

// newDelay starts one; url is the address of a signaling server on whose peers all packets take longer.
func newDelay(t *testing.T, signal string) (d *delay, url string) {
	ctx, cancel := context.WithCancel(context.Background())
	d = &delay{t: t, signal: signal, ctx: ctx, relays: make(map[string]string)}
	s := httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(func() {
		cancel()
		d.mu.Lock()
		conns := d.conns
		d.conns = nil
		d.mu.Unlock()
		for _, c := range conns {
			_ = c.Close() // it may be closed
		}
		d.wg.Wait()
		s.Close()
	})
	return d, "ws" + s.URL[len("http"):]
}

// keep closes c in the end.
func (d *delay) keep(c io.Closer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, c)
	if d.ctx.Err() != nil {
		_ = c.Close()
	}
}

func (d *delay) serve(w http.ResponseWriter, r *http.Request) {
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP{"Origin": r.Header["Origin"]}}
	if p := r.Header.Get("Sec-WebSocket-Protocol"); p != "" {
		dialer.Protocols = []string{p}
	}
	server, early, _, err := dialer.Dial(r.Context(), d.signal+r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	upgrader := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}
	client, _, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		_ = server.Close()
		return
	}
	d.keep(server)
	d.keep(client)
	from := io.ReadWriter(server)
	if early != nil { // what came with the answer to the handshake
		from = struct {
			io.Reader
			io.Writer
		}{early, server}
	}
	d.wg.Add(2)
	go func() { // ends with the connections
		defer d.wg.Done()
		defer server.Close()
		for {
			data, op, err := wsutil.ReadClientData(client)
			if err != nil || wsutil.WriteClientMessage(server, op, d.rewrite(data)) != nil {
				return
			}
		}
	}()
	go func() { // likewise
		defer d.wg.Done()
		defer client.Close()
		for {
			data, op, err := wsutil.ReadServerData(from)
			if err != nil || wsutil.WriteServerMessage(client, op, data) != nil {
				return
			}
		}
	}()
}

// candidate is an ICE candidate (RFC 8839, section 5.1) of a UDP address.
var candidate = regexp.MustCompile(`(candidate:\S+ \d+ (?i:udp) \d+ )([0-9a-fA-F.:]+) (\d+)( typ host)`)

func (d *delay) rewrite(message []byte) []byte {
	return candidate.ReplaceAllFunc(message, func(text []byte) []byte {
		m := candidate.FindSubmatch(text)
		relay, err := d.relay(string(m[2]), string(m[3]))
		if err != nil {
			d.t.Errorf("relay: %v", err)
			return text
		}
		host, port, _ := net.SplitHostPort(relay)
		return fmt.Appendf(nil, "%s%s %s%s", m[1], host, port, m[4])
	})
}

// relay returns the address whose packets go to the one given.
func (d *delay) relay(host, port string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	target := net.JoinHostPort(host, port)
	if relay, ok := d.relays[target]; ok {
		return relay, nil
	}
	to, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return "", err
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: to.IP})
	if err != nil {
		return "", err
	}
	d.relays[target] = front.LocalAddr().String()
	d.conns = append(d.conns, front)
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		d.forward(front, to)
	}()
	return d.relays[target], nil
}

// forward passes packets on, from each sender through a socket of its own, so that answers find the way back.
func (d *delay) forward(front *net.UDPConn, to *net.UDPAddr) {
	type way struct {
		back *net.UDPConn
		line chan packet
	}
	ways := make(map[string]way)
	defer func() {
		for _, w := range ways {
			close(w.line)
		}
	}()
	_ = front.SetReadBuffer(4 << 20) // as much as the system allows
	d.read(front, func(data []byte, from *net.UDPAddr) {
		w, ok := ways[from.String()]
		if !ok {
			back, err := net.DialUDP("udp", &net.UDPAddr{IP: to.IP}, to)
			if err != nil {
				return
			}
			d.keep(back)
			_ = back.SetReadBuffer(4 << 20)
			w = way{back, d.line(func(data []byte) { _, _ = back.Write(data) })}
			ways[from.String()] = w
			answers := d.line(func(data []byte) { _, _ = front.WriteToUDP(data, from) })
			d.wg.Add(1)
			go func() {
				defer d.wg.Done()
				defer close(answers)
				d.read(back, func(data []byte, _ *net.UDPAddr) { answers <- packet{time.Now().Add(oneWay), data} })
			}()
		}
		w.line <- packet{time.Now().Add(oneWay), data}
	})
}

// read calls take with each packet until the socket is closed.
func (d *delay) read(c *net.UDPConn, take func([]byte, *net.UDPAddr)) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) || d.ctx.Err() != nil {
			return
		}
		if err == nil { // else nobody listens there any more
			take(append([]byte(nil), buf[:n]...), from)
		}
	}
}

type packet struct {
	due  time.Time
	data []byte
}

// line sends packets in their order when they are due.
func (d *delay) line(send func([]byte)) chan packet {
	packets := make(chan packet, 1<<16)
	d.wg.Add(1)
	go func() { // ends when the channel is closed
		defer d.wg.Done()
		timer := time.NewTimer(0)
		defer timer.Stop()
		var free time.Time // the link, from then on
		for p := range packets {
			if free.After(p.due) {
				p.due = free
			}
			free = p.due.Add(time.Duration(len(p.data)) * perByte)
			if wait := time.Until(p.due); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-d.ctx.Done():
				}
			}
			send(p.data)
		}
	}()
	return packets
}
