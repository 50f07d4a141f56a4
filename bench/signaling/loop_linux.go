package main

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// loop waits for all sockets on one thread. It takes the generator half of what goroutines take, which would be what is measured.
type loop struct {
	epoll  int
	events [256]syscall.EpollEvent
}

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(0)
	return &loop{epoll: epoll}, err
}

func (l *loop) close() { syscall.Close(l.epoll) }

// add has wait look for input of s, which is number i.
func (l *loop) add(s socket, i int) error {
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | -syscall.EPOLLET, Fd: int32(i)} // the package has the sign of ET wrong
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, int(s), &ev)
}

// wait calls do for each socket with new input. It waits for that some ms at most.
func (l *loop) wait(ms int, do func(i int) error) error {
	n, err := syscall.EpollWait(l.epoll, l.events[:], ms)
	if err != nil && err != syscall.EINTR {
		return err
	}
	for _, ev := range l.events[:max(n, 0)] {
		if err := do(int(ev.Fd)); err != nil {
			return err
		}
	}
	return nil
}

// takeOver makes the sockets of peers the loop's.
func (l *loop) takeOver(peers []*peer) error {
	for i, p := range peers {
		raw, err := p.conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		fd := -1
		if e := raw.Control(func(own uintptr) { fd, err = syscall.Dup(int(own)) }); e != nil || err != nil {
			return errors.Join(e, err)
		}
		p.conn.Close()
		p.conn = socket(fd)
		if err := l.add(socket(fd), i); err != nil {
			return err
		}
	}
	time.Sleep(300 * time.Millisecond) // the last member lists
	for _, p := range peers {
		if err := p.readAll(); err != nil {
			return err
		}
		for ok := true; ok; {
			_, ok = p.buffered()
		}
	}
	return nil
}

// readAll reads all that has come.
func (p *peer) readAll() error {
	for {
		if err := p.read(); err == syscall.EAGAIN {
			return nil
		} else if err != nil {
			return err
		}
		if len(p.buf) < cap(p.buf) {
			return nil // of what comes now the loop will tell
		}
	}
}
