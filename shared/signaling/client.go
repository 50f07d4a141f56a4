// Package signaling is the client of the signaling server: it keeps one connection for all rooms of a process or tab, makes it
// anew whenever it breaks, and tells who is in the rooms. docs/protocol.md, section Signaling, describes the messages.
package signaling

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// ErrDisconnected is what Send returns while there is no connection.
var ErrDisconnected = errors.New("signaling: not connected")

// ErrOneRoom is what Join returns for a second room in RxDB's dialect, whose member lists do not say which room they are of.
var ErrOneRoom = errors.New("signaling: one room per connection in RxDB's dialect")

// Options says how a Client behaves. The zero value of every field stands for its default.
type Options struct {
	// Dialect is what to speak. DialectShoal needs a Shoal server; DialectRxDB works with RxDB's as well, for one room.
	// Default: DialectShoal.
	Dialect protocol.Dialect
	// Fallbacks are the URLs of further servers of the same cluster. Each attempt to connect goes to another server than the one
	// before, in the order of New's url and then these. Default: none.
	Fallbacks []string
	// Token returns the token for a room: each time that the client joins it, and again before the token that it gave
	// ends, so that the client stays. An error is told as Refused, and Token is asked again a little later. It may block.
	// Default: no tokens.
	Token func(ctx context.Context, room string) (string, error)
	// PingInterval is how often the client says that it is there, and how soon it notices that the server is not.
	// Default: protocol.ShoalPingInterval, in RxDB's dialect protocol.PingInterval.
	PingInterval time.Duration
	// Rand spreads the attempts of many clients. It is used by one goroutine at a time. Default: seeded at random.
	Rand *rand.Rand
	// Logger gets what happens to the connection. Default: discard.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Dialect == "" {
		d.Dialect = protocol.DialectShoal
	}
	if d.PingInterval <= 0 {
		d.PingInterval = protocol.ShoalPingInterval
		if d.Dialect == protocol.DialectRxDB {
			d.PingInterval = protocol.PingInterval
		}
	}
	if d.Rand == nil {
		d.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

const (
	// eventQueue is how many events wait for Next before the client stops reading. The server cuts off who does so for long.
	eventQueue = 256
	// sendQueue is how many messages wait to be written before Send blocks.
	sendQueue = 64
	// relayQueue is the same for pieces of relayed connections.
	relayQueue = 2
)

// Client is a connection to a signaling server that is made again whenever it ends. All methods may be called concurrently,
// except that Next has one caller at a time.
type Client struct {
	opts   Options
	dial   dialer
	events chan Event
	wake   chan struct{}
	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the following fields
	sess   *session   // nil while not connected
	self   string     // the last peer id
	resume string     // proves self; "" where there is nothing to resume
	rooms  map[string]*room
	left   map[string]uint64 // rooms that the server may not know to be left; see session.pings
}

// New returns a client that connects to url (ws:// or wss://) in the background, for ever, until Close.
func New(url string, opts *Options) *Client {
	o := opts.withDefaults()
	return start(o, inTurn(append([]string{url}, o.Fallbacks...), o.Dialect))
}

func start(opts Options, dial dialer) *Client {
	c := &Client{
		opts:   opts,
		dial:   dial,
		events: make(chan Event, eventQueue),
		wake:   make(chan struct{}, 1),
		rooms:  make(map[string]*room),
		left:   make(map[string]uint64),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.wg.Go(c.run)
	return c
}

// Join makes this peer a member of the room until Leave, through reconnects. It returns at once; Joined or Refused follows.
// Joining again what was refused tries again; joining again what was joined does nothing.
func (c *Client) Join(room string) error { return c.join(room, nil) }

// JoinAs is Join with a role in the room, which stays until another JoinAs. RxDB's dialect knows no roles.
func (c *Client) JoinAs(room string, role protocol.Role) error { return c.join(room, &role) }

func (c *Client) join(room string, role *protocol.Role) error {
	if !protocol.ValidRoom(room) {
		return fmt.Errorf("join room %q: %w", room, protocol.ErrBadRoom)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return fmt.Errorf("join room: %w", net.ErrClosed)
	}
	r := c.rooms[room]
	if r == nil {
		if c.opts.Dialect == protocol.DialectRxDB && len(c.rooms) > 0 {
			return fmt.Errorf("join room %q: %w", room, ErrOneRoom)
		}
		r = newRoom(room)
		c.rooms[room] = r
		delete(c.left, room)
	}
	again := role != nil && *role != r.role && c.opts.Dialect == protocol.DialectShoal
	if again {
		r.role = *role
	}
	if c.sess != nil && (again || !r.joined && !r.asked) {
		c.ask(c.sess, r)
	}
	return nil
}

// Leave undoes Join. No event of the room follows, but for those that Next has not returned yet.
func (c *Client) Leave(room string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return fmt.Errorf("leave room: %w", net.ErrClosed)
	}
	if c.rooms[room] == nil {
		return nil
	}
	delete(c.rooms, room)
	if c.opts.Dialect == protocol.DialectRxDB {
		if c.sess != nil {
			c.sess.fail(errLeft) // that dialect has no other way to leave
		}
		return nil
	}
	if c.sess == nil {
		c.left[room] = 0
		return nil
	}
	c.left[room] = c.sess.pings
	c.sess.post(&protocol.Message{Type: protocol.TypeLeave, Room: room})
	return nil
}

// Send passes data, a JSON text, to a peer of a room in which this peer is. It blocks while earlier messages wait to be
// written, until ctx ends. It returns ErrDisconnected where there is no connection, for signals of a broken connection are of
// no use to the next. That it returns nil does not mean that the peer gets the signal: see Refused.
func (c *Client) Send(ctx context.Context, room, peer string, data json.RawMessage) error {
	return c.SendAttempt(ctx, room, peer, "", data)
}

// SendAttempt is Send with the id of a connection attempt, which RxDB's peers tell their signals apart by.
func (c *Client) SendAttempt(ctx context.Context, room, peer, connectionID string, data json.RawMessage) error {
	c.mu.Lock()
	sess, self := c.sess, c.self
	c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return fmt.Errorf("send signal: %w", net.ErrClosed)
	case sess == nil:
		return fmt.Errorf("send signal: %w", ErrDisconnected)
	}
	m := &protocol.Message{
		Type: protocol.TypeSignal, Room: room, SenderPeerID: self, ReceiverPeerID: peer, Data: data, ConnectionID: connectionID,
	}
	text, err := m.Encode()
	if err != nil {
		return fmt.Errorf("send signal: %w", err)
	}
	if len(text) > protocol.MaxSignalingMessage {
		return fmt.Errorf("send signal: %w: %d of at most %d bytes", protocol.ErrTooBig, len(text), protocol.MaxSignalingMessage)
	}
	if err := sess.send(ctx, sess.link.out, text); err != nil {
		return fmt.Errorf("send signal: %w", err)
	}
	return nil
}

