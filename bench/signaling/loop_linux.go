package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// loop is 1,000 clients on one thread: whoever got as many signals as it sends at once sends again. It takes the generator
// half of what goroutines take, which would be what is measured.
type loop struct {
	epoll  int
	files  []int
	byFD   map[int32]*client
	bursts int
	buf    []byte
}

type client struct {
	fd     int
	out    []byte
	got    int
	header []byte // of a frame that came in parts
	skip   int    // bytes of a frame that are still to come
}

// newLoop takes the peers' sockets over.
func newLoop(peers []*peer, bursts [][]byte, burst int) (*loop, error) {
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	l := &loop{epoll: epoll, byFD: make(map[int32]*client), bursts: burst, buf: make([]byte, 64<<10)}
	for i, p := range peers {
		fd, err := duplicate(p.conn.(*net.TCPConn))
		if err != nil {
			l.close()
			return nil, err
		}
		l.files = append(l.files, fd)
		c := &client{fd: fd, out: bursts[i]}
		c.count(p.buf[p.from:])
		l.byFD[int32(fd)] = c
		ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
		if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
			l.close()
			return nil, err
		}
		p.conn.Close()
	}
	time.Sleep(300 * time.Millisecond) // the last member lists
	for _, c := range l.byFD {
		if n, err := syscall.Read(c.fd, l.buf); err == nil && n > 0 {
			c.count(l.buf[:n])
		}
	}
	for _, c := range l.byFD {
		if err := c.send(); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// duplicate returns another descriptor of a socket.
func duplicate(t *net.TCPConn) (int, error) {
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	if e := raw.Control(func(own uintptr) { fd, err = syscall.Dup(int(own)) }); e != nil {
		return 0, e
	}
	return fd, err
}

func (l *loop) close() {
	for _, fd := range l.files {
		syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		syscall.Close(fd)
	}
	syscall.Close(l.epoll)
}

// run goes round for d and returns how many messages arrived.
func (l *loop) run(d time.Duration) (count int, err error) {
	events := make([]syscall.EpollEvent, 256)
	for end := time.Now().Add(d); time.Now().Before(end); {
		n, err := syscall.EpollWait(l.epoll, events, 1000)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return count, err
		}
		for _, ev := range events[:n] {
			got, err := l.receive(l.byFD[ev.Fd])
			if err != nil {
				return count, err
			}
			count += got
		}
	}
	if count == 0 {
		err = errors.New("nothing arrives")
	}
	return count, err
}

// receive reads what a client got, and has it send when that is a burst.
func (l *loop) receive(c *client) (int, error) {
	n, err := syscall.Read(c.fd, l.buf)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return 0, nil
	}
	if n <= 0 || err != nil {
		return 0, fmt.Errorf("server closed a connection: %w", err)
	}
	got := c.count(l.buf[:n])
	c.got += got
	for c.got >= l.bursts {
		c.got -= l.bursts
		if err := c.send(); err != nil {
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

func (c *client) send() error {
	for b := c.out; len(b) > 0; {
		n, err := syscall.Write(c.fd, b)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
