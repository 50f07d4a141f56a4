package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/protocol"
)

// golden is one message of each kind, by the name of its file.
func golden() map[string]protocol.Message {
	const room, me, you = "my-users-pool", "kqpxwzrtmbva", "vbmtrzwxpqka"
	peer := protocol.PeerInfo{ID: you, Dialect: protocol.DialectShoal}
	offer := json.RawMessage(`{"type":"offer","sdp":"v=0\r\n"}`)
	return map[string]protocol.Message{
		"hello":        {Type: protocol.TypeHello},
		"hello-resume": {Type: protocol.TypeHello, Resume: me + ".c2VjcmV0"},
		"init":         {Type: protocol.TypeInit, YourPeerID: me, Resume: me + ".c2VjcmV0"},
		"join":         {Type: protocol.TypeJoin, Room: room, Token: "eyJhbGciOiJFZERTQSJ9.e30.c2ln"},
		"join-rxdb":    {Type: protocol.TypeJoin, Room: room, RxDB: true, AlwaysOn: true},
		"joined-rxdb": {Type: protocol.TypeJoined, Room: room, Peers: []protocol.PeerInfo{
			{ID: "rxrxrxrxrxrx", Dialect: protocol.DialectRxDB, ServedBy: me},
			{ID: "ryryryryryry", Dialect: protocol.DialectRxDB, ServedBy: protocol.ServedByAll},
		}},
		"peer-served": {Type: protocol.TypePeerJoined, Room: room, Peer: &protocol.PeerInfo{
			ID: "rxrxrxrxrxrx", Dialect: protocol.DialectRxDB, ServedBy: you,
		}},
		"leave":         {Type: protocol.TypeLeave, Room: room},
		"joined":        {Type: protocol.TypeJoined, Room: room, Peers: []protocol.PeerInfo{{ID: "rxrxrxrxrxrx", Dialect: protocol.DialectRxDB}, peer}},
		"joined-alone":  {Type: protocol.TypeJoined, Room: room, Peers: []protocol.PeerInfo{}},
		"joined-ttl":    {Type: protocol.TypeJoined, Room: room, Peers: []protocol.PeerInfo{peer}, TTL: 3600},
		"peer-joined":   {Type: protocol.TypePeerJoined, Room: room, Peer: &peer},
		"peer-left":     {Type: protocol.TypePeerLeft, Room: room, PeerID: you},
		"signal":        {Type: protocol.TypeSignal, Room: room, SenderPeerID: me, ReceiverPeerID: you, Data: offer},
		"ice":           {Type: protocol.TypeICE, ICEServers: []protocol.ICEServer{{URLs: []string{"turn:example.com:3478?transport=udp"}, Username: "1760000000:" + me, Credential: "c2VjcmV0"}}, TTL: 3600},
		"relay":         {Type: protocol.TypeRelay, Room: room, SenderPeerID: me, ReceiverPeerID: you, Data: json.RawMessage(`"AwABAgM="`)},
		"error-relay":   {Type: protocol.TypeError, Code: protocol.CodeRelayLimit, Text: "not relayed", Room: room, ReceiverPeerID: you},
		"ping":          {Type: protocol.TypePing},
		"pong":          {Type: protocol.TypePong},
		"error":         {Type: protocol.TypeError, Code: protocol.CodeUnknownPeer, Text: "signal not delivered", Room: room, ReceiverPeerID: you},
		"error-final":   {Type: protocol.TypeError, Code: protocol.CodeGoingAway, Text: "the server stops, connect again"},
		"error-expired": {Type: protocol.TypeError, Code: protocol.CodeExpired, Text: "token expired, join again with a new one", Room: room},
		"rxdb-init":     {Type: protocol.TypeInit, YourPeerID: me},
		"rxdb-join":     {Type: protocol.TypeJoin, Room: room},
		"rxdb-joined":   {Type: protocol.TypeJoined, OtherPeerIDs: []string{me, you}},
		"rxdb-signal":   {Type: protocol.TypeSignal, Room: room, SenderPeerID: me, ReceiverPeerID: you, Data: offer, ConnectionID: "hdkwpqmzrt"},
		"rxdb-ping":     {Type: protocol.TypePing},
	}
}

