//go:build js

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// replicating is a pool of a collection.
type replicating struct {
	*pool.Pool
	coll    *coll
	topic   string
	number  int
	mesh    *sharedMesh
	changed chan struct{} // capacity 1: the peers have changed
	done    sync.WaitGroup
	quit    chan struct{} // closed by cancel
	once    sync.Once
}

// poolOptions is an argument of replicate.
type poolOptions struct {
	Topic      string            `json:"topic"`
	Connection connectionOptions `json:"connection"`
	Pull       *directionOptions `json:"pull"`
	Push       *directionOptions `json:"push"`
	Valid      bool              `json:"valid"` // each peer is for requestValid
	RetryTime  int64             `json:"retryTime"`
	RxDB       *rxdbOptions      `json:"rxdb"` // null: RxDB clients are left alone
}

type rxdbOptions struct {
	Token    string `json:"token"`
	AlwaysOn bool   `json:"alwaysOn"`
}

type directionOptions struct {
	BatchSize int  `json:"batchSize"`
	Modifier  bool `json:"modifier"` // each document is for requestPull or requestPush
}

// replicate (collection, options) begins to replicate and returns the number of the pool.
func (c *core) replicate(ctx context.Context, a arguments) (any, error) {
	o, err := thing[*coll](c, a)
	if err != nil {
		return nil, err
	}
	var opts poolOptions
	if err := options(a, 1, &opts); err != nil {
		return nil, err
	}
	mesh, err := o.db.mesh(&opts.Connection)
	if err != nil {
		return nil, err
	}
	r := &replicating{coll: o, topic: opts.Topic, mesh: mesh, changed: make(chan struct{}, 1), quit: make(chan struct{})}
	r.number = c.add(r)
	poolOpts := r.options(&opts)
	if poolOpts.RxDB, err = o.rxdb(ctx, opts.RxDB); err == nil {
		r.Pool, err = pool.Replicate(ctx, mesh.Mesh, o.Collection, opts.Topic, poolOpts)
	}
	if err != nil {
		c.forget(r.number)
		o.db.release(mesh)
		return nil, err
	}
	r.done.Go(r.report)
	r.wake()
	return r.number, nil
}

func (r *replicating) options(opts *poolOptions) *pool.Options {
	out := &pool.Options{
		Pull:      r.direction(opts.Pull, requestPull),
		Push:      r.direction(opts.Push, requestPush),
		RetryTime: time.Duration(opts.RetryTime) * time.Millisecond,
		OnEvent:   r.event,
	}
	if opts.Valid {
		out.Valid = r.valid
	}
	return out
}

// rxdb opens what is known of the collection's RxDB clients, if there are to be some.
func (o *coll) rxdb(ctx context.Context, opts *rxdbOptions) (*pool.RxDBOptions, error) {
	if opts == nil {
		return nil, nil
	}
	log, err := o.db.logs.Log(ctx, o.log+"/rxdb")
	if err != nil {
		return nil, fmt.Errorf("open what is known of RxDB clients: %w", err)
	}
	return &pool.RxDBOptions{Log: log, Token: opts.Token, AlwaysOn: opts.AlwaysOn}, nil
}

func (r *replicating) direction(opts *directionOptions, kind string) *replication.Direction {
	if opts == nil {
		return nil
	}
	d := &replication.Direction{BatchSize: opts.BatchSize}
	if opts.Modifier {
		d.Modifier = r.coll.modifier(kind, r.number)
	}
	return d
}

// peerID is a peer at the border.
type peerID struct {
	ID        string `json:"id"`
	ReplicaID string `json:"replicaId,omitempty"`
	RxDB      bool   `json:"rxdb,omitempty"`
}

func peerIDOf(p pool.Peer) peerID {
	if p.RxDB {
		return peerID{ID: p.ID, RxDB: true}
	}
	return peerID{ID: p.ID, ReplicaID: p.Replica.String()}
}

