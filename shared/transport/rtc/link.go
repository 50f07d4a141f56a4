package rtc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// errClosedByPeer is the cause of a connection that the other end closed.
var errClosedByPeer = fmt.Errorf("rtc: closed by the peer: %w", net.ErrClosed)

// errFailed is the cause of an attempt whose path or encryption failed.
var errFailed = errors.New("rtc: connection failed: no path, or DTLS refused")

// signalQueue is how many signals may wait for a link: more than a peer of this network sends before it awaits an answer.
const signalQueue = 64

// link is one attempt at a connection and, if it opens, the connection: it drives one pc from the first offer to the end. Its
// run method is the only writer of its state. It implements transport.Conn.
type link struct {
	*conn
	pc        *pc       // nil where the connection is relayed
	relay     *relaying // nil where it is not
	id        string
	initiator bool
	self      string // instance of this network
	timing    timing
	config    pcConfig
	logger    *slog.Logger
	owner     linkOwner

	signals chan signal   // for this link; the owner ends the link when it is full
	woken   chan struct{} // one token: the network may have changed, or the peer can be signaled again
	left    chan struct{} // one token: the server says that the peer left
	ended   chan struct{} // closed when nothing of the link runs any more
	events  pcQueue

	bound    []byte    // the binding; set before the owner is told that the link is open
	openedAt time.Time // of the owner

	mu       sync.Mutex // guards the following fields
	peer     string
	instance string // of the peer's network
	servers  []ICEServer
}

// linkOwner is what a link tells the network. The functions may block until the network takes the news.
type linkOwner struct {
	tell   func(l *link, s signal) (sent bool) // to the peer, over the signaling server; false when there is no way now
	opened func(l *link)
	ended  func(l *link, cause error)
}

func newLink(ctx context.Context, id, peer, self string, owner linkOwner) *link {
	return &link{
		conn: newConn(ctx), id: id, self: self, peer: peer, owner: owner,
		signals: make(chan signal, signalQueue),
		woken:   make(chan struct{}, 1),
		left:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		events:  pcQueue{ready: make(chan struct{}, 1)},
	}
}

func (l *link) Send(ctx context.Context, lane transport.Lane, msg []byte) error {
	return l.send(ctx, lane, msg)
}

func (l *link) Receive(ctx context.Context) (transport.Lane, []byte, error) { return l.receive(ctx) }

func (l *link) Close() error {
	l.fail(net.ErrClosed)
	<-l.ended
	return nil
}

// Peer is the id under which the signaling server lists the other end now: it changes when the peer reconnects to the server
// and gets another one.
func (l *link) Peer() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peer
}

func (l *link) Binding() []byte { return bytes.Clone(l.bound) }

func (l *link) Stats(ctx context.Context) transport.Stats {
	if l.done.Err() != nil {
		return transport.Stats{}
	}
	if l.pc == nil {
		return l.relayStats()
	}
	s, err := l.pc.stats(ctx)
	if err != nil {
		l.logger.Debug("get stats", "peer", l.Peer(), "error", err)
	}
	if s.RTT == 0 {
		s.RTT = l.pings.last()
	}
	return s
}

func (l *link) setPeer(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peer = peer
}

// remote is the instance of the peer's network: "" until it has told.
func (l *link) remote() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instance
}

func (l *link) setRemote(instance string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instance = instance
}

// setServers changes the ICE servers for the next restart.
func (l *link) setServers(servers []ICEServer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers = servers
}

func (l *link) newServers() []ICEServer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.servers
}

// run drives the link until it ends. offer is the peer's; the zero signal makes the link begin with its own, which says that
// this side no longer has connection old.
func (l *link) run(offer signal, old string) {
	defer close(l.ended)
	p, err := newPC(l.config, pcHandler{
		event: l.events.put,
		heard: func(lane transport.Lane, piece []byte) { l.heard(lane, piece) },
		drained: func(lane transport.Lane) {
			signalOne(l.lanes[lane].drained)
		},
	})
	if err == nil {
		l.pc, l.out = p, p
		d := &drive{link: l, connectBy: time.Now().Add(l.timing.connect)}
		err = d.run(offer, old)
	}
	l.fail(err)
	cause := context.Cause(l.done)
	l.in.end(closedError(cause))
	l.owner.ended(l, cause)
	if p != nil {
		p.close() // last: pion takes 0.4 s when the other end was the first to close
	}
}
