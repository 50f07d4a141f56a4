package turn

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// pipeListener accepts one end of a pipe, and then nothing until it is closed.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

type tcpPipe struct{ net.Conn }

func (tcpPipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// TestSlowClients has clients over TCP that say nothing, or that do not read.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := (*Options)(nil).withDefaults()
		near, far := net.Pipe()
		defer far.Close()
		pipes := &pipeListener{make(chan net.Conn, 1), make(chan struct{})}
		pipes.conns <- tcpPipe{near}
		var wg sync.WaitGroup
		g := newGate(&opts)
		l := newListener(pipes, g, nil, &wg)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != firstWait {
			t.Errorf("first read: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != idleWait {
			t.Errorf("later read: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.Write([]byte("unread")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != writeWait {
			t.Errorf("write: %v after %s", err, time.Since(began))
		}
		if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) && err == nil {
			t.Errorf("write after a part of something: %v", err)
		}
		c.Close()
		c.Close() // counts once
		if g.conns != 0 || len(g.addrs) != 0 {
			t.Errorf("%d connections, addresses %v", g.conns, g.addrs)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		wg.Wait()
	})
}

// TestExpiry follows a credential: it makes allocations until its end, those may be refreshed for a while, then nothing.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: (&Options{TTL: time.Hour}).withDefaults()}
		s.exchange = newExchange(&s.opts, &s.counters, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
		servers, _ := s.ICEServers("annannannann", true)
		user := servers[1].Username
		ask := func(m stun.Method) bool {
			_, _, ok := s.authenticate(&turn.RequestAttributes{Username: user, Realm: realm, Method: m})
			return ok
		}
		relay, _, err := s.exchange.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", UserID: user})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Second)
		if !ask(stun.MethodAllocate) || !ask(stun.MethodRefresh) {
			t.Error("refused before its end")
		}
		time.Sleep(time.Second)
		if ask(stun.MethodAllocate) || !ask(stun.MethodRefresh) || !ask(stun.MethodChannelBind) {
			t.Error("at its end")
		}
		s.exchange.forget(time.Now().Add(time.Second))
		if s.exchange.users[user] == nil {
			t.Error("usage forgotten while there is a relay")
		}
		relay.Close()
		s.exchange.forget(time.Now().Add(time.Second))
		if len(s.exchange.users) != 0 || s.exchange.size() != 0 {
			t.Errorf("left: %v", s.exchange.users)
		}
		time.Sleep(linger)
		if ask(stun.MethodRefresh) {
			t.Error("refreshed for ever")
		}
		for _, user := range []string{"", ":", "x:y", "9223372036854775808:y", strconv.FormatInt(time.Now().Unix()+9, 10) + ":"} {
			if _, ok := ends(user); ok {
				t.Errorf("%q has an end", user)
			}
		}
	})
}

// TestPorts gives out all that there are, each once.
func TestPorts(t *testing.T) {
	s := &Server{opts: (&Options{MaxAllocations: -1}).withDefaults()}
	x := newExchange(&s.opts, &s.counters, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	const user = "9999999999:annannannann"
	for i := range ports {
		if _, _, err := x.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", UserID: user}); err != nil {
			t.Fatalf("port %d: %v", i, err)
		}
	}
	if _, _, err := x.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", UserID: user}); !errors.Is(err, errFull) {
		t.Errorf("one more: %v", err)
	}
	x.close()
	if x.size() != 0 || x.users[user].relays != 0 {
		t.Errorf("%d left, %d of the user", x.size(), x.users[user].relays)
	}
	x = newExchange(&s.opts, &s.counters, x.hosts)
	if _, _, err := x.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp6", UserID: user}); !errors.Is(err, errNotOffered) {
		t.Errorf("other family: %v", err)
	}
	if r, at, err := x.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", RequestedPort: 50001}); err != nil || at.String() != "127.0.0.1:50001" {
		t.Errorf("a port that was asked for: %v, %v, %v", r, at, err)
	}
	for _, port := range []int{50001, 80, 65536} {
		if _, at, err := x.AllocatePacketConn(turn.AllocateListenerConfig{Network: "udp4", RequestedPort: port}); err == nil {
			t.Errorf("port %d: %v", port, at)
		}
	}
}
