package signaling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

const (
	// pongWait is how much longer than a ping interval the server may be silent.
	pongWait = 10 * time.Second
	// wakeWait is how long it may be silent after Wake.
	wakeWait = 5 * time.Second
	// stable is how long a connection must have lasted for the next delay to be the shortest again.
	stable = 10 * time.Second
)

var (
	errSilent = errors.New("signaling: server is silent")
	errLeft   = errors.New("signaling: room left")
)

// session is one connection, from the server's init to its end.
type session struct {
	link   *link
	pings  uint64 // asked so far; guarded by Client.mu
	pongs  uint64
	retry  chan struct{} // there was no token for a room
	silent *time.Timer   // ends the session when the server says nothing; nil where the server does not answer pings
}

// heard gives the server d to say something.
func (s *session) heard(d time.Duration) {
	if s.silent != nil {
		s.silent.Reset(d)
	}
}

func (s *session) fail(err error) { s.link.cancel(err) }

// send queues a text for the socket.
func (s *session) send(ctx context.Context, queue chan<- []byte, text []byte) error {
	select {
	case queue <- text:
		return nil
	case <-s.link.ctx.Done():
		return ErrDisconnected
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// post queues a message of the client's own. It does not block.
func (s *session) post(m *protocol.Message) {
	text, err := m.Encode()
	if err != nil {
		s.fail(err)
		return
	}
	s.link.post(text)
}

// run connects again and again.
func (c *Client) run() {
	var delay backoff
	for c.ctx.Err() == nil {
		began := time.Now()
		err := c.connect()
		if c.ctx.Err() != nil {
			return
		}
		c.opts.Logger.Info("signaling connection ended", "err", err)
		c.emit(Disconnected{Err: err})
		if time.Since(began) >= stable {
			delay.reset()
		}
		c.pause(delay.next(c.opts.Rand))
	}
}

// pause waits before the next attempt.
func (c *Client) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.wake:
	case <-c.ctx.Done():
	}
}

// connect is the life of one connection. It returns why it ended.
func (c *Client) connect() error {
	ctx, cancel := context.WithTimeout(c.ctx, protocol.ConnectTimeout)
	defer cancel()
	sock, err := c.dial(ctx)
	if err != nil {
		return fmt.Errorf("connect to signaling server: %w", err)
	}
	l := newLink(c.ctx, sock)
	defer l.close()
	first, err := c.shakeHands(ctx, l)
	if err != nil {
		return fmt.Errorf("connect to signaling server: %w", err)
	}
	s := &session{link: l, retry: make(chan struct{}, 1)}
	if c.opts.Dialect == protocol.DialectShoal {
		s.silent = time.AfterFunc(c.opts.PingInterval+pongWait, func() { l.cancel(errSilent) })
		defer s.silent.Stop()
	}
	c.begin(s, first)
	defer c.finish()
	return c.serve(s)
}

// shakeHands says hello and waits for init.
func (c *Client) shakeHands(ctx context.Context, l *link) (*protocol.Message, error) {
	if c.opts.Dialect == protocol.DialectShoal {
		c.mu.Lock()
		hello := protocol.Message{Type: protocol.TypeHello, Resume: c.resume}
		c.mu.Unlock()
		text, err := hello.Encode()
		if err != nil {
			return nil, err
		}
		l.post(text)
	}
	text, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	m, err := protocol.ParseMessage(text)
	switch {
	case err != nil:
		return nil, err
	case m.Type == protocol.TypeError:
		return nil, remoteError(m)
	case m.Type != protocol.TypeInit || m.YourPeerID == "":
		return nil, fmt.Errorf("%w: the first is not init, this is no signaling server", protocol.ErrBadMessage)
	}
	return m, nil
}

// begin makes s the client's connection and asks for its rooms.
func (c *Client) begin(s *session, first *protocol.Message) {
	c.opts.Logger.Info("signaling connected", "peer", first.YourPeerID, "resumed", first.YourPeerID == c.self)
	c.mu.Lock()
	if first.YourPeerID == c.self {
		for room := range c.left {
			s.post(&protocol.Message{Type: protocol.TypeLeave, Room: room})
			c.left[room] = 0
		}
	} else {
		clear(c.left)
	}
	c.sess, c.self, c.resume = s, first.YourPeerID, first.Resume
	for _, r := range c.rooms {
		c.ask(s, r)
	}
	c.mu.Unlock()
	c.emit(Connected{Self: first.YourPeerID})
}

func (c *Client) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sess = nil
	for _, r := range c.rooms {
		r.joined, r.asked, r.failed, r.askAt = false, false, false, time.Time{}
	}
}

// serve handles what comes until the connection ends.
func (c *Client) serve(s *session) error {
	ping := time.NewTicker(c.opts.PingInterval)
	defer ping.Stop()
	ask := time.NewTimer(0)
	defer ask.Stop()
	for {
		ask.Reset(c.askAgain(s))
		select {
		case text := <-s.link.in:
			s.heard(c.opts.PingInterval + pongWait)
			if err := c.handle(s, text); err != nil {
				return err
			}
		case <-ask.C:
		case <-s.retry:
		case <-ping.C:
			c.ping(s)
		case <-c.wake:
			s.heard(wakeWait)
			c.ping(s)
		case <-s.link.ctx.Done():
			return context.Cause(s.link.ctx)
		}
	}
}

func (c *Client) ping(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.pings++
	s.post(&protocol.Message{Type: protocol.TypePing})
	select {
	case s.link.probe <- struct{}{}:
	default:
	}
}

func remoteError(m *protocol.Message) *protocol.RemoteError {
	return &protocol.RemoteError{Code: m.Code, Message: m.Text}
}