// Relay passes a piece of a connection to a peer of a room in which this peer is. It blocks as Send does, and returns the same errors. The
// piece may be lost: see Refused, with protocol.ErrRelayLimit, ErrRelayBusy and ErrRelayDenied.
func (c *Client) Relay(ctx context.Context, room, peer string, piece []byte) error {
	c.mu.Lock()
	sess, self := c.sess, c.self
	c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		return fmt.Errorf("relay: %w", net.ErrClosed)
	case c.opts.Dialect == protocol.DialectRxDB:
		return fmt.Errorf("relay in RxDB's dialect: %w", errors.ErrUnsupported)
	case sess == nil:
		return fmt.Errorf("relay: %w", ErrDisconnected)
	}
	data := make(json.RawMessage, 0, base64.StdEncoding.EncodedLen(len(piece))+2)
	data = append(base64.StdEncoding.AppendEncode(append(data, '"'), piece), '"')
	m := &protocol.Message{Type: protocol.TypeRelay, Room: room, SenderPeerID: self, ReceiverPeerID: peer, Data: data}
	text, err := m.Encode()
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if len(text) > protocol.MaxSignalingMessage {
		return fmt.Errorf("relay: %w: %d of at most %d bytes", protocol.ErrTooBig, len(text), protocol.MaxSignalingMessage)
	}
	if err := sess.send(ctx, sess.link.relay, text); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// Next blocks for the next event. It returns the cause of ctx when that ends first, and net.ErrClosed after Close.
func (c *Client) Next(ctx context.Context) (Event, error) {
	if c.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	select {
	case e := <-c.events:
		return e, nil
	case <-c.ctx.Done():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Wake says that the network may have come back, or the page become visible: the client tries at once to connect, or finds
// out whether its connection still lives. It does not block.
func (c *Client) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the connection and waits until nothing of the client runs any more. Only a socket whose network is gone may need
// longer to end than the 2 s that Close waits for it: in a browser a minute, natively 10 s.
func (c *Client) Close() error {
	c.mu.Lock()
	c.cancel(net.ErrClosed)
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

// emit queues an event for Next.
func (c *Client) emit(e Event) {
	select {
	case c.events <- e:
	case <-c.ctx.Done():
	}
}