func TestGolden(t *testing.T) {
	for name, m := range golden() {
		t.Run(name, func(t *testing.T) {
			got, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "signaling", name+".json")
			if *protocol.Update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want = bytes.TrimSpace(want)
			if !bytes.Equal(got, want) {
				t.Errorf("encoded\n%s, want\n%s", got, want)
			}
			read, err := protocol.ParseMessage(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*read, m) {
				t.Errorf("read\n%+v, want\n%+v", *read, m)
			}
		})
	}
}

func TestAppendInit(t *testing.T) {
	for _, name := range []string{"init", "rxdb-init"} {
		m := golden()[name]
		want, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := protocol.AppendInit(nil, m.YourPeerID, m.Resume); !bytes.Equal(got, want) {
			t.Errorf("appended %s, want %s", got, want)
		}
	}
}

// TestGoldenFiles finds files of messages that no longer exist.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "signaling", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, f := range files {
		if _, ok := golden()[strings.TrimSuffix(filepath.Base(f), ".json")]; !ok {
			t.Errorf("%s is of no message", f)
		}
	}
}

func TestParseMessageRefuses(t *testing.T) {
	for _, text := range []string{
		`null`, `{"type":"init","yourPeerId":5}`, `{"type":"joined","peers":{}}`, `{"type":"joined","otherPeerIds":[1]}`,
		`{"type":"join","rxdb":1}`, `{"type":"join","alwaysOn":"true"}`,
		`{"type":"ice","ttl":"1"}`, `{"type":"peerJoined","peer":[]}`, `{"type":"signal","room":["r"]}`,
	} {
		if m, err := protocol.ParseMessage([]byte(text)); !errors.Is(err, protocol.ErrBadMessage) {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

func TestEncodeRefusesBadData(t *testing.T) {
	m := protocol.Message{Type: protocol.TypeSignal, Data: json.RawMessage(`{"a"`)}
	if text, err := m.Encode(); err == nil {
		t.Errorf("encoded %s", text)
	}
}

func TestCodes(t *testing.T) {
	seen := make(map[error]bool)
	for _, c := range protocol.Codes() {
		err := c.Err()
		if err == nil || seen[err] {
			t.Errorf("%s has no error of its own", c)
		}
		seen[err] = true
		if got := protocol.CodeOf(err); got != c {
			t.Errorf("%s comes back as %s", c, got)
		}
		remote := error(&protocol.RemoteError{Code: c, Message: "why"})
		if !errors.Is(remote, err) {
			t.Errorf("remote error of %s does not match", c)
		}
	}
	if got := protocol.CodeOf(nil); got != "" {
		t.Errorf("nil has code %q", got)
	}
	if got := protocol.CodeOf(errors.New("other")); got != protocol.CodeInternal {
		t.Errorf("unknown error has code %q", got)
	}
	if protocol.Code("from_the_future").Err() != nil {
		t.Error("unknown code has an error")
	}
}

func TestValidRoom(t *testing.T) {
	for _, tt := range []struct {
		name  string
		valid bool
	}{
		{"", false},
		{"five5", false},
		{"sixsix", true},
		{strings.Repeat("x", 99), true},
		{strings.Repeat("x", 100), false},
		{"\U0001F600\U0001F600\U0001F600", true}, // six UTF-16 code units
		{"\U0001F600\U0001F600", false},
		{strings.Repeat("\u00e4", 99), true},
		{strings.Repeat("\U0001F600", 50), false},
		{strings.Repeat("x", 10000), false},
		{"bad\xff\xff\xff", false},
	} {
		if got := protocol.ValidRoom(tt.name); got != tt.valid {
			t.Errorf("%.20q: %t", tt.name, got)
		}
		if got := protocol.ValidRoom([]byte(tt.name)); got != tt.valid {
			t.Errorf("%.20q as bytes: %t", tt.name, got)
		}
	}
}
