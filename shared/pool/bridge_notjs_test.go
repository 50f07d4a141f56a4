//go:build !js

package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/rxdb"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/memnet"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/tidwall/gjson"
)

const bridgeTopic = "my-users-pool"

// bridgeTest is a signaling server and a replica that has RxDB clients.
type bridgeTest struct {
	t    *testing.T
	ctx  context.Context
	url  string
	coll *collection.Collection
	mesh *Mesh
	pool *Pool

	failures chan error
}

func newBridgeTest(t *testing.T, opts Options) *bridgeTest {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	_, url := signalServer(t, nil)
	b := &bridgeTest{t: t, ctx: ctx, url: url, failures: make(chan error, 1000)}
	log, err := memlog.New(nil).Open(nil).Log(ctx, "todos")
	if err != nil {
		t.Fatal(err)
	}
	if b.coll, err = collection.Open(ctx, "todos", log, nil); err != nil {
		t.Fatal(err)
	}
	if b.mesh, err = Connect(b.url, &ConnectOptions{RTC: rtc.Options{LoopbackOnly: true}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.mesh.Close(), b.coll.Close()); err != nil {
			t.Error(err)
		}
	})
	opts.Pull, opts.Push = &replication.Direction{}, &replication.Direction{}
	if opts.RxDB == nil {
		opts.RxDB = &RxDBOptions{Token: "replica"}
	}
	opts.OnEvent = func(e Event) {
		if f, ok := e.(Failed); ok {
			b.failures <- f.Err
		}
	}
	if b.pool, err = Replicate(ctx, b.mesh, b.coll, bridgeTopic, &opts); err != nil {
		t.Fatal(err)
	}
	return b
}

// rxPeer is an RxDB client as far as connections go: its signals are those of RxDB's connection handler.
type rxPeer struct {
	*bridgeTest
	client *signaling.Client
	older  bool // without connectionId
	opened chan *rtc.SimplePeer

	mu    sync.Mutex
	self  string
	peers map[string]*rtc.SimplePeer // by connectionId
}

func (b *bridgeTest) join(older bool) *rxPeer {
	b.t.Helper()
	p := &rxPeer{
		bridgeTest: b, older: older, opened: make(chan *rtc.SimplePeer, 10), peers: make(map[string]*rtc.SimplePeer),
		client: signaling.New(b.url, &signaling.Options{Dialect: protocol.DialectRxDB}),
	}
	if err := p.client.Join(bridgeTopic); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { p.run(ctx) })
	b.t.Cleanup(func() {
		cancel()
		p.client.Close()
		wg.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.peers {
			c.Close()
		}
	})
	return p
}

func (p *rxPeer) run(ctx context.Context) {
	for {
		e, err := p.client.Next(ctx)
		if err != nil {
			return
		}
		switch e := e.(type) {
		case signaling.Connected:
			p.mu.Lock()
			p.self = e.Self
			p.mu.Unlock()
		case signaling.PeerJoined:
			if e.Peer > p.self {
				id := ""
				if !p.older {
					id = "attempt" + fmt.Sprint(time.Now().UnixNano())
				}
				p.connect(e.Peer, id, true)
			}
		case signaling.Signal:
			p.mu.Lock()
			peer := p.peers[e.ConnectionID]
			p.mu.Unlock()
			if peer == nil && gjson.GetBytes(e.Data, "type").Str == "offer" {
				peer = p.connect(e.Peer, e.ConnectionID, false)
			}
			if peer != nil {
				peer.Signal(e.Data)
			}
		}
	}
}