func (r *replicating) valid(ctx context.Context, p pool.Peer) (bool, error) {
	text, err := marshal(peerIDOf(p))
	if err != nil {
		return false, err
	}
	answer, err := r.coll.db.core.ask(ctx, requestValid, r.number, text, nil)
	return answer == "true", err
}

// event takes what the pool tells. It must not block, and must not call the pool.
func (r *replicating) event(e pool.Event) {
	switch e := e.(type) {
	case pool.PeersChanged:
		r.wake()
	case pool.Failed:
		r.tell(eventFailed, failureOf(e))
	case pool.Clashed:
		local, remote := &e.Local, &e.Remote
		if collection.EqualContent(collection.Content{Body: local.Body, Deleted: local.Deleted}, collection.Content{Body: remote.Body, Deleted: remote.Deleted}) {
			return // both sides came to the same: nothing is lost
		}
		r.tell(eventConflict, r.clash(&e))
	}
}

func (r *replicating) tell(kind string, event any) {
	text, err := marshal(event)
	if err != nil {
		text = `{"code":"error","message":"event ` + kind + ` cannot be told"}` // it has bodies that are JSON
	}
	r.coll.db.core.tell(kind, r.number, text)
}

// failure is the text of eventFailed.
type failure struct {
	Peer    string `json:"peer,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func failureOf(e pool.Failed) failure {
	code := codeOr(e.Err)
	if e.Peer == "" && (code == jsbridge.CodeOther || code == jsbridge.CodeClosed) {
		code = "signaling" // the way to the server was cut
	}
	return failure{e.Peer, code, e.Err.Error()}
}

// clash is the text of eventConflict.
type clash struct {
	Peer   string   `json:"peer"`
	ID     string   `json:"id"`
	Local  *version `json:"local"`
	Remote *version `json:"remote"`
	Result *version `json:"result"`
}

func (r *replicating) clash(e *pool.Clashed) *clash {
	content := func(e *document.Entry) *version {
		return r.coll.versionOf(e.ID, collection.Content{Body: e.Body, Deleted: e.Deleted})
	}
	return &clash{e.Peer, e.Local.ID, content(&e.Local), content(&e.Remote), content(&e.Result)}
}

func (r *replicating) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// report tells of the peers whenever something about them has changed.
func (r *replicating) report() {
	defer r.coll.db.core.tasks.Recover()
	for {
		select {
		case <-r.changed:
			r.tell(eventPeers, r.states())
		case <-r.quit:
			return
		}
	}
}

// states is the text of eventPeers.
type states struct {
	Server serverState `json:"server"`
	Peers  []peerState `json:"peers"`
}

type serverState struct {
	State string `json:"state"` // "" where the network has no server that it tells of
	Error string `json:"error,omitempty"`
}

type peerState struct {
	peerID
	State    string         `json:"state"`
	Error    string         `json:"error,omitempty"`
	Progress *progressState `json:"progress,omitempty"`
	Path     *pathState     `json:"path,omitempty"`
}

type pathState struct {
	Local   string  `json:"localCandidate"`
	Remote  string  `json:"remoteCandidate"`
	Relayed bool    `json:"relayed"`
	RTT     float64 `json:"roundTripTime"` // in milliseconds
}

func pathOf(s transport.Stats) pathState {
	return pathState{s.LocalCandidate, s.RemoteCandidate, s.Relayed, float64(s.RTT.Microseconds()) / 1000}
}

type progressState struct {
	Pulling   bool   `json:"pulling"`
	Received  uint64 `json:"received"`
	Remaining uint64 `json:"remaining"`
	Backlog   uint64 `json:"backlog"`
	InSync    bool   `json:"inSync"`
}

func (r *replicating) states() *states {
	server, pending := r.mesh.States()
	s := &states{Server: serverState{State: string(server.State), Error: text(server.Err)}, Peers: []peerState{}}
	for _, p := range r.Peers() {
		g, path := p.Progress, pathOf(p.Path)
		s.Peers = append(s.Peers, peerState{
			peerID: peerIDOf(p), State: "open",
			Progress: &progressState{g.Pulling, g.Received, g.Remaining, g.Backlog, g.InSync},
			Path:     &path,
		})
	}
	for _, e := range pending {
		s.Peers = append(s.Peers, peerState{peerID: peerID{ID: e.Peer}, State: string(e.State), Error: text(e.Err)})
	}
	return s
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// cancel (pool) ends a pool.
func (c *core) cancel(_ context.Context, a arguments) (any, error) {
	r, err := thing[*replicating](c, a)
	if err != nil {
		return nil, nil // it was cancelled before
	}
	r.cancel()
	return nil, nil
}

func (r *replicating) cancel() {
	r.once.Do(func() {
		r.Cancel()
		close(r.quit)
		r.done.Wait()
		r.coll.db.core.forget(r.number)
		r.coll.db.release(r.mesh)
	})
}

// awaitFirstPeer (pool)
func (c *core) awaitFirstPeer(ctx context.Context, a arguments) (any, error) {
	r, err := thing[*replicating](c, a)
	if err != nil {
		return nil, err
	}
	return nil, r.AwaitFirstPeer(ctx)
}

// awaitInSync (pool)
func (c *core) awaitInSync(ctx context.Context, a arguments) (any, error) {
	r, err := thing[*replicating](c, a)
	if err != nil {
		return nil, err
	}
	return nil, r.AwaitInSync(ctx)
}

// awaitReplicated (pool, replica, counter, peers)
func (c *core) awaitReplicated(ctx context.Context, a arguments) (any, error) {
	r, err := thing[*replicating](c, a)
	if err != nil {
		return nil, err
	}
	version, err := c.dotOf(a, 1)
	if err != nil {
		return nil, err
	}
	peers, err := at[float64](a, 3)
	if err != nil {
		return nil, err
	}
	return nil, r.AwaitReplicated(ctx, version, int(peers))
}

// stats (pool, peer) returns how a connection is made up, as JSON, or null where there is none.
func (c *core) stats(ctx context.Context, a arguments) (any, error) {
	r, err := thing[*replicating](c, a)
	if err != nil {
		return nil, err
	}
	peer, err := at[string](a, 1)
	if err != nil {
		return nil, err
	}
	s, ok := r.Stats(ctx, peer)
	if !ok {
		return nil, nil
	}
	return marshal(struct {
		pathState
		Sent     uint64 `json:"bytesSent"`
		Received uint64 `json:"bytesReceived"`
	}{pathOf(s), s.BytesSent, s.BytesReceived})
}

// wake () makes all that waits for its next try try now.
func (c *core) wake(context.Context, arguments) (any, error) {
	seen := make(map[*sharedMesh]bool)
	for _, r := range all[*replicating](c) {
		if !seen[r.mesh] {
			seen[r.mesh] = true
			r.mesh.Wake()
		}
	}
	return nil, nil
}

// connectionOptions says how peers find each other: through a signaling server, or, if Network is set, a connection handler of the application.
type connectionOptions struct {
	URL        string      `json:"url"`
	Fallbacks  []string    `json:"fallbacks"`
	ICEServers []iceServer `json:"iceServers"`
	RelayOnly  bool        `json:"relayOnly"`
	NoRelay    bool        `json:"noRelay"`
	Token      string      `json:"token"`
	AskToken   bool        `json:"askToken"` // each token is for requestToken
	Secret     string      `json:"secret"`
	Network    int         `json:"network"`
}

// iceServer is an RTCIceServer (W3C WebRTC), of which urls is a text or a list of texts.
type iceServer struct {
	URLs       urls   `json:"urls"`
	Username   string `json:"username"`
	Credential string `json:"credential"`
}

type urls []string

// UnmarshalJSON implements json.Unmarshaler.
func (u *urls) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*u = urls{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("urls of an ICE server: %w", err)
	}
	*u = list
	return nil
}
