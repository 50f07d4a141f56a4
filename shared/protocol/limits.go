package protocol

import (
	"time"
	"unicode/utf8"
)

// Limits of signaling. Those of RxDB's dialect come from RxDB 17.6, rxdb/src/plugins/replication-webrtc, files
// signaling-server.ts and connection-handler-simple-peer.ts.
const (
	// MaxSignalingMessage is the largest signaling message in bytes. An SDP with a data channel has 1 to 2 KB; RxDB's server
	// takes 100 MiB, the default of its WebSocket library.
	MaxSignalingMessage = 64 << 10
	// MaxSignalingReply is the largest message that a client takes from a server: the member list of a big room.
	MaxSignalingReply = 4 << 20
	// MaxJSONDepth is how deep arrays and objects may nest in a signaling message.
	MaxJSONDepth = 64

	// PeerIDLength is the length of the ids that the server gives out, of letters a-z: PEER_ID_LENGTH in signaling-server.ts.
	PeerIDLength = 12
	// MinRoomName and MaxRoomName bound a room's name in UTF-16 code units: validateIdString in signaling-server.ts.
	MinRoomName = 6
	MaxRoomName = 99
	// MaxToken is the largest room token or resume token in bytes.
	MaxToken = 8 << 10

	// IdleTimeout ends a connection on which the client said nothing, not even ping: SIMPLE_PEER_PING_INTERVAL in
	// connection-handler-simple-peer.ts.
	IdleTimeout = 2 * time.Minute
	// PingInterval is how often an RxDB client says ping: half of IdleTimeout, as there.
	PingInterval = IdleTimeout / 2
	// ShoalPingInterval is how often a Shoal client says ping. Each is answered, so it serves both ends; proxies commonly
	// close what is silent for 60 s.
	ShoalPingInterval = 25 * time.Second

	// ConnectTimeout bounds one attempt to reach the server, SIMPLE_PEER_CONNECT_TIMEOUT.
	ConnectTimeout = 15 * time.Second
	// ReconnectMin and ReconnectMax bound the delay between attempts, SIMPLE_PEER_RECONNECT_DELAY_MIN and _MAX.
	ReconnectMin = 500 * time.Millisecond
	ReconnectMax = 15 * time.Second
)

// ValidRoom reports whether name may name a room: well-formed text of MinRoomName to MaxRoomName UTF-16 code units.
func ValidRoom[T ~string | ~[]byte](name T) bool {
	if len(name) < MinRoomName || len(name) > 3*MaxRoomName {
		return false
	}
	units := 0
	for _, r := range string(name) {
		units++
		if r > 0xFFFF {
			units++
		}
	}
	return units >= MinRoomName && units <= MaxRoomName && utf8.ValidString(string(name))
}
