package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// peer is a client that costs the generator little: no JSON where it is not needed.
type peer struct {
	conn io.ReadWriteCloser
	id   string
	open bool // the handshake was answered
	buf  []byte
	from int // of buf that was handed out
}

const handshake = "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// patience bounds each wait for a server.
const patience = 60 * time.Second

// dial connects and waits for init.
func dial(addr string) (*peer, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAlive: -1}
	conn, err := d.DialTCP(context.Background(), "tcp", netip.AddrPort{}, to)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	p := newPeer(conn)
	_, err = io.WriteString(conn, handshake)
	for err == nil {
		var done bool
		if done, err = p.greeted(); done {
			return p, nil
		}
		if err == nil {
			err = p.read()
		}
	}
	conn.Close()
	return nil, err
}

func newPeer(conn io.ReadWriteCloser) *peer { return &peer{conn: conn, buf: make([]byte, 0, 512)} }

// greeted reports whether the answer to the handshake, and init, are there.
func (p *peer) greeted() (bool, error) {
	if !p.open {
		i := bytes.Index(p.buf, []byte("\r\n\r\n"))
		if i < 0 {
			return false, nil
		}
		if !bytes.HasPrefix(p.buf, []byte("HTTP/1.1 101")) {
			return false, fmt.Errorf("refused: %s", p.buf)
		}
		p.open, p.from = true, i+4
	}
	init, ok := p.buffered()
	if !ok {
		return false, nil
	}
	_, rest, ok := bytes.Cut(init, []byte(`"yourPeerId":"`))
	id, _, ends := bytes.Cut(rest, []byte(`"`))
	if !ok || !ends {
		return false, fmt.Errorf("no init but %q", init)
	}
	p.id = string(id)
	return true, nil
}

func (p *peer) read() error {
	if p.from > 0 {
		p.buf = p.buf[:copy(p.buf, p.buf[p.from:])]
		p.from = 0
	}
	if len(p.buf) == cap(p.buf) {
		p.buf = append(make([]byte, 0, max(4096, 2*cap(p.buf))), p.buf...)
	}
	n, err := p.conn.Read(p.buf[len(p.buf):cap(p.buf)])
	p.buf = p.buf[:len(p.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// buffered returns the next message if all of it is there, and whether it is.
func (p *peer) buffered() ([]byte, bool) {
	b := p.buf[p.from:]
	if len(b) < 2 {
		return nil, false
	}
	size, head := int(b[1]&0x7f), 2
	switch size {
	case 126:
		if len(b) < 4 {
			return nil, false
		}
		size, head = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return nil, false
		}
		size, head = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	if len(b) < head+size {
		return nil, false
	}
	p.from += head + size
	return b[head : head+size], true
}

// next returns the next message; it is good until the call after.
func (p *peer) next() ([]byte, error) {
	for {
		if m, ok := p.buffered(); ok {
			return m, nil
		}
		if err := p.read(); err != nil {
			return nil, err
		}
	}
}

// shrink gives the buffer back between scenarios' phases.
func (p *peer) shrink() {
	if p.from == len(p.buf) {
		p.buf, p.from = make([]byte, 0, 512), 0
	}
}

// maskKey is what clients mask their frames with. Browsers take a random one for each, as RFC 6455, section 5.3, has it; the work
// for a server is the same, but not with a key of zeros, with which some have nothing to do.
const maskKey = "\x37\xfa\x21\x3d"

// mask masks a part of a frame's text, from its byte number at.
func mask(text []byte, at int) {
	for i := range text {
		text[i] ^= maskKey[(at+i)%len(maskKey)]
	}
}

// frame appends a client's text frame.
func frame(dst []byte, text string) []byte {
	dst = append(dst, 0x81)
	switch n := len(text); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		panic("message too long for this generator")
	}
	dst = append(dst, maskKey...)
	from := len(dst)
	dst = append(dst, text...)
	mask(dst[from:], 0)
	return dst
}

func (p *peer) send(text string) error {
	_, err := p.conn.Write(frame(nil, text))
	return err
}

func (p *peer) join(room string) error { return p.send(`{"type":"join","room":"` + room + `"}`) }

// signal is the text of a signal to another peer with size bytes of data.
func (p *peer) signal(room, receiver, data string) string {
	return `{"type":"signal","room":"` + room + `","senderPeerId":"` + p.id + `","receiverPeerId":"` + receiver +
		`","data":` + data + `,"connectionId":"abcdefghij"}`
}

// sdp is like an offer of a data channel: lines, which JSON escapes.
func sdp(size int) string {
	const line = `a=candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx\r\n`
	return `{"type":"offer","sdp":"` + strings.Repeat(line, max(1, size/len(line))) + `"}`
}

// candidate is like an ICE candidate as simple-peer sends it.
func candidate(size int) string {
	const c = `candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag Ab3d network-cost 999 `
	return `{"type":"candidate","candidate":{"candidate":"` + strings.Repeat(c, size/len(c)+1)[:size-90] + `","sdpMLineIndex":0,"sdpMid":"0"}}`
}

// isList says whether a message is a member list, and of how many.
func isList(m []byte) (int, bool) {
	if !bytes.HasPrefix(m, []byte(`{"type":"joined"`)) {
		return 0, false
	}
	return bytes.Count(m, []byte(`,`)), true
}

// crowd opens n connections, some at a time.
func crowd(addr string, n, atOnce int) ([]*peer, error) {
	peers := make([]*peer, n)
	err := each(n, atOnce, func(i int) (err error) {
		peers[i], err = dial(addr)
		return err
	})
	if err != nil {
		hangUp(peers)
		return nil, err
	}
	return peers, nil
}

// each calls do for 0 to n-1, some at a time, and returns the first error.
func each(n, atOnce int, do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := make(chan int)
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return first
}

func hangUp(peers []*peer) {
	for _, p := range peers {
		if p != nil {
			if t, ok := p.conn.(*net.TCPConn); ok {
				t.SetLinger(0) // no TIME_WAIT, for the ports are needed again
			}
			p.conn.Close()
		}
	}
}

// rooms puts peers into rooms of size, and waits until each has seen its room full.
func rooms(peers []*peer, size int) error {
	return each(len(peers)/size, 8, func(r int) error {
		name := roomName(r)
		group := peers[r*size : (r+1)*size]
		for _, p := range group {
			if err := p.join(name); err != nil {
				return err
			}
		}
		for _, p := range group {
			if err := p.waitFull(size); err != nil {
				return err
			}
		}
		return nil
	})
}

func roomName(r int) string { return fmt.Sprintf("bench-room-%05d", r) }

// waitFull reads until a list names size peers.
func (p *peer) waitFull(size int) error {
	for {
		m, err := p.next()
		if err != nil {
			return fmt.Errorf("wait for a room of %d: %w", size, err)
		}
		if n, ok := isList(m); ok && n == size {
			return nil
		}
	}
}
