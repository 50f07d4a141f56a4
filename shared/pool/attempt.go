package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/rxdb"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/tidwall/gjson"
)

// attempt is one attempt at a connection and, if it opens, the connection.
type attempt struct {
	member    *member
	id        string // the connectionId; "" of clients that have none
	initiator bool
	offered   bool // the offer has come
	opened    bool
	peer      *rtc.SimplePeer
	session   *rxdb.Session
	stop      context.CancelCauseFunc
}

// signaled takes a signal of a client, as onSignal of RxDB's connection-handler-simple-peer.ts does.
func (b *bridge) signaled(s signaling.Signal) {
	m := b.member(s.Peer)
	switch {
	case m == nil || m.refused:
		return
	case !m.mine:
		if len(m.early) < maxEarly {
			m.early = append(m.early, s)
		}
		return
	case m.id > b.self:
		if a := m.attempt; a != nil && (s.ConnectionID == "" || s.ConnectionID == a.id) {
			a.peer.Signal(s.Data)
		}
		return
	}
	offer := gjson.GetBytes(s.Data, "type").Str == "offer"
	a := m.attempt
	if a == nil || a.id != s.ConnectionID || offer && a.offered && a.id == "" {
		if !offer {
			return
		}
		if a = b.begin(m, s.ConnectionID, false); a == nil {
			return
		}
	}
	a.offered = a.offered || offer
	a.peer.Signal(s.Data)
}

// begin begins an attempt, which takes the place of another one. It returns nil if there cannot be one.
func (b *bridge) begin(m *member, id string, initiator bool) *attempt {
	if m.attempt != nil {
		m.attempt.stop(fmt.Errorf("%w: %w", rxdb.ErrReplaced, net.ErrClosed))
		m.attempt = nil
	}
	if b.open >= maxBridged {
		b.pool.report(m.id, fmt.Errorf("connect to RxDB client: %w", rtc.ErrFull))
		b.retry(m)
		return nil
	}
	a := &attempt{member: m, id: id, initiator: initiator}
	var ctx context.Context
	ctx, a.stop = context.WithCancelCause(b.ctx)
	peer, err := b.conn.newSimplePeer(&rtc.SimplePeerOptions{
		Initiator: initiator,
		Tell: func(ctx context.Context, signal []byte) {
			if err := b.conn.sendAttempt(ctx, b.pool.topic, m.id, id, signal); err != nil {
				b.pool.mesh.log.Debug("send signal", "peer", m.id, "error", err)
			}
		},
	})
	if err != nil {
		a.stop(err)
		b.pool.report(m.id, fmt.Errorf("connect to RxDB client: %w", err))
		b.retry(m)
		return nil
	}
	a.peer = peer
	m.attempt = a
	b.open++
	b.wg.Go(func() { b.push(attemptEnded{a, b.serve(ctx, a)}) })
	return a
}

// retry plans the next attempt.
func (b *bridge) retry(m *member) {
	d := min(bridgeBackoffMax, bridgeBackoffMin<<min(m.failures, 10))
	m.failures++
	m.retryAt = time.Now().Add(d/2 + time.Duration(b.rng.Int64N(int64(d/2)+1)))
}

// ended deals with an attempt or connection that is over.
func (b *bridge) ended(a *attempt, err error) {
	b.open--
	m := a.member
	if a.opened {
		m.failures = 0
	}
	switch {
	case b.ctx.Err() != nil:
	case errors.Is(err, rxdb.ErrRefused) || errors.Is(err, rxdb.ErrSelf):
		m.refused = true
		b.pool.report(m.id, err)
	case a.opened && !errors.Is(err, net.ErrClosed) || !a.opened && !errors.Is(err, errGone) && !errors.Is(err, rxdb.ErrReplaced):
		b.pool.report(m.id, fmt.Errorf("RxDB client: %w", err))
	}
	if m.attempt != a {
		return
	}
	m.attempt = nil
	b.retry(m)
	if !m.listed {
		delete(b.members, m.id)
	}
}

// serve waits until the connection is open, and then runs the session.
func (b *bridge) serve(ctx context.Context, a *attempt) error {
	defer a.stop(nil)
	select {
	case <-a.peer.Opened():
	case <-a.peer.Done():
		return errors.Join(a.peer.Err(), a.peer.Close())
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), a.peer.Close())
	}
	b.push(attemptOpened{a})
	s := rxdb.New(b.config(a))
	b.mu.Lock()
	a.session = s
	b.sessions = append(b.sessions, a)
	b.mu.Unlock()
	b.pool.changed()
	err := s.Run(ctx)
	b.mu.Lock()
	b.sessions = slices.DeleteFunc(b.sessions, func(o *attempt) bool { return o == a })
	b.mu.Unlock()
	b.pool.changed()
	return err
}

func (b *bridge) config(a *attempt) rxdb.Config {
	p := b.pool
	id := a.member.id
	cfg := rxdb.Config{
		Collection: p.coll, Meta: b.meta, Topic: p.topic, Conn: a.peer, PrimaryKey: p.coll.PrimaryKey(),
		Pull: rxdbDirection(p.opts.Pull), Push: rxdbDirection(p.opts.Push),
		RequestTimeout: b.opts.RequestTimeout, RetryTime: p.opts.RetryTime,
		OnToken:  func(token string) { b.only(a, token) },
		OnChange: p.changed,
		OnError:  func(err error) { p.report(id, err) },
		OnClash:  func(cs []collection.Clash) { p.clashed(id, cs) },
		Rand:     p.newRand(),
	}
	if p.opts.Valid != nil {
		cfg.Valid = func(ctx context.Context) (bool, error) { return p.opts.Valid(ctx, Peer{ID: id, RxDB: true}) }
	}
	return cfg
}

func rxdbDirection(d *replication.Direction) *rxdb.Direction {
	if d == nil {
		return nil
	}
	return &rxdb.Direction{BatchSize: d.BatchSize, Modifier: d.Modifier}
}

// only ends other connections to the client with a token: it has made a new one.
func (b *bridge) only(a *attempt, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.sessions {
		if o != a && o.session.Progress().Token == token {
			o.stop(fmt.Errorf("%w: %w", rxdb.ErrReplaced, net.ErrClosed))
		}
	}
}
