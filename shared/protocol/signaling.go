// Package protocol defines what crosses a wire between the parts of Shoal: the messages of the signaling server, their limits
// and error codes. docs/protocol.md is the normative text; every message there has a golden file in testdata.
package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Subprotocol is the WebSocket subprotocol of Shoal's own signaling dialect. A socket without a subprotocol speaks RxDB's.
const Subprotocol = "shoal.v1"

// Dialect says which signaling messages a peer speaks, and so how it replicates.
type Dialect string

// The two dialects.
const (
	DialectShoal Dialect = "shoal.v1"
	// DialectRxDB is that of RxDB 17's WebRTC replication, see connection-handler-simple-peer.ts in
	// rxdb/src/plugins/replication-webrtc.
	DialectRxDB Dialect = "rxdb"
)

// Type is the kind of a signaling message, the value of its key "type".
type Type string

// The kinds of messages. Those marked "both" are part of RxDB's dialect too.
const (
	TypeHello      Type = "hello"      // client: first message, perhaps with a resume token
	TypeInit       Type = "init"       // server, both: the client's peer id
	TypeJoin       Type = "join"       // client, both
	TypeLeave      Type = "leave"      // client
	TypeJoined     Type = "joined"     // server, both: who is in the room; the keys differ
	TypePeerJoined Type = "peerJoined" // server
	TypePeerLeft   Type = "peerLeft"   // server
	TypeSignal     Type = "signal"     // both ways, both
	TypeRelay      Type = "relay"      // both ways: a piece of a connection that goes through the server
	TypeICE        Type = "ice"        // server: ICE servers to use from now on
	TypePing       Type = "ping"       // client, both
	TypePong       Type = "pong"       // server
	TypeError      Type = "error"      // server
)

// ICEServer is a STUN or TURN server in the shape of W3C's RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// PeerInfo is a member of a room.
type PeerInfo struct {
	ID      string  `json:"id"`
	Dialect Dialect `json:"dialect"`
	// ServedBy is, of an RxDB peer, the id of the Shoal peer that replicates with it, ServedByAll for all that may, or "" where
	// that is left to other RxDB peers.
	ServedBy string `json:"servedBy,omitempty"`
}

// ServedByAll stands for every peer that joined with Role.RxDB, where the server leaves RxDB's clients their full mesh.
const ServedByAll = "*"

// Role is what a Shoal peer offers to a room.
type Role struct {
	RxDB     bool // replicates with RxDB's clients, in their protocol
	AlwaysOn bool // is meant to stay, as the process of a server is; preferred to serve others
}

// Message is any signaling message; which fields count follows from Type, as docs/protocol.md has it. Fields that are not in
// the message are empty.
type Message struct {
	Type           Type            `json:"type"`
	YourPeerID     string          `json:"yourPeerId,omitempty"`
	Resume         string          `json:"resume,omitempty"`
	Room           string          `json:"room,omitempty"`
	Token          string          `json:"token,omitempty"`
	RxDB           bool            `json:"rxdb,omitempty"`        // join; see Role
	AlwaysOn       bool            `json:"alwaysOn,omitempty"`    // join
	Peers          []PeerInfo      `json:"peers,omitzero"`        // joined; nil where the key is absent
	OtherPeerIDs   []string        `json:"otherPeerIds,omitzero"` // joined in RxDB's dialect; nil where the key is absent
	Peer           *PeerInfo       `json:"peer,omitempty"`
	PeerID         string          `json:"peerId,omitempty"`
	SenderPeerID   string          `json:"senderPeerId,omitempty"`
	ReceiverPeerID string          `json:"receiverPeerId,omitempty"`
	Data           json.RawMessage `json:"data,omitempty"`
	ConnectionID   string          `json:"connectionId,omitempty"`
	ICEServers     []ICEServer     `json:"iceServers,omitempty"`
	TTL            int             `json:"ttl,omitempty"` // seconds
	Code           Code            `json:"code,omitempty"`
	Text           string          `json:"message,omitempty"`
}

// Encode returns the message as JSON text. It fails when Data is not valid JSON.
func (m *Message) Encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s message: %w", m.Type, err)
	}
	return b, nil
}

// AppendInit appends an init message. The id and the token are of letters, digits and .-_ only, as a server makes them; resume
// is "" in RxDB's dialect. It is for servers to which many clients connect: it takes a tenth of Encode's time.
func AppendInit(dst []byte, id, resume string) []byte {
	dst = append(dst, `{"type":"init","yourPeerId":"`...)
	dst = append(dst, id...)
	if resume != "" {
		dst = append(dst, `","resume":"`...)
		dst = append(dst, resume...)
	}
	return append(dst, `"}`...)
}

// ParseMessage reads a message as JavaScript's JSON.parse would: keys match exactly, the last of a repeated key counts.
// Errors match ErrBadMessage. The result does not share memory with data.
func ParseMessage(data []byte) (*Message, error) {
	var e Envelope
	if err := e.Scan(data); err != nil {
		return nil, err
	}
	m := &Message{Type: e.Type(), Data: append(json.RawMessage(nil), e.Raw(FieldData)...)}
	for _, f := range []struct {
		field Field
		to    *string
	}{
		{FieldYourPeerID, &m.YourPeerID},
		{FieldResume, &m.Resume},
		{FieldRoom, &m.Room},
		{FieldToken, &m.Token},
		{FieldPeerID, &m.PeerID},
		{FieldSender, &m.SenderPeerID},
		{FieldReceiver, &m.ReceiverPeerID},
		{FieldConnectionID, &m.ConnectionID},
		{FieldCode, (*string)(&m.Code)},
		{FieldText, &m.Text},
	} {
		s, ok := e.Text(f.field)
		if !ok && e.Has(f.field) {
			return nil, fmt.Errorf("%w: %s is not a string", ErrBadMessage, f.field)
		}
		*f.to = string(s)
	}
	return m, m.parseNested(&e)
}

// parseNested reads the values that are not strings. Only a server writes them, so encoding/json's lax keys do no harm.
func (m *Message) parseNested(e *Envelope) error {
	var errs []error
	for _, f := range []struct {
		field Field
		to    any
	}{
		{FieldRxDB, &m.RxDB},
		{FieldAlwaysOn, &m.AlwaysOn},
		{FieldPeers, &m.Peers},
		{FieldOtherPeerIDs, &m.OtherPeerIDs},
		{FieldPeer, &m.Peer},
		{FieldICEServers, &m.ICEServers},
		{FieldTTL, &m.TTL},
	} {
		if !e.Has(f.field) {
			continue
		}
		if err := json.Unmarshal(e.Raw(f.field), f.to); err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrBadMessage, f.field, err))
		}
	}
	return errors.Join(errs...)
}
