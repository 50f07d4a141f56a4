package hub

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// socket is a TCP socket that Go's runtime knows nothing of: a poller tells when there is something to do. So a connection that is
// idle has neither a goroutine nor a buffer, and one system call takes what came, where the runtime's way needs two. All methods may be called
// concurrently, and none waits, but send.
type socket struct {
	fd    int
	owner *conn
	ended atomic.Bool // the other end is gone, or sends no more

	mu     sync.RWMutex // held for reading during system calls: a closed descriptor may soon be another's
	closed bool
	room   chan struct{} // holds one token when there may be room for output; nil while nobody waits for it
	narrow atomic.Bool   // somebody does, or did
}

// with calls f with the descriptor, unless the socket is closed.
func (s *socket) with(f func(fd int) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return net.ErrClosed
	}
	return f(s.fd)
}

// read reads what has come. When nothing has, the error is EAGAIN; n is 0 without an error at the end.
func (s *socket) read(b []byte) (n int, err error) { return s.transfer(syscall.Read, b) }

// write writes what the socket takes at once; when that is nothing the error is EAGAIN.
func (s *socket) write(b []byte) (n int, err error) { return s.transfer(syscall.Write, b) }

func (s *socket) transfer(call func(fd int, b []byte) (int, error), b []byte) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	for {
		n, err := call(s.fd, b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// send writes some of b, and waits until that is possible.
func (s *socket) send(b []byte) (int, error) {
	s.mu.Lock()
	if s.room == nil {
		s.room = make(chan struct{}, 1)
		s.narrow.Store(true)
	}
	room := s.room
	s.mu.Unlock()
	for {
		n, err := s.write(b)
		if err != syscall.EAGAIN {
			return n, err
		}
		<-room
	}
}

// hasRoom wakes send.
func (s *socket) hasRoom() {
	if !s.narrow.Load() {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// closeWrite tells the other end that nothing more comes.
func (s *socket) closeWrite() {
	s.with(func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) })
}

// close closes the socket. With reset the kernel drops what it still holds for the other end.
func (s *socket) close(reset bool) {
	if reset {
		s.with(func(fd int) error {
			return syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
		})
	}
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.owner.hub.poller.forget(s)
		syscall.Close(s.fd)
	}
	s.mu.Unlock()
	s.hasRoom()
}

// release turns the socket into a connection as the rest of the world has them.
func (s *socket) release() (nc net.Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	s.closed = true
	s.owner.hub.poller.forget(s)
	_ = syscall.EpollCtl(s.owner.hub.poller.fd, syscall.EPOLL_CTL_DEL, s.fd, nil) // the descriptor lives on as another
	f := os.NewFile(uintptr(s.fd), "socket")
	defer f.Close()
	return net.FileConn(f) // with another descriptor
}

// poller has workers see to conns whose sockets have input, and tells of room for output. It begins with the first socket.
type poller struct {
	hub  *Hub
	once sync.Once
	fd   int      // of epoll, see epoll(7)
	file *os.File // the same, for Go's runtime waits for it as for any descriptor; nil where there is none
	wg   sync.WaitGroup

	mu      sync.RWMutex // guards the following field
	sockets []*socket    // by descriptor, which are small numbers
}

// works begins, and reports whether the system lets it.
func (p *poller) works() bool {
	p.once.Do(func() {
		fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			return
		}
		_ = syscall.SetNonblock(fd, true) // never fails on a good descriptor; without it the runtime would not wait for it
		p.fd, p.file = fd, os.NewFile(uintptr(fd), "epoll")
		for range runtime.GOMAXPROCS(0) {
			p.wg.Go(p.run)
		}
	})
	return p.file != nil
}

// pollEvents is how many events a worker takes at once.
const pollEvents = 64

// run is a worker that takes its conns from the poller itself: while one waits there the others work.
func (p *poller) run() {
	w := newWorker(p.hub)
	raw, err := p.file.SyscallConn()
	events := make([]syscall.EpollEvent, pollEvents)
	n := 0
	take := func(fd uintptr) bool {
		n, _ = syscall.EpollWait(int(fd), events, 0)
		return n > 0
	}
	for err == nil {
		if err = raw.Read(take); err == nil {
			p.tell(events[:n], w)
			runtime.Gosched() // while there is always something to do here, on one core others would wait for 10 ms
		}
	}
}