func (p *rxPeer) connect(to, id string, initiator bool) *rtc.SimplePeer {
	peer, err := rtc.NewSimplePeer(&rtc.SimplePeerOptions{
		Initiator: initiator, LoopbackOnly: true,
		Tell: func(ctx context.Context, signal []byte) {
			_ = p.client.SendAttempt(ctx, bridgeTopic, to, id, json.RawMessage(signal)) // the server may be gone at the end of a test
		},
	})
	if err != nil {
		p.t.Error(err)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers[id] = peer
	go func() {
		select {
		case <-peer.Opened():
			p.opened <- peer
		case <-peer.Done():
		}
	}()
	return peer
}

// accept returns the next connection that is open.
func (p *rxPeer) accept() *rtc.SimplePeer {
	p.t.Helper()
	select {
	case c := <-p.opened:
		return c
	case <-p.ctx.Done():
		p.t.Fatal("no connection comes")
		return nil
	}
}

// handshake answers the request for the token, and asks for documents until it has so many.
func (p *rxPeer) handshake(c *rtc.SimplePeer, token string) {
	p.t.Helper()
	if err := c.Send(p.ctx, []byte(`{"id":"p","method":"masterChangesSince","params":[null,20]}`)); err != nil {
		p.t.Fatal(err)
	}
	for got, answered := false, false; !got || !answered; {
		text, err := c.Receive(p.ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		m := gjson.ParseBytes(text)
		switch {
		case m.Get("method").Str == "token":
			answered = true
			if err := c.Send(p.ctx, fmt.Appendf(nil, `{"id":%s,"result":%q}`, m.Get("id").Raw, token)); err != nil {
				p.t.Fatal(err)
			}
		case m.Get("id").Str == "p":
			got = true
			if n := m.Get("result.documents.#").Int(); n != 1 {
				p.t.Errorf("the replica has %d documents", n)
			}
		}
	}
}

func (b *bridgeTest) put(body string) {
	b.t.Helper()
	if _, err := b.coll.Upsert(b.ctx, []byte(body)); err != nil {
		b.t.Fatal(err)
	}
}

func TestRxDBClients(t *testing.T) {
	for name, older := range map[string]bool{"with connectionId": false, "older": true} {
		t.Run(name, func(t *testing.T) {
			b := newBridgeTest(t, Options{})
			b.put(`{"id":"a"}`)
			// Of several, some make the offer and some take it.
			for i := range 4 {
				p := b.join(older)
				p.handshake(p.accept(), fmt.Sprintf("client%d", i))
			}
			if err := b.pool.await(b.ctx, func(peers []Peer) bool { return len(peers) == 4 }); err != nil {
				t.Fatal(err)
			}
			for _, p := range b.pool.Peers() {
				if !p.RxDB || !p.Replica.IsZero() {
					t.Errorf("peer %+v", p)
				}
				if s, ok := b.pool.Stats(b.ctx, p.ID); !ok || s.BytesSent == 0 {
					t.Errorf("stats %+v", s)
				}
			}
		})
	}
}

// TestRxDBClientReturns: a client that comes with a new id and has the token of another has made a new connection; that one counts.
func TestRxDBClientReturns(t *testing.T) {
	b := newBridgeTest(t, Options{})
	b.put(`{"id":"a"}`)
	first := b.join(false)
	old := first.accept()
	first.handshake(old, "client")
	if err := b.pool.AwaitFirstPeer(b.ctx); err != nil {
		t.Fatal(err)
	}
	second := b.join(false)
	second.handshake(second.accept(), "client")
	select {
	case <-old.Done():
	case <-b.ctx.Done():
		t.Fatal("the old connection stays")
	}
}

// TestRxDBClientIsRefused: it is told nothing, and not connected to again.
func TestRxDBClientIsRefused(t *testing.T) {
	asked := make(chan Peer, 10)
	b := newBridgeTest(t, Options{Valid: func(_ context.Context, p Peer) (bool, error) {
		asked <- p
		return false, nil
	}})
	p := b.join(false)
	q := <-asked
	p.mu.Lock()
	defer p.mu.Unlock()
	if !q.RxDB || q.ID != p.self || len(p.peers) != 1 {
		t.Errorf("asked about %+v, %d connections", q, len(p.peers))
	}
	for _, c := range p.peers {
		select {
		case <-c.Done():
		case <-b.ctx.Done():
			t.Fatal("the connection stays")
		}
	}
	if err := <-b.failures; !errors.Is(err, rxdb.ErrRefused) {
		t.Errorf("told %v", err)
	}
}

func TestRxDBOptionsRefused(t *testing.T) {
	b := newBridgeTest(t, Options{})
	log, err := memlog.New(nil).Open(nil).Log(b.ctx, "others")
	if err != nil {
		t.Fatal(err)
	}
	other, err := collection.Open(b.ctx, "others", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Replicate(b.ctx, b.mesh, other, bridgeTopic, &Options{RxDB: &RxDBOptions{}}); err == nil || !strings.Contains(err.Error(), "one collection") {
		t.Errorf("a second collection for RxDB clients of a topic: %v", err)
	}
	p, err := Replicate(b.ctx, b.mesh, other, bridgeTopic, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Cancel()
	secret, err := Connect(b.url, &ConnectOptions{Mesh: MeshOptions{Secret: "abc"}})
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if _, err := Replicate(b.ctx, secret, other, bridgeTopic, &Options{RxDB: &RxDBOptions{}}); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("a mesh with a secret: %v", err)
	}
	mesh := NewMesh(memnet.New(nil).Peer("a"), nil)
	defer mesh.Close()
	known, err := memlog.New(nil).Open(nil).Log(b.ctx, "rxdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Replicate(b.ctx, mesh, other, bridgeTopic, &Options{RxDB: &RxDBOptions{Log: known}}); err == nil || !strings.Contains(err.Error(), "WebRTC") {
		t.Errorf("a mesh without WebRTC: %v", err)
	}
	if _, err := known.Read(b.ctx, 1, 1); err == nil {
		t.Error("the log is left open")
	}
}
