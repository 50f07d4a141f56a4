package signaling

import (
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

const (
	// refusedMin and refusedMax bound the delay between joins of a room that is full.
	refusedMin = 15 * time.Second
	refusedMax = 5 * time.Minute
)

// ask sends a join; c.mu is held. Where it takes a token, a goroutine gets that first.
func (c *Client) ask(s *session, r *room) {
	r.asked, r.askAt = true, time.Time{}
	if c.opts.Token == nil {
		s.post(r.join(""))
		return
	}
	c.wg.Go(func() {
		token, err := c.opts.Token(s.link.ctx, r.name)
		if s.link.ctx.Err() != nil {
			return
		}
		if err != nil {
			c.noToken(s, r, err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.rooms[r.name] == r {
			s.post(r.join(token))
		}
	})
}

// join is the message that asks for the room.
func (r *room) join(token string) *protocol.Message {
	return &protocol.Message{Type: protocol.TypeJoin, Room: r.name, Token: token, RxDB: r.role.RxDB, AlwaysOn: r.role.AlwaysOn}
}

// noToken tells that there is no token for a room, and has it tried again later.
func (c *Client) noToken(s *session, r *room, err error) {
	c.emit(Refused{Room: r.name, Err: fmt.Errorf("get token: %w", err)})
	c.mu.Lock()
	if c.sess == s {
		r.asked, r.failed = false, true
	}
	c.mu.Unlock()
	select {
	case s.retry <- struct{}{}:
	default:
	}
}

// renewAfter returns after what part of a token's time a fresh one is got: early enough to try again when that fails, and
// not at the same time in all clients. It is called by the session's goroutine.
func (c *Client) renewAfter(ttl time.Duration) time.Duration {
	part := ttl / 8
	return 5*part + time.Duration(c.opts.Rand.Int64N(int64(part)+1))
}

// refusedFor returns how long to wait before asking again for a room that was full, or with which the server was at fault. It is
// called by the session's goroutine; c.mu is held.
func (c *Client) refusedFor(r *room) time.Duration {
	r.again = min(max(2*r.again, refusedMin), refusedMax)
	half := r.again / 2
	return half + time.Duration(c.opts.Rand.Int64N(int64(half)+1))
}

// askAgain asks for the rooms for which it is time, and returns how long it is until the next.
func (c *Client) askAgain(s *session) time.Duration {
	const never = time.Hour // asked again then
	c.mu.Lock()
	defer c.mu.Unlock()
	next := never
	for _, r := range c.rooms {
		if r.failed {
			r.failed = false
			r.askAt = time.Now().Add(r.delay.next(c.opts.Rand))
		}
		if r.askAt.IsZero() || r.asked {
			continue
		}
		if d := time.Until(r.askAt); d > 0 {
			next = min(next, d)
		} else {
			c.ask(s, r)
		}
	}
	return next
}
