package cluster_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/cluster"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const room = "my-users-pool"

// patience bounds waits. What takes so long, on a machine with much else to do, does not come.
const patience = 2 * time.Minute

// broker runs NATS within the test on a port of 127.0.0.1, 0 for any.
func broker(t *testing.T, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start() // ends with Shutdown
	t.Cleanup(func() { end(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	return s
}

func end(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// node is a server of the cluster.
type node struct {
	t       *testing.T
	hub     *hub.Hub
	cluster *cluster.Cluster
	url     string
	cancel  context.CancelFunc
	ended   chan struct{}
	http    *httptest.Server
}

var resumeKey = []byte("that all nodes know")

// join starts a node.
func join(t *testing.T, nats string, opts *hub.Options) *node {
	t.Helper()
	return joinPatient(t, nats, opts, 0)
}

// joinPatient starts a node that gives up others after that time, 0 for the default.
func joinPatient(t *testing.T, nats string, opts *hub.Options, timeout time.Duration) *node {
	t.Helper()
	c, err := cluster.New(&cluster.Options{URL: nats, Timeout: timeout, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var o hub.Options
	if opts != nil {
		o = *opts
	}
	o.Cluster, o.ResumeKey, o.MaxConnsPerAddress, o.ListDelay = c, resumeKey, -1, 5*time.Millisecond
	n := &node{t: t, hub: hub.New(&o), cluster: c, ended: make(chan struct{})}
	n.http = httptest.NewServer(n.hub)
	n.url = "ws" + strings.TrimPrefix(n.http.URL, "http")
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		c.Run(ctx, n.hub)
	}()
	t.Cleanup(n.stop)
	return n
}

// stop ends a node in good order.
func (n *node) stop() {
	n.cancel()
	<-n.ended
	n.hub.Close()
	n.http.Close()
}

// peer is a client with what it knows.
type peer struct {
	t       *testing.T
	client  *signaling.Client
	room    string
	dialect protocol.Dialect
	cancel  context.CancelFunc
	ended   chan struct{}

	mu      sync.Mutex // guards the following fields
	changed chan struct{}
	id      string
	in      bool
	others  map[string]signaling.PeerJoined
	left    int // how often somebody left
	signals []signaling.Signal
	pieces  []string // of relayed connections
	refused []error
}

// enter connects a client and has it join a room.
func enter(t *testing.T, room string, dialect protocol.Dialect, role protocol.Role, urls ...string) *peer {
	t.Helper()
	p := &peer{
		t: t, room: room, dialect: dialect, ended: make(chan struct{}), changed: make(chan struct{}), others: make(map[string]signaling.PeerJoined),
		client: signaling.New(urls[0], &signaling.Options{Dialect: dialect, Fallbacks: urls[1:]}),
	}
	if err := p.client.JoinAs(room, role); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go p.run(ctx)
	t.Cleanup(p.leave)
	return p
}

func (p *peer) run(ctx context.Context) {
	defer close(p.ended)
	for {
		e, err := p.client.Next(ctx)
		if err != nil {
			return
		}
		p.mu.Lock()
		switch e := e.(type) {
		case signaling.Connected:
			if e.Self != p.id {
				p.id, p.in = e.Self, false
			}
		case signaling.Disconnected:
			p.in = false
		case signaling.Joined:
			p.in = true
		case signaling.PeerJoined:
			p.others[e.Peer] = e
		case signaling.PeerServed:
			o := p.others[e.Peer]
			o.Mine = e.Mine
			p.others[e.Peer] = o
		case signaling.PeerLeft:
			delete(p.others, e.Peer)
			p.left++
		case signaling.Signal:
			p.signals = append(p.signals, e)
		case signaling.Relayed:
			p.pieces = append(p.pieces, string(e.Piece))
		case signaling.Refused:
			p.refused = append(p.refused, e.Err)
		}
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// leave ends the client.
func (p *peer) leave() {
	p.cancel()
	p.client.Close()
	<-p.ended
}

// await waits until what the peer knows is so.
func (p *peer) await(what string, so func(*peer) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		p.mu.Lock()
		done, changed := so(p), p.changed
		state := slices.Sorted(maps.Keys(p.others))
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			p.t.Fatalf("%s does not see %s, but %v", p.name(), what, state)
		}
	}
}

func (p *peer) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

func (p *peer) leavings() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

// entered waits until the peer is in its room, and returns its id.
func (p *peer) entered() string {
	p.t.Helper()
	p.await("its room", func(p *peer) bool { return p.in })
	return p.name()
}

// proxy stands before a node. When it is cut, its client sees the connection end, and the node sees nothing.
type proxy struct {
	ln      net.Listener
	mu      sync.Mutex // guards the following field
	clients []net.Conn
	wg      sync.WaitGroup
}

func newProxy(t *testing.T, n *node) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln}
	var servers []net.Conn
	p.wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", n.http.Listener.Addr().String())
			if err != nil {
				client.Close()
				continue
			}
			servers = append(servers, server)
			p.mu.Lock()
			p.clients = append(p.clients, client)
			p.mu.Unlock()
			p.wg.Go(func() { io.Copy(server, client) })
			p.wg.Go(func() { io.Copy(client, server) })
		}
	})
	t.Cleanup(func() {
		p.cut()
		for _, s := range servers {
			s.Close()
		}
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "ws://" + p.ln.Addr().String() }

// cut ends the connections to clients, and takes no more.
func (p *proxy) cut() {
	p.ln.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.Close()
	}
}

// sees waits until the peer sees exactly those others.
func (p *peer) sees(ids ...string) {
	p.t.Helper()
	slices.Sort(ids)
	p.await(strings.Join(ids, " "), func(p *peer) bool {
		return p.in && slices.Equal(slices.Sorted(maps.Keys(p.others)), ids)
	})
}
