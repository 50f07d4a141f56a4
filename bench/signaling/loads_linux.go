package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// pump has peers send their bursts, each again whenever it got as many signals as it sends at once, and counts what arrives.
type pump struct {
	*loop
	clients []*client
	burst   int
	buf     [64 << 10]byte
}

type client struct {
	socket
	out    []byte
	got    int
	header []byte // of a frame that came in parts
	skip   int    // bytes of a frame that are still to come
}

func newPump(peers []*peer, bursts [][]byte, burst int) (*pump, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	p := &pump{loop: l, burst: burst}
	if err := l.takeOver(peers); err != nil {
		l.close()
		return nil, err
	}
	for i, from := range peers {
		p.clients = append(p.clients, &client{socket: from.conn.(socket), out: bursts[i]})
	}
	for _, c := range p.clients {
		if err := c.send(c.out); err != nil {
			l.close()
			return nil, err
		}
	}
	return p, nil
}

// run goes round for d and returns how many messages arrived.
func (p *pump) run(d time.Duration) (count int, err error) {
	for end := time.Now().Add(d); err == nil && time.Now().Before(end); {
		err = p.wait(1000, func(i int) error {
			got, err := p.receive(p.clients[i])
			count += got
			return err
		})
	}
	if count == 0 && err == nil {
		err = errors.New("nothing arrives")
	}
	return count, err
}

// receive reads what a client got, and has it send when that is a burst.
func (p *pump) receive(c *client) (got int, err error) {
	for n := len(p.buf); n == len(p.buf); {
		if n, err = c.Read(p.buf[:]); err == syscall.EAGAIN {
			return got, nil
		} else if err != nil {
			return got, err
		}
		got += c.count(p.buf[:n])
	}
	for c.got += got; c.got >= p.burst; c.got -= p.burst {
		if err := c.send(c.out); err != nil {
			return got, err
		}
	}
	return got, nil
}

// count returns how many frames end in b.
func (c *client) count(b []byte) (frames int) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			b = b[n:]
			if c.skip -= n; c.skip == 0 {
				frames++
			}
			continue
		}
		c.header = append(c.header, b[0])
		b = b[1:]
		switch h := c.header; {
		case len(h) == 2 && h[1] < 126:
			c.skip, c.header = int(h[1]), h[:0]
		case len(h) == 4 && h[1] == 126:
			c.skip, c.header = int(h[2])<<8|int(h[3]), h[:0]
		}
	}
	return frames
}

// evenly calls send for number 0, 1 and so on, rate times a second, as often as that is in d, and meanwhile reads what comes: receive gets
// each message. It returns when as many have come as were sent, or too late. It never sleeps, for it would wake too late.
func evenly(peers []*peer, rate int, d time.Duration, send func(n int, s socket) error, receive func(m []byte)) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.takeOver(peers); err != nil {
		return err
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would be measured
	sent, arrived, total := 0, 0, int(d.Seconds()*float64(rate))
	start, each := time.Now(), time.Second/time.Duration(rate)
	for due := start; arrived < total && time.Since(start) < 2*d+10*time.Second; {
		if now := time.Now(); sent < total && !now.Before(due) {
			if err := send(sent, peers[sent%len(peers)].conn.(socket)); err != nil {
				return err
			}
			sent++
			if due = due.Add(each); now.Sub(due) > time.Millisecond {
				due = now // it stood still, and what it did not send then must not come all at once
			}
		}
		err := l.wait(0, func(i int) error {
			err := peers[i].readAll()
			for m, ok := peers[i].buffered(); ok; m, ok = peers[i].buffered() {
				receive(m)
				arrived++
			}
			return err
		})
		if err != nil {
			return err
		}
		runtime.Gosched() // where others run beside
	}
	if arrived < total {
		return fmt.Errorf("%d signals of %d arrived", arrived, total)
	}
	return nil
}

// dialAll opens n connections, some at a time, each until its init has come. It returns how long that took; what can be made
// before is made before.
func dialAll(addr string, n, atOnce int) (peers []*peer, took time.Duration, err error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, 0, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, 0, err
	}
	defer l.close()
	sockets, err := newSockets(n)
	for _, s := range sockets {
		peers = append(peers, newPeer(s))
	}
	if err != nil {
		return peers, 0, err
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would be measured
	start, begun, done := time.Now(), 0, 0
	begin := func() error {
		s, i := sockets[begun], begun
		begun++
		return errors.Join(s.connect(to), s.send([]byte(handshake)), l.add(s, i))
	}
	for range min(n, atOnce) {
		if err := begin(); err != nil {
			return peers, 0, err
		}
	}
	greet := func(i int) error {
		if err := peers[i].readAll(); err != nil {
			return err
		}
		greeted, err := peers[i].greeted()
		if err != nil || !greeted {
			return err
		}
		if done++; begun < n {
			return begin()
		}
		return nil
	}
	for done < n && time.Since(start) < patience {
		if err := l.wait(1000, greet); err != nil {
			return peers, 0, err
		}
	}
	if done < n {
		err = fmt.Errorf("%d connections of %d after %v", done, n, patience)
	}
	return peers, time.Since(start), err
}
