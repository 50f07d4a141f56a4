package protocol

import "errors"

// Code names what went wrong in an error message of the signaling server. Codes are stable.
type Code string

// The codes. After those marked final the server closes the connection.
const (
	CodeBadMessage   Code = "bad_message"    // final
	CodeTooBig       Code = "too_big"        // final
	CodeSpoofed      Code = "spoofed_sender" // final
	CodeReplaced     Code = "replaced"       // final: another connection resumed this peer
	CodeIdle         Code = "idle"           // final
	CodeGoingAway    Code = "going_away"     // final: the server stops
	CodeBadRoom      Code = "bad_room"
	CodeUnauthorized Code = "unauthorized"
	CodeExpired      Code = "token_expired"
	CodeRoomFull     Code = "room_full"
	CodeTooManyRooms Code = "too_many_rooms"
	CodeNotInRoom    Code = "not_in_room"
	CodeUnknownPeer  Code = "unknown_peer"
	CodePeerBusy     Code = "peer_busy"
	CodeRelayDenied  Code = "relay_denied" // the server does not relay, or not for this client, or not to that peer
	CodeRelayLimit   Code = "relay_limit"  // more than the server relays for a client in that time
	CodeRelayBusy    Code = "relay_busy"   // the receiver does not keep up
	CodeInternal     Code = "internal"
)

// The errors behind the codes, for errors.Is.
var (
	ErrBadMessage   = errors.New("signaling: bad message")
	ErrTooBig       = errors.New("signaling: message too big")
	ErrSpoofed      = errors.New("signaling: sender is not the peer of this connection")
	ErrReplaced     = errors.New("signaling: another connection resumed this peer")
	ErrIdle         = errors.New("signaling: nothing heard for too long")
	ErrGoingAway    = errors.New("signaling: server stops")
	ErrBadRoom      = errors.New("signaling: room name must have 6 to 99 characters")
	ErrUnauthorized = errors.New("signaling: not allowed in the room")
	ErrExpired      = errors.New("signaling: token expired")
	ErrRoomFull     = errors.New("signaling: room is full")
	ErrTooManyRooms = errors.New("signaling: too many rooms on one connection")
	ErrNotInRoom    = errors.New("signaling: not in the room")
	ErrUnknownPeer  = errors.New("signaling: no such peer in the room")
	ErrPeerBusy     = errors.New("signaling: peer does not keep up")
	ErrRelayDenied  = errors.New("signaling: server does not relay")
	ErrRelayLimit   = errors.New("signaling: more than the server relays at once")
	ErrRelayBusy    = errors.New("signaling: peer does not keep up with what is relayed")
	ErrInternal     = errors.New("signaling: internal error")
)

// Err returns the sentinel of a code, or nil for a code that this version does not know.
func (c Code) Err() error {
	switch c {
	case CodeBadMessage:
		return ErrBadMessage
	case CodeTooBig:
		return ErrTooBig
	case CodeSpoofed:
		return ErrSpoofed
	case CodeReplaced:
		return ErrReplaced
	case CodeIdle:
		return ErrIdle
	case CodeGoingAway:
		return ErrGoingAway
	case CodeBadRoom:
		return ErrBadRoom
	case CodeUnauthorized:
		return ErrUnauthorized
	case CodeExpired:
		return ErrExpired
	case CodeRoomFull:
		return ErrRoomFull
	case CodeTooManyRooms:
		return ErrTooManyRooms
	case CodeNotInRoom:
		return ErrNotInRoom
	case CodeUnknownPeer:
		return ErrUnknownPeer
	case CodePeerBusy:
		return ErrPeerBusy
	case CodeRelayDenied:
		return ErrRelayDenied
	case CodeRelayLimit:
		return ErrRelayLimit
	case CodeRelayBusy:
		return ErrRelayBusy
	case CodeInternal:
		return ErrInternal
	}
	return nil
}

// Codes lists every code.
func Codes() []Code {
	return []Code{
		CodeBadMessage, CodeTooBig, CodeSpoofed, CodeReplaced, CodeIdle, CodeGoingAway, CodeBadRoom, CodeUnauthorized,
		CodeExpired, CodeRoomFull, CodeTooManyRooms, CodeNotInRoom, CodeUnknownPeer, CodePeerBusy,
		CodeRelayDenied, CodeRelayLimit, CodeRelayBusy, CodeInternal,
	}
}

// CodeOf returns the code of the sentinel that err matches, CodeInternal where it matches none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	for _, c := range Codes() {
		if errors.Is(err, c.Err()) {
			return c
		}
	}
	return CodeInternal
}

// Final reports whether the server closes the connection after an error of this code.
func (c Code) Final() bool {
	switch c {
	case CodeBadMessage, CodeTooBig, CodeSpoofed, CodeReplaced, CodeIdle, CodeGoingAway:
		return true
	}
	return false
}

// RemoteError is an error that the signaling server told. It matches the sentinel of its code.
type RemoteError struct {
	Code    Code
	Message string // for a person, may be empty
}

// Error returns the server's words with the code.
func (e *RemoteError) Error() string {
	if e.Message == "" {
		return "signaling server: " + string(e.Code)
	}
	return "signaling server: " + e.Message + " (" + string(e.Code) + ")"
}

// Unwrap returns the sentinel of the code.
func (e *RemoteError) Unwrap() error { return e.Code.Err() }
