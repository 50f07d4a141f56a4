package transporttest

import (
	"bytes"
	"context"
	"errors"
	"net"

	"github.com/shoaldb/shoal/shared/transport"
)

// testMeet: two networks in a topic get one connection each, and both ends agree on what it is.
func testMeet(s *suite) {
	a, b := s.pair()
	s.exchange(a, b)
	if a.Peer() == "" || b.Peer() == "" || a.Peer() == b.Peer() {
		s.Errorf("peers are %q and %q, want two different names", a.Peer(), b.Peer())
	}
	if len(a.Binding()) < 16 || !bytes.Equal(a.Binding(), b.Binding()) {
		s.Errorf("bindings are %x and %x, want 16 equal bytes or more", a.Binding(), b.Binding())
	}
	c, d := s.between(s.node("other"), s.node("other"))
	if bytes.Equal(a.Binding(), c.Binding()) {
		s.Errorf("two connections have the binding %x", a.Binding())
	}
	s.exchange(c, d)
}

// testTopics: only networks that share a topic get a connection.
func testTopics(s *suite) {
	x, y, both, none := s.node("x"), s.node("y"), s.node("x", "y"), s.node("z")
	s.exchange(s.between(x, both))
	s.exchange(s.between(y, both))
	s.closeAll()
	s.expectConns(map[*node]int{x: 1, y: 1, both: 2, none: 0})
}

// expectConns checks how many connections closed nodes had.
func (s *suite) expectConns(want map[*node]int) {
	s.Helper()
	for n, count := range want {
		if got := len(n.conns()); got != count {
			s.Errorf("%d connections, want %d", got, count)
		}
	}
}

// testOneConnection: sharing several topics, from the start or later, makes no further connection.
func testOneConnection(s *suite) {
	a, b := s.node("1", "2", "3"), s.node("1", "2", "3")
	ca, cb := s.between(a, b)
	for _, n := range []*node{a, b} {
		if err := n.Join("4"); err != nil {
			s.Fatal(err)
		}
	}
	// A third network that meets both in the new topic shows that the news of it has come round.
	c := s.node("4")
	s.exchange(s.between(a, c))
	s.exchange(s.between(b, c))
	s.exchange(ca, cb)
	s.closeAll()
	s.expectConns(map[*node]int{a: 2, b: 2, c: 2})
}

// testJoinTwice: joining twice and leaving what was not joined are errors, and do no harm.
func testJoinTwice(s *suite) {
	a := s.node("topic")
	if err := a.Join("topic"); err == nil {
		s.Error("Join of a topic that is joined: no error")
	}
	if err := a.Leave("elsewhere"); err == nil {
		s.Error("Leave of a topic that is not joined: no error")
	}
	b := s.node("topic")
	s.exchange(s.between(a, b))
}

// testLeave: a connection ends when the last shared topic is left, and not before. Joining again makes a new one.
func testLeave(s *suite) {
	a, b := s.node("1", "2"), s.node("1", "2")
	ca, cb := s.between(a, b)
	s.exchange(ca, cb)
	if err := a.Leave("1"); err != nil {
		s.Fatal(err)
	}
	s.exchange(ca, cb)
	if err := a.Leave("2"); err != nil {
		s.Fatal(err)
	}
	s.awaitClosed(ca)
	s.awaitClosed(cb)
	if err := a.Join("2"); err != nil {
		s.Fatal(err)
	}
	s.exchange(s.between(a, b, ca.Binding()))
}

// testComeBack: when a network closes and another one comes in its place, there is a new connection.
func testComeBack(s *suite) {
	a, b := s.node("topic"), s.node("topic")
	ca, cb := s.between(a, b)
	s.exchange(ca, cb)
	b.close()
	s.awaitClosed(ca)
	s.awaitClosed(cb)
	b = s.node("topic")
	s.exchange(s.between(a, b))
}

// testMesh: each of several networks gets a connection to each other, and the ends match.
func testMesh(s *suite) {
	const count = 5
	for range count {
		s.node("mesh")
	}
	bindings := make(map[string]bool)
	for i, m := range s.nodes {
		for _, n := range s.nodes[i+1:] {
			cm, cn := s.between(m, n)
			bindings[string(cm.Binding())] = true
			s.exchange(cm, cn)
		}
	}
	if want := count * (count - 1) / 2; len(bindings) != want {
		s.Errorf("%d different connections, want %d", len(bindings), want)
	}
	s.closeAll()
	for _, n := range s.nodes {
		s.expectConns(map[*node]int{n: count - 1})
	}
}

// testAcceptCancelled: Accept returns the cause of its ctx, and no connection is lost by it.
func testAcceptCancelled(s *suite) {
	raw := s.harness.Network()
	defer raw.Close()
	cause := errors.New("enough")
	for range 3 {
		ctx, cancel := context.WithCancelCause(s.ctx)
		accepted := make(chan error, 1)
		go func() {
			_, err := raw.Accept(ctx)
			accepted <- err
		}()
		cancel(cause)
		if err := <-accepted; !errors.Is(err, cause) {
			s.Fatalf("Accept = %v, want %v", err, cause)
		}
	}
	if err := raw.Join("topic"); err != nil {
		s.Fatal(err)
	}
	b := s.node("topic")
	ca, err := raw.Accept(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	for len(b.conns()) == 0 {
		<-s.changed
	}
	s.exchange(ca, b.conns()[0])
}

// testNetworkClosed: Close ends the connections, and a closed network says so.
func testNetworkClosed(s *suite) {
	a, b := s.node("topic"), s.node("topic")
	ca, cb := s.between(a, b)
	s.exchange(ca, cb)
	a.close()
	s.awaitClosed(ca)
	s.awaitClosed(cb)
	if err := ca.Send(s.ctx, transport.Live, []byte("late")); !errors.Is(err, net.ErrClosed) {
		s.Errorf("Send after Close of the network = %v, want one that matches net.ErrClosed", err)
	}
	if _, err := a.Accept(s.ctx); !errors.Is(err, net.ErrClosed) {
		s.Errorf("Accept after Close = %v, want one that matches net.ErrClosed", err)
	}
	if err := a.Join("topic"); !errors.Is(err, net.ErrClosed) {
		s.Errorf("Join after Close = %v, want one that matches net.ErrClosed", err)
	}
	if err := a.Leave("topic"); !errors.Is(err, net.ErrClosed) {
		s.Errorf("Leave after Close = %v, want one that matches net.ErrClosed", err)
	}
	if err := a.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.Errorf("second Close = %v", err)
	}
}
