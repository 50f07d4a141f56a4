package main

import (
	"errors"
	"net/netip"
	"syscall"
	"unsafe"
)

// socket is a TCP socket that Go's runtime knows nothing of. Its methods do what is possible at once; when that is nothing, the
// error is EAGAIN.
type socket int

func (s socket) Read(b []byte) (int, error)  { return s.transfer(syscall.SYS_READ, b) }
func (s socket) Write(b []byte) (int, error) { return s.transfer(syscall.SYS_WRITE, b) }

// transfer makes the system call without a word to Go's scheduler, which has nothing else to do here.
func (s socket) transfer(call uintptr, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return 0, errno
		case n == 0 && call == syscall.SYS_READ:
			return 0, errors.New("server closed a connection")
		default:
			return int(n), nil
		}
	}
}

// send writes all of b.
func (s socket) send(b []byte) error {
	for len(b) > 0 {
		n, err := s.Write(b)
		if err != nil && err != syscall.EAGAIN {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Close leaves no TIME_WAIT behind, for the ports are needed again.
func (s socket) Close() error {
	_ = syscall.SetsockoptLinger(int(s), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	return syscall.Close(int(s))
}

// newSockets makes n sockets.
func newSockets(n int) (sockets []socket, err error) {
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return sockets, err
		}
		sockets = append(sockets, socket(fd))
	}
	return sockets, nil
}

// connect begins to connect; on loopback that is at once.
func (s socket) connect(addr netip.AddrPort) error {
	err := syscall.Connect(int(s), &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
	if err == syscall.EINPROGRESS {
		return nil
	}
	return err
}
