package hub

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// newPeerID returns a random id in the letters of RxDB's randomToken.
func newPeerID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	var id [protocol.PeerIDLength]byte
	for i := 0; i < len(id); {
		var random [2 * protocol.PeerIDLength]byte
		rand.Read(random[:]) // never fails, see crypto/rand
		for _, r := range random {
			if int(r) < 256/len(letters)*len(letters) && i < len(id) {
				id[i] = letters[int(r)%len(letters)]
				i++
			}
		}
	}
	return string(id[:])
}

// freshID returns an id that no connection has; h.mu is held.
func (h *Hub) freshID() string {
	for {
		if id := newPeerID(); h.peers[id] == nil {
			return id
		}
	}
}

// name gives a connection its peer id; h.mu is held.
func (h *Hub) name(c *conn, id string) {
	c.id = id
	c.since.Store(time.Now().UnixNano())
	h.peers[id] = c
	c.known.Store(true)
}

// resumeToken proves that its bearer was given the id. It needs no memory: it is the id and a MAC of it.
func (h *Hub) resumeToken(id string) string {
	mac := hmac.New(sha256.New, h.opts.ResumeKey)
	fmt.Fprintf(mac, "shoal resume %s", id)
	return id + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// resumed returns the peer id that a token proves, or "".
func (h *Hub) resumed(token string) string {
	id, _, ok := strings.Cut(token, ".")
	if !ok || !hmac.Equal([]byte(token), []byte(h.resumeToken(id))) {
		return ""
	}
	return id
}

// greet answers hello: the connection gets the peer id that its token proves, with the rooms of the connection that had
// it until now, or a new one.
func (h *Hub) greet(c *conn, token string, b *batch) {
	id := h.resumed(token)
	h.mu.Lock()
	if id == "" {
		id = h.freshID()
	}
	old := h.peers[id]
	h.name(c, id)
	h.mu.Unlock()
	c.sendInit(b) // before anything that happens in its rooms
	if old != nil {
		c.inherit(old)
		old.end(protocol.CodeReplaced, "another connection resumed this peer")
	}
}

// inherit takes the place in all rooms of the connection that had the peer id before.
func (c *conn) inherit(old *conn) {
	rooms := old.takeRooms()
	for _, in := range rooms {
		r := in.room
		r.mu.Lock()
		if m := r.members[c.id]; m != nil && m.conn == old {
			m.conn = c
			m.seen = len(r.log)
			r.announce(m)
		}
		r.mu.Unlock()
	}
	c.roomsMu.Lock()
	c.rooms = rooms
	c.noteExpiry()
	c.roomsMu.Unlock()
}

func (c *conn) sendInit(b *batch) {
	resume := ""
	if c.shoal {
		resume = c.hub.resumeToken(c.id)
	}
	var text [128]byte
	c.put(ws.OpText, protocol.AppendInit(text[:0], c.id, resume), b)
}

// encode returns the text of a message that the server made.
func encode(m *protocol.Message) []byte {
	b, err := m.Encode()
	if err != nil {
		panic(err) // such messages hold no raw JSON
	}
	return b
}

// frame returns the frame of a message that goes to many.
func frame(m any) []byte {
	payload, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings always encode
	}
	o := outbuf{b: make([]byte, 0, len(payload)+4)}
	o.writeHeader(ws.OpText, len(payload))
	return append(o.b, payload...)
}
