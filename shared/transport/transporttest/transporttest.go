// Package transporttest is the suite that every driver of transport passes.
//
// A driver's test calls Run:
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, func(t *testing.T) transporttest.Harness {
//			medium := newMedium(t)
//			return transporttest.Harness{Network: func() transport.Network { return medium.join(t) }}
//		})
//	}
//
// Besides what the interfaces of transport say, the suite expects that Receive slows Send down in the end: a peer that does not
// read cannot be made to hold an unbounded number of messages. Nothing in it depends on how long something takes, except
// that a test fails when it takes minutes.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// Harness makes the networks of one test.
type Harness struct {
	// Network makes a network that meets, in topics, all others that the same harness made. The suite closes it. It must report
	// what goes wrong to the test itself.
	Network func() transport.Network
}

// limit ends a test that hangs.
const limit = 2 * time.Minute

// Run runs the suite. It calls newHarness once for each test.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"Meet", testMeet},
		{"Topics", testTopics},
		{"OneConnectionForAllTopics", testOneConnection},
		{"JoinTwice", testJoinTwice},
		{"Leave", testLeave},
		{"ComeBack", testComeBack},
		{"Mesh", testMesh},
		{"AcceptCancelled", testAcceptCancelled},
		{"NetworkClosed", testNetworkClosed},
		{"Sizes", testSizes},
		{"TooBig", testTooBig},
		{"Order", testOrder},
		{"BothWays", testBothWays},
		{"ManySenders", testManySenders},
		{"SliceOwnership", testSliceOwnership},
		{"SendCancelled", testSendCancelled},
		{"ReceiveCancelled", testReceiveCancelled},
		{"SlowReader", testSlowReader},
		{"LanesApart", testLanesApart},
		{"CloseHere", testCloseHere},
		{"CloseThere", testCloseThere},
		{"CloseWhileBusy", testCloseWhileBusy},
		{"Stats", testStats},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			s := &suite{T: t, ctx: ctx, harness: newHarness(t), changed: make(chan struct{}, 1)}
			defer s.closeAll()
			test.run(s)
		})
	}
}

// suite is what one test has at hand.
type suite struct {
	*testing.T
	ctx     context.Context
	harness Harness
	nodes   []*node
	changed chan struct{} // holds one token when a connection was accepted
}

// node is a network whose connections are accepted all the time.
type node struct {
	transport.Network
	s    *suite
	done sync.WaitGroup
	once sync.Once

	mu       sync.Mutex // guards the following field
	accepted []transport.Conn
}

// node makes a network that is in topics.
func (s *suite) node(topics ...string) *node {
	s.Helper()
	n := &node{Network: s.harness.Network(), s: s}
	s.nodes = append(s.nodes, n)
	n.done.Go(n.accept)
	for _, topic := range topics {
		if err := n.Join(topic); err != nil {
			s.Fatalf("Join(%q): %v", topic, err)
		}
	}
	return n
}

func (n *node) accept() {
	for {
		c, err := n.Accept(n.s.ctx)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				n.s.Errorf("Accept: %v", err)
			}
			return
		}
		n.mu.Lock()
		n.accepted = append(n.accepted, c)
		n.mu.Unlock()
		select {
		case n.s.changed <- struct{}{}:
		default:
		}
	}
}

// conns are all connections that n ever had. After close nothing is added.
func (n *node) conns() []transport.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.accepted)
}

func (n *node) close() {
	n.once.Do(func() {
		if err := n.Close(); err != nil {
			n.s.Errorf("Close of the network: %v", err)
		}
		n.done.Wait()
	})
}

func (s *suite) closeAll() {
	for _, n := range s.nodes {
		n.close()
	}
}

// between waits until m and n have a connection other than those with the bindings before, and returns both ends.
func (s *suite) between(m, n *node, before ...[]byte) (a, b transport.Conn) {
	s.Helper()
	known := func(c transport.Conn) bool {
		return slices.ContainsFunc(before, func(b []byte) bool { return bytes.Equal(b, c.Binding()) })
	}
	for {
		for _, a := range m.conns() {
			for _, b := range n.conns() {
				if bytes.Equal(a.Binding(), b.Binding()) && !known(a) {
					return a, b
				}
			}
		}
		select {
		case <-s.changed:
		case <-s.ctx.Done():
			s.Fatal("no connection")
		}
	}
}

// pair makes two networks that share a topic, and returns both ends of their connection.
func (s *suite) pair() (a, b transport.Conn) {
	s.Helper()
	return s.between(s.node("pair"), s.node("pair"))
}

func (s *suite) send(c transport.Conn, lane transport.Lane, msg []byte) {
	s.Helper()
	if err := c.Send(s.ctx, lane, msg); err != nil {
		s.Fatalf("Send of %d bytes: %v", len(msg), err)
	}
}

func (s *suite) receive(c transport.Conn) (transport.Lane, []byte) {
	s.Helper()
	lane, msg, err := c.Receive(s.ctx)
	if err != nil {
		s.Fatalf("Receive: %v", err)
	}
	return lane, msg
}

// receiveText receives one message and expects it to be want.
func (s *suite) receiveText(c transport.Conn, want string) {
	s.Helper()
	if _, msg := s.receive(c); string(msg) != want {
		s.Fatalf("received %.80q, want %.80q", msg, want)
	}
}

// exchange proves that a and b are the two ends of one connection that works.
func (s *suite) exchange(a, b transport.Conn) {
	s.Helper()
	there, back := fmt.Sprintf("there %d", rand.Uint64()), fmt.Sprintf("back %d", rand.Uint64())
	s.send(a, transport.Live, []byte(there))
	s.receiveText(b, there)
	s.send(b, transport.Live, []byte(back))
	s.receiveText(a, back)
}

// awaitClosed reads c until it ends, and expects the right error.
func (s *suite) awaitClosed(c transport.Conn) {
	s.Helper()
	for {
		_, _, err := c.Receive(s.ctx)
		if err == nil {
			continue
		}
		if !errors.Is(err, net.ErrClosed) {
			s.Fatalf("Receive on a closed connection: %v, want one that matches net.ErrClosed", err)
		}
		return
	}
}

// pattern returns n bytes that depend on seed and position.
func pattern(seed uint64, n int) []byte {
	rng := rand.NewPCG(seed, uint64(n))
	msg := make([]byte, n)
	for i := range msg {
		if i%512 == 0 || i >= n-8 {
			msg[i] = byte(rng.Uint64())
		} else {
			msg[i] = msg[i-1] + 1
		}
	}
	return msg
}
