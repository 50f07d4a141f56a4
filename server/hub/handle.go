package hub

import (
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// handle does what a message asks for. Faults of the message end the connection; what merely cannot be done is told to Shoal
// clients, and passed over for RxDB's, whose dialect has no word for it.
func (w *worker) handle(c *conn, text []byte) verdict {
	c.spoke.Store(w.hub.tick.Load())
	if err := w.env.Scan(text); err != nil {
		c.end(protocol.CodeBadMessage, "message is not a JSON object")
		return waiting
	}
	typ := w.env.Type()
	if c.shoal && !c.known.Load() {
		if typ != protocol.TypeHello {
			c.end(protocol.CodeBadMessage, "the first message must be hello")
			return waiting
		}
		token, _ := w.env.Text(protocol.FieldResume)
		w.hub.greet(c, string(token), &w.batch)
		return waiting
	}
	switch {
	case typ == protocol.TypeSignal:
		w.handleSignal(c)
	case typ == protocol.TypeRelay && c.shoal:
		w.handleRelay(c)
	case typ == protocol.TypePing:
		if c.shoal {
			w.answer(c, &protocol.Message{Type: protocol.TypePong})
		}
	case typ == protocol.TypeJoin:
		return w.handleJoin(c)
	case typ == protocol.TypeLeave && c.shoal:
		w.handleLeave(c)
	default:
		c.end(protocol.CodeBadMessage, "unknown message type")
	}
	return waiting
}

// answer queues a message to the client itself.
func (w *worker) answer(c *conn, m *protocol.Message) { c.put(ws.OpText, encode(m), &w.batch) }

// refuse tells a Shoal client what was not done.
func (w *worker) refuse(c *conn, code protocol.Code, text, room, receiver string) {
	w.hub.stats.note(reason(code))
	if c.shoal {
		w.answer(c, &protocol.Message{Type: protocol.TypeError, Code: code, Text: text, Room: room, ReceiverPeerID: receiver})
	}
}

func (w *worker) handleSignal(c *conn) {
	sender, ok := w.env.Text(protocol.FieldSender)
	if !ok || string(sender) != c.id {
		c.end(protocol.CodeSpoofed, "senderPeerId is not the id of this connection")
		return
	}
	name, _ := w.env.Text(protocol.FieldRoom)
	receiver, _ := w.env.Text(protocol.FieldReceiver)
	code := protocol.CodeNotInRoom
	if r, _ := c.room(name); r != nil {
		code = r.relay(&w.env, receiver, &w.batch)
	}
	if code == "" {
		w.hub.stats.signals.Add(1)
		return
	}
	w.hub.stats.undelivered.Add(1)
	w.refuse(c, code, "signal not delivered", string(name), string(receiver))
}

func (w *worker) handleJoin(c *conn) verdict {
	text, ok := w.env.Text(protocol.FieldRoom)
	if !ok || !protocol.ValidRoom(text) {
		if !c.shoal {
			c.end(protocol.CodeBadRoom, "invalid ids") // RxDB's words
			return waiting
		}
		w.refuse(c, protocol.CodeBadRoom, "room must be a string of 6 to 99 characters", string(text), "")
		return waiting
	}
	if r, _ := c.room(text); r != nil && !c.shoal {
		return waiting
	}
	e := &entry{
		room:  string(text),
		role:  protocol.Role{RxDB: w.env.True(protocol.FieldRxDB), AlwaysOn: w.env.True(protocol.FieldAlwaysOn)},
		began: time.Now(),
		grant: everything(),
	}
	if w.hub.opts.Authorize == nil {
		w.enter(c, e)
		return waiting
	}
	token, given := w.env.Text(protocol.FieldToken)
	c.entry, e.token = e, string(token)
	if !given {
		c.entry.token = c.token
	}
	return parked
}

// entry is a join that Options.Authorize decides.
type entry struct {
	room, token string
	role        protocol.Role
	began       time.Time
	grant       Grant
	err         error
}

// decided acts upon what Authorize said.
func (w *worker) decided(c *conn) {
	e := c.entry
	c.entry = nil
	if e.err != nil {
		if r, _ := c.room([]byte(e.room)); r != nil {
			w.leave(c, r)
		}
		w.refuse(c, protocol.CodeUnauthorized, e.err.Error(), e.room, "")
		return
	}
	w.enter(c, e)
}

// enter makes the client a member of a room, or tells it again who is there if it is one. That costs it in proportion to
// those who must be told.
func (w *worker) enter(c *conn, e *entry) {
	name, g := e.room, e.grant
	if told := c.iced.Load(); told == icedNot || told == icedSTUN && g.TURN {
		c.tellICE(g.TURN, &w.batch)
	}
	if r := c.renew(name, g); r != nil {
		w.hub.rejoin(c, r, g, e.role, &w.batch)
		return
	}
	size, code := w.hub.join(c, name, g, e.role, &w.batch)
	w.charge(c, size/10)
	switch code {
	case "":
		if joined := w.hub.opts.Joined; joined != nil {
			joined(time.Since(e.began))
		}
	case protocol.CodeTooManyRooms:
		w.refuse(c, code, "too many rooms on this connection", name, "")
	case protocol.CodeRoomFull:
		w.refuse(c, code, "room is full", name, "")
	}
}

func (w *worker) handleLeave(c *conn) {
	name, _ := w.env.Text(protocol.FieldRoom)
	if r, _ := c.room(name); r != nil { // leaving twice is no fault
		w.leave(c, r)
	}
}

func (w *worker) leave(c *conn, r *room) {
	c.quit(r)
	w.charge(c, w.hub.leave(c, r, &w.batch)/10)
}