func (p *poller) tell(events []syscall.EpollEvent, w *worker) {
	const end = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	var sockets [pollEvents]*socket
	p.mu.RLock()
	for i, e := range events {
		sockets[i] = p.sockets[e.Fd]
	}
	p.mu.RUnlock()
	for i, e := range events {
		s := sockets[i]
		if s == nil {
			continue
		}
		if e.Events&end != 0 {
			s.ended.Store(true)
		}
		if e.Events&(syscall.EPOLLOUT|end) != 0 {
			s.hasRoom()
		}
		if e.Events&(syscall.EPOLLIN|end) != 0 && s.owner.claim() {
			w.serve(s.owner)
		}
	}
}

// watch has the poller tell what happens to a socket from now on, what there is already included.
func (p *poller) watch(s *socket) error {
	p.mu.Lock()
	if more := s.fd + 1 - len(p.sockets); more > 0 {
		p.sockets = append(p.sockets, make([]*socket, more)...)
	}
	p.sockets[s.fd] = s
	p.mu.Unlock()
	const edges = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | -syscall.EPOLLET // of which the package has the sign wrong
	return s.with(func(fd int) error {
		return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: edges, Fd: int32(fd)})
	})
}

// forget ends watch, as does closing the last descriptor. The socket's lock is held.
func (p *poller) forget(s *socket) {
	p.mu.Lock()
	if s.fd < len(p.sockets) && p.sockets[s.fd] == s {
		p.sockets[s.fd] = nil
	}
	p.mu.Unlock()
}

// close ends the poller, which must have no sockets left.
func (p *poller) close() {
	p.once.Do(func() {})
	if p.file != nil {
		p.file.Close()
		p.wg.Wait()
	}
}

// adopt makes a socket of a connection that net/http has handed over, nil where it is not a plain TCP one.
func (p *poller) adopt(nc net.Conn) *socket {
	t, ok := nc.(*net.TCPConn)
	if !ok || !p.works() {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	if raw.Control(func(own uintptr) { fd, err = syscall.Dup(int(own)) }) != nil || err != nil {
		return nil
	}
	syscall.CloseOnExec(fd)
	nc.Close()
	return &socket{fd: fd}
}

// acceptor accepts sockets.
type acceptor struct {
	file *os.File // the listening socket
	raw  syscall.RawConn
}

// acceptor takes a TCP listener's place, and closes it. It returns nil where ln is something else.
func (p *poller) acceptor(ln net.Listener) *acceptor {
	t, ok := ln.(*net.TCPListener)
	if !ok || !p.works() {
		return nil
	}
	f, err := t.File()
	if err != nil {
		return nil
	}
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) // which accepted sockets inherit
		})
	}
	if err != nil {
		f.Close()
		return nil
	}
	t.Close()
	return &acceptor{f, raw}
}

// accept waits for the next socket, and returns it with the address of its other end.
func (a *acceptor) accept() (s *socket, peer netip.Addr, err error) {
	var fd int
	var from syscall.Sockaddr
	readErr := a.raw.Read(func(listener uintptr) bool {
		fd, from, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		for err == syscall.EINTR || err == syscall.ECONNABORTED { // who wanted it has gone again
			fd, from, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		}
		return err != syscall.EAGAIN
	})
	switch {
	case readErr != nil:
		return nil, peer, net.ErrClosed
	case err != nil:
		// Of such an error http.Server knows whether it passes.
		return nil, peer, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	switch from := from.(type) {
	case *syscall.SockaddrInet4:
		peer = netip.AddrFrom4(from.Addr)
	case *syscall.SockaddrInet6:
		peer = netip.AddrFrom16(from.Addr).Unmap()
	}
	return &socket{fd: fd}, peer, nil
}

func (a *acceptor) close() error { return a.file.Close() }
