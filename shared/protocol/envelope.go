package protocol

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Field names a key of a signaling message.
type Field uint8

// The keys of the messages of both dialects.
const (
	FieldType Field = iota
	FieldRoom
	FieldSender
	FieldReceiver
	FieldData
	FieldConnectionID
	FieldToken
	FieldResume
	FieldYourPeerID
	FieldPeers
	FieldOtherPeerIDs
	FieldPeer
	FieldPeerID
	FieldICEServers
	FieldTTL
	FieldCode
	FieldText
	FieldRxDB
	FieldAlwaysOn
	numFields
)

// String returns the key as it stands in the message.
func (f Field) String() string {
	switch f {
	case FieldType:
		return "type"
	case FieldRoom:
		return "room"
	case FieldSender:
		return "senderPeerId"
	case FieldReceiver:
		return "receiverPeerId"
	case FieldData:
		return "data"
	case FieldConnectionID:
		return "connectionId"
	case FieldToken:
		return "token"
	case FieldResume:
		return "resume"
	case FieldYourPeerID:
		return "yourPeerId"
	case FieldPeers:
		return "peers"
	case FieldOtherPeerIDs:
		return "otherPeerIds"
	case FieldPeer:
		return "peer"
	case FieldPeerID:
		return "peerId"
	case FieldICEServers:
		return "iceServers"
	case FieldTTL:
		return "ttl"
	case FieldCode:
		return "code"
	case FieldText:
		return "message"
	case FieldRxDB:
		return "rxdb"
	case FieldAlwaysOn:
		return "alwaysOn"
	}
	return "?"
}

func fieldOf(key []byte) (Field, bool) {
	switch string(key) {
	case "type":
		return FieldType, true
	case "room":
		return FieldRoom, true
	case "senderPeerId":
		return FieldSender, true
	case "receiverPeerId":
		return FieldReceiver, true
	case "data":
		return FieldData, true
	case "connectionId":
		return FieldConnectionID, true
	case "token":
		return FieldToken, true
	case "resume":
		return FieldResume, true
	case "yourPeerId":
		return FieldYourPeerID, true
	case "peers":
		return FieldPeers, true
	case "otherPeerIds":
		return FieldOtherPeerIDs, true
	case "peer":
		return FieldPeer, true
	case "peerId":
		return FieldPeerID, true
	case "iceServers":
		return FieldICEServers, true
	case "ttl":
		return FieldTTL, true
	case "code":
		return FieldCode, true
	case "message":
		return FieldText, true
	case "rxdb":
		return FieldRxDB, true
	case "alwaysOn":
		return FieldAlwaysOn, true
	}
	return 0, false
}

// Envelope is a message that was checked and taken apart without copying it: it refers to the bytes given to Scan. The whole
// text was found to be valid UTF-8 and JSON, so that a server may pass parts of it on.
//
// Keys are read as JavaScript reads them, for the other readers of the same bytes do so: they match exactly, after their
// escapes are resolved, and the last of a repeated key counts. (encoding/json takes "SenderPeerId" for "senderPeerId", which
// let a forged sender through where it decided.) Scanning 1.5 KB takes well under a microsecond; encoding/json took most of a
// server's time.
type Envelope struct {
	data  []byte
	typ   Type
	plain bool
	spans [numFields]struct{ from, to uint32 }
}

// Scan checks data and takes it apart. The caller must not change data while it uses e. Errors match ErrBadMessage.
func (e *Envelope) Scan(data []byte) error {
	*e = Envelope{data: data, plain: true}
	t := text{data, isPrintable(data)}
	if !t.printable && !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrBadMessage)
	}
	i := t.space(0)
	if i == len(data) || data[i] != '{' {
		return fmt.Errorf("%w: not a JSON object", ErrBadMessage)
	}
	i = e.members(&t, t.space(i+1))
	if i < 0 || t.space(i) != len(data) {
		return fmt.Errorf("%w: not valid JSON", ErrBadMessage)
	}
	if name, ok := e.Text(FieldType); ok {
		e.typ = typeOf(name)
	}
	return nil
}

