//go:build !linux

package hub

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Here there are no sockets, and what they need is not reached.

type socket struct {
	owner *conn
	ended atomic.Bool
}

func (*socket) read([]byte) (int, error)   { return 0, net.ErrClosed }
func (*socket) write([]byte) (int, error)  { return 0, net.ErrClosed }
func (*socket) send([]byte) (int, error)   { return 0, net.ErrClosed }
func (*socket) closeWrite()                {}
func (*socket) close(bool)                 {}
func (*socket) release() (net.Conn, error) { return nil, net.ErrClosed }

type poller struct{ hub *Hub }

func (*poller) watch(*socket) error             { return net.ErrClosed }
func (*poller) close()                          {}
func (*poller) adopt(net.Conn) *socket          { return nil }
func (*poller) acceptor(net.Listener) *acceptor { return nil }

type acceptor struct{}

func (*acceptor) accept() (*socket, netip.Addr, error) { return nil, netip.Addr{}, net.ErrClosed }
func (*acceptor) close() error                         { return nil }
