package hub

import (
	"slices"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// handle does what a message asks for. Faults of the message end the connection; what merely cannot be done is told to Shoal
// clients, and passed over for RxDB's, whose dialect has no word for it.
func (c *conn) handle(text []byte) error {
	e := &c.in.env
	if err := e.Scan(text); err != nil {
		c.end(protocol.CodeBadMessage, "message is not a JSON object")
		return nil
	}
	if c.shoal && !c.known.Load() {
		return c.handleHello(e)
	}
	switch e.Type() {
	case protocol.TypeSignal:
		c.handleSignal(e)
	case protocol.TypePing:
		if c.shoal {
			c.answer(&protocol.Message{Type: protocol.TypePong})
		}
	case protocol.TypeJoin:
		return c.handleJoin(e)
	case protocol.TypeLeave:
		if !c.shoal {
			c.unknownType()
			return nil
		}
		return c.handleLeave(e)
	default:
		c.unknownType()
	}
	return nil
}

func (c *conn) unknownType() { c.end(protocol.CodeBadMessage, "unknown message type") }

// answer queues a message to the client itself.
func (c *conn) answer(m *protocol.Message) { c.put(opText, encode(m), &c.in.batch) }

// refuse tells a Shoal client what was not done.
func (c *conn) refuse(code protocol.Code, text string, room, receiver []byte) {
	if c.shoal {
		c.answer(&protocol.Message{
			Type: protocol.TypeError, Code: code, Text: text, Room: string(room), ReceiverPeerID: string(receiver),
		})
	}
}

func (c *conn) handleHello(e *protocol.Envelope) error {
	if e.Type() != protocol.TypeHello {
		c.end(protocol.CodeBadMessage, "the first message must be hello")
		return nil
	}
	token, _ := e.Text(protocol.FieldResume)
	c.in.batch.flush()
	c.hub.greet(c, string(token))
	return nil
}

func (c *conn) handleSignal(e *protocol.Envelope) {
	sender, ok := e.Text(protocol.FieldSender)
	if !ok || string(sender) != c.id {
		c.end(protocol.CodeSpoofed, "senderPeerId is not the id of this connection")
		return
	}
	name, _ := e.Text(protocol.FieldRoom)
	receiver, _ := e.Text(protocol.FieldReceiver)
	code := protocol.CodeNotInRoom
	if r := c.room(name); r != nil {
		code = r.relay(c, receiver, &c.in.batch)
	}
	if code == "" {
		c.hub.stats.signals.Add(1)
		return
	}
	c.hub.stats.undelivered.Add(1)
	c.refuse(code, "signal not delivered", name, receiver)
}

// room returns the room of that name if the client is in it. A client is in few rooms.
func (c *conn) room(name []byte) *room {
	for _, r := range c.rooms {
		if r.name == string(name) {
			return r
		}
	}
	return nil
}

func (c *conn) handleJoin(e *protocol.Envelope) error {
	name, ok := e.Text(protocol.FieldRoom)
	if !ok || !protocol.ValidRoom(name) {
		if !c.shoal {
			c.end(protocol.CodeBadRoom, "invalid ids") // RxDB's words
			return nil
		}
		c.refuse(protocol.CodeBadRoom, "room must be a string of 6 to 99 characters", name, nil)
		return nil
	}
	if r := c.room(name); r != nil {
		if c.shoal {
			c.rejoin(r)
		}
		return nil
	}
	if len(c.rooms) >= c.hub.opts.MaxRooms {
		c.refuse(protocol.CodeTooManyRooms, "too many rooms on this connection", name, nil)
		return nil
	}
	if auth := c.hub.opts.Authorize; auth != nil {
		token, _ := e.Text(protocol.FieldToken)
		c.in.batch.flush() // others must not wait for it
		if err := auth(string(name), string(token)); err != nil {
			c.refuse(protocol.CodeUnauthorized, err.Error(), name, nil)
			return nil
		}
	}
	return c.enter(string(name))
}

// enter joins a room. That costs in proportion to those who must be told.
func (c *conn) enter(name string) error {
	c.hub.mu.Lock()
	r := c.hub.rooms[name]
	c.hub.mu.Unlock()
	if r != nil {
		if err := c.pay(r.size() / 10); err != nil {
			return err
		}
	}
	c.tellICE()
	if code := c.hub.join(c, name, &c.in.batch); code != "" {
		c.refuse(code, "room is full", []byte(name), nil)
	}
	return nil
}

// rejoin answers a join of a room in which the client is: with what it should know.
func (c *conn) rejoin(r *room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[c.id].seen = len(r.log)
	c.answer(&protocol.Message{Type: protocol.TypeJoined, Room: r.name, Peers: r.others(c.id)})
}

// tellICE gives a Shoal client its ICE servers, before its first room.
func (c *conn) tellICE() {
	if c.iced || !c.shoal || c.hub.opts.ICEServers == nil {
		return
	}
	c.iced = true
	servers, ttl := c.hub.opts.ICEServers(c.id)
	if len(servers) > 0 {
		c.answer(&protocol.Message{Type: protocol.TypeICE, ICEServers: servers, TTL: int(ttl / time.Second)})
	}
}

func (c *conn) handleLeave(e *protocol.Envelope) error {
	name, _ := e.Text(protocol.FieldRoom)
	r := c.room(name)
	if r == nil {
		return nil // leaving twice is no fault
	}
	if err := c.pay(r.size() / 10); err != nil {
		return err
	}
	c.rooms = slices.DeleteFunc(c.rooms, func(other *room) bool { return other == r })
	c.hub.leave(c, r, &c.in.batch)
	return nil
}