// members reads from behind the opening brace of the outermost object to behind its closing one, or returns -1.
func (e *Envelope) members(t *text, i int) int {
	b := t.b
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		end := t.str(i + 1)
		if end < 0 {
			return -1
		}
		key := b[i:end]
		if i = t.space(end); i >= len(b) || b[i] != ':' {
			return -1
		}
		from := t.space(i + 1)
		to := t.value(from, 1)
		if to < 0 {
			return -1
		}
		e.put(key, from, to)
		if i = t.space(to); i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			return i + 1
		case ',':
			i = t.space(i + 1)
		default:
			return -1
		}
	}
}

// put notes the value b[from:to] of a quoted key, and whether a careless reader could see the key differently.
func (e *Envelope) put(quoted []byte, from, to int) {
	key, ok := unquote(quoted)
	if !ok || len(key) != len(quoted)-2 {
		e.plain = false
	}
	if !ok {
		return
	}
	if f, known := fieldOf(key); known {
		if e.Has(f) {
			e.plain = false
		}
		e.spans[f].from, e.spans[f].to = uint32(from), uint32(to)
		return
	}
	for f := range numFields {
		if bytes.EqualFold(key, []byte(f.String())) {
			e.plain = false
			return
		}
	}
}

// Type returns the kind of the message; "" when it has none, or one that is not known.
func (e *Envelope) Type() Type { return e.typ }

// Plain reports whether every reader sees the same message in these bytes: each known key is there at most once, written
// without escapes, and no key differs from a known one by case alone. Only then may they be passed on as they are.
func (e *Envelope) Plain() bool { return e.plain }

// Has reports whether the message has the key.
func (e *Envelope) Has(f Field) bool { return e.spans[f].to != 0 }

// Raw returns the JSON text of a value, a part of the scanned bytes; nil when the key is absent.
func (e *Envelope) Raw(f Field) []byte {
	if !e.Has(f) {
		return nil
	}
	return e.data[e.spans[f].from:e.spans[f].to:e.spans[f].to]
}

// Text returns a value that is a string, its escapes resolved; where there are none, a part of the scanned bytes. ok is false
// when the key is absent, or the value is of another type or has half of a surrogate pair, which no id or name may have.
func (e *Envelope) Text(f Field) (text []byte, ok bool) {
	raw := e.Raw(f)
	if len(raw) == 0 || raw[0] != '"' {
		return nil, false
	}
	return unquote(raw)
}

// True reports whether a value is true, and nothing else.
func (e *Envelope) True(f Field) bool { return string(e.Raw(f)) == "true" }

func typeOf(b []byte) Type {
	switch string(b) {
	case "signal":
		return TypeSignal
	case "relay":
		return TypeRelay
	case "ping":
		return TypePing
	case "join":
		return TypeJoin
	case "leave":
		return TypeLeave
	case "hello":
		return TypeHello
	case "init":
		return TypeInit
	case "joined":
		return TypeJoined
	case "peerJoined":
		return TypePeerJoined
	case "peerLeft":
		return TypePeerLeft
	case "ice":
		return TypeICE
	case "pong":
		return TypePong
	case "error":
		return TypeError
	}
	return ""
}

// AppendSignal appends the scanned signal or relay message as one that every reader understands alike: the bytes themselves where
// Plain, else the keys of such a message, each once.
func (e *Envelope) AppendSignal(dst []byte) []byte {
	if e.plain {
		return append(dst, e.data...)
	}
	dst = append(append(append(dst, `{"type":"`...), e.typ...), '"')
	for _, f := range []Field{FieldRoom, FieldSender, FieldReceiver, FieldData, FieldConnectionID} {
		if e.Has(f) {
			dst = append(dst, `,"`...)
			dst = append(dst, f.String()...)
			dst = append(dst, `":`...)
			dst = append(dst, e.Raw(f)...)
		}
	}
	return append(dst, '}')
}

// SignalSize is the number of bytes that AppendSignal appends.
func (e *Envelope) SignalSize() int {
	if e.plain {
		return len(e.data)
	}
	n := len(`{"type":""}`) + len(e.typ)
	for _, f := range []Field{FieldRoom, FieldSender, FieldReceiver, FieldData, FieldConnectionID} {
		if e.Has(f) {
			n += len(`,"":`) + len(f.String()) + len(e.Raw(f))
		}
	}
	return n
}
