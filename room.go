//go:build !js

package shoal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/replication"
)

// JoinOptions adjusts Join. The zero value of a field is its default.
type JoinOptions struct {
	// Collections to replicate. Default: all that are open.
	Collections []*Collection
	// Token returns the room's token, where the signaling server asks for one: each time that the room is joined, and before the
	// last one ends. It may block. Default: none.
	Token func(ctx context.Context, room string) (string, error)
	// Secret is what all in the room know and nobody else, the signaling server included: see pool.MeshOptions. Default: none.
	Secret string
	// RxDB is the one of Collections that the RxDB clients of the room replicate, in RxDB's own protocol, which has no words for more than
	// one, nor for a Secret. Default: RxDB clients are left to others.
	RxDB *Collection
	// AlwaysOn tells that this program is meant to stay, so that RxDB clients are given to it rather than to a page.
	AlwaysOn bool
	// Pull and Push adjust what is taken from peers and sent to them. Default: everything. With ReadOnly nothing is sent, with
	// WriteOnly nothing taken.
	Pull, Push          *replication.Direction
	ReadOnly, WriteOnly bool
	// Valid decides whether a peer may take part. Default: all may.
	Valid func(ctx context.Context, peer pool.Peer) (bool, error)
	// OnEvent is told what happens to a collection in the room. It must not block, and must not call the room. Default: nobody is told.
	OnEvent func(c *Collection, e pool.Event)
	// Connect has all else about connections: ICE servers, limits, timeouts. Token and Secret take precedence.
	Connect pool.ConnectOptions
}

// Room is the replication of collections with all others in a room, which goes on, through whatever happens to the network, until Leave.
type Room struct {
	db    *Database
	name  string
	mesh  *pool.Mesh
	pools []*pool.Pool // in the order of the collections
	once  sync.Once
	err   error // of Leave
}

// Join begins to replicate collections in a room, whose peers find each other by the signaling server at url ("wss://…/signal"). The room has a
// name of 6 to 99 characters, the topic of JavaScript's replicateP2P. It returns at once; connections come when they come, and
// ctx has no effect after that.
func (db *Database) Join(ctx context.Context, url, room string, opts *JoinOptions) (*Room, error) {
	var o JoinOptions
	if opts != nil {
		o = *opts
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errClosed
	}
	if o.Collections == nil {
		o.Collections = db.collections
	}
	if len(o.Collections) == 0 {
		return nil, errors.New("join room: no collection is open, and none is given")
	}
	if o.RxDB != nil && !slices.Contains(o.Collections, o.RxDB) {
		return nil, fmt.Errorf("join room: collection %s is for RxDB clients and not among those to replicate", o.RxDB.stored)
	}
	r := &Room{db: db, name: room}
	if err := r.join(ctx, url, &o); err != nil {
		return nil, fmt.Errorf("join room %q: %w", room, err)
	}
	db.rooms = append(db.rooms, r)
	return r, nil
}

func (r *Room) join(ctx context.Context, url string, o *JoinOptions) error {
	c := o.Connect
	if o.Token != nil {
		c.Signaling.Token = o.Token
	}
	if o.Secret != "" {
		c.Mesh.Secret = o.Secret
	}
	for _, l := range []**slog.Logger{&c.Mesh.Logger, &c.Signaling.Logger, &c.RTC.Logger} {
		if *l == nil {
			*l = r.db.log
		}
	}
	var err error
	if r.mesh, err = pool.Connect(url, &c); err != nil {
		return err
	}
	for _, coll := range o.Collections {
		opts := o.pool(coll)
		err := o.bridge(ctx, coll, opts)
		var p *pool.Pool
		if err == nil {
			p, err = pool.Replicate(ctx, r.mesh, coll.Collection, r.name, opts)
		}
		if err != nil {
			return errors.Join(err, r.mesh.Close())
		}
		r.pools = append(r.pools, p)
	}
	return nil
}

// pool are the options for one collection.
func (o *JoinOptions) pool(c *Collection) *pool.Options {
	opts := &pool.Options{Pull: o.Pull, Push: o.Push, Valid: o.Valid}
	if opts.Pull == nil {
		opts.Pull = &replication.Direction{}
	}
	if opts.Push == nil {
		opts.Push = &replication.Direction{}
	}
	if o.WriteOnly {
		opts.Pull = nil
	}
	if o.ReadOnly {
		opts.Push = nil
	}
	if o.OnEvent != nil {
		opts.OnEvent = func(e pool.Event) { o.OnEvent(c, e) }
	}
	return opts
}

// bridge adds what a pool needs to replicate with RxDB clients, if it is to.
func (o *JoinOptions) bridge(ctx context.Context, c *Collection, opts *pool.Options) error {
	if c != o.RxDB {
		return nil
	}
	log, err := c.db.logs.Log(ctx, c.stored.logName()+"/rxdb")
	if err != nil {
		return err
	}
	opts.RxDB = &pool.RxDBOptions{Log: log, AlwaysOn: o.AlwaysOn}
	return nil
}

// Name returns the name of the room.
func (r *Room) Name() string { return r.name }

// Mesh returns the connections.
func (r *Room) Mesh() *pool.Mesh { return r.mesh }

// Pool returns the replication of one collection: its peers, its progress, and waiting for them. It is nil if that is not in
// the room.
func (r *Room) Pool(c *Collection) *pool.Pool {
	if i := slices.IndexFunc(r.pools, func(p *pool.Pool) bool { return p.Collection() == c.Collection }); i >= 0 {
		return r.pools[i]
	}
	return nil
}

// AwaitInSync blocks until each collection has a peer, and holds what its peers hold, and they what it holds.
func (r *Room) AwaitInSync(ctx context.Context) error {
	for _, p := range r.pools {
		if err := p.AwaitInSync(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Leave ends the replication and all connections. What was not sent by then is sent next time. Leaving again does nothing.
func (r *Room) Leave() error {
	r.once.Do(func() {
		r.err = r.mesh.Close()
		r.db.mu.Lock()
		r.db.rooms = slices.DeleteFunc(r.db.rooms, func(o *Room) bool { return o == r })
		r.db.mu.Unlock()
	})
	return r.err
}
