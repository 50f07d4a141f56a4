package hub_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// pair is two peers of one dialect in a room, to see that the server still works.
func pair(t *testing.T, s *server, dialect protocol.Dialect) (a, b *peer) {
	t.Helper()
	a, b = s.connect(t, dialect), s.connect(t, dialect)
	a.join("healthy-room")
	a.sync()
	b.join("healthy-room")
	if dialect == shoal {
		b.expect(protocol.TypeJoined)
		a.expect(protocol.TypePeerJoined)
	} else {
		a.list(a.id, b.id)
		b.list(a.id, b.id)
	}
	return a, b
}

func healthy(t *testing.T, a, b *peer) {
	t.Helper()
	a.signal("healthy-room", b.id, `"are you there"`)
	for {
		m := b.next()
		if m.Type == protocol.TypeSignal {
			if m.SenderPeerID != a.id {
				t.Fatalf("signal %+v", m)
			}
			return
		}
	}
}

// TestSpoofing tries to speak for another: %a is the sender, %b its victim, %c the receiver.
func TestSpoofing(t *testing.T) {
	const tail = `,"receiverPeerId":"%c","room":"healthy-room","data":"forged"}`
	for name, text := range map[string]string{
		"the victim's id":          `{"type":"signal","senderPeerId":"%b"` + tail,
		"no id":                    `{"type":"signal"` + tail,
		"null":                     `{"type":"signal","senderPeerId":null` + tail,
		"array":                    `{"type":"signal","senderPeerId":["%a"]` + tail,
		"other case only":          `{"type":"signal","SenderPeerId":"%a"` + tail,
		"the last is the victim's": `{"type":"signal","senderPeerId":"%a","senderPeerId":"%b"` + tail,
		"the same, escaped":        `{"type":"signal","senderPeerId":"%a","sender\u0050eerId":"%b"` + tail,
		"blank":                    `{"type":"signal","senderPeerId":"%a "` + tail,
		"upper case":               `{"type":"signal","senderPeerId":"%A"` + tail,
	} {
		for _, dialect := range []protocol.Dialect{shoal, rxdb} {
			t.Run(name+", "+string(dialect), func(t *testing.T) {
				s := serve(t, nil)
				victim, receiver := pair(t, s, dialect)
				a := s.connect(t, dialect)
				a.join("healthy-room")
				a.sync()
				text := strings.ReplaceAll(replace(text, a, victim), "%c", receiver.id)
				a.text(strings.ReplaceAll(text, "%A", strings.ToUpper(a.id)))
				a.expectClose(ws.StatusPolicyViolation)
				a.expectEnd()
				healthy(t, victim, receiver) // its signal is the first to arrive
			})
		}
	}
}

// TestLookalikes sends what is true by JavaScript's rules, and could be read differently by others: it must arrive as what
// every reader takes for the truth.
func TestLookalikes(t *testing.T) {
	s := serve(t, nil)
	a, b := pair(t, s, shoal)
	const tail = `,"receiverPeerId":"%b","room":"healthy-room","data":{"n":1}}`
	want := replace(`{"type":"signal","room":"healthy-room","senderPeerId":"%a","receiverPeerId":"%b","data":{"n":1}}`, a, b)
	for name, text := range map[string]string{
		"other case beside": `{"type":"signal","senderPeerId":"%a","SenderPeerId":"%b"` + tail,
		"other case before": `{"type":"signal","SENDERPEERID":"%b","senderPeerId":"%a"` + tail,
		"twice":             `{"type":"signal","senderPeerId":"%b","senderPeerId":"%a"` + tail,
		"escaped":           `{"type":"signal","senderPeerId":"%b","sender\u0050eerId":"%a"` + tail,
		"two types":         `{"type":"join","type":"signal","senderPeerId":"%a"` + tail,
		"two receivers":     `{"type":"signal","senderPeerId":"%a","receiverPeerId":"%a"` + tail,
	} {
		a.text(replace(text, a, b))
		for {
			_, got, err := b.frame()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(got, []byte(`"signal"`)) {
				if string(got) != want {
					t.Errorf("%s: arrived as\n%s, want\n%s", name, got, want)
				}
				break
			}
		}
	}
}

func TestBadMessages(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "number": "5", "string": `"join"`, "array": `[{"type":"ping"}]`, "true": "true", "no object": "{",
		"two objects": `{"type":"ping"}{"type":"ping"}`, "trailing comma": `{"type":"ping",}`, "no type": `{}`, "null type": `{"type":null}`,
		"array type": `{"type":["ping"]}`, "unknown type": `{"type":"shutdown"}`, "server's type": `{"type":"joined","otherPeerIds":[]}`,
		"invalid UTF-8": "{\"type\":\"ping\",\"x\":\"\xff\"}", "control character": "{\"type\":\"ping\",\"x\":\"\n\"}",
		"deep": `{"type":"ping","x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, "garbage": "\x00\x01\x02",
	} {
		for _, dialect := range []protocol.Dialect{shoal, rxdb} {
			t.Run(name+", "+string(dialect), func(t *testing.T) {
				s := serve(t, nil)
				a, b := pair(t, s, dialect)
				p := s.connect(t, dialect)
				p.text(text)
				if dialect == shoal {
					p.expectError(protocol.CodeBadMessage)
				}
				p.expectClose(ws.StatusInvalidFramePayloadData)
				p.expectEnd()
				healthy(t, a, b)
			})
		}
	}
}

// TestBadFrames sends what RFC 6455 does not allow.
func TestBadFrames(t *testing.T) {
	masked := func(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }
	ping := []byte(`{"type":"ping"}`)
	big := bytes.Repeat([]byte(" "), protocol.MaxSignalingMessage+1)
	for name, tt := range map[string]struct {
		bytes  []byte
		status ws.StatusCode
	}{
		"binary":                 {masked(ws.NewBinaryFrame(ping)), ws.StatusUnsupportedData},
		"binary garbage":         {masked(ws.NewBinaryFrame([]byte{0, 255, 1})), ws.StatusUnsupportedData},
		"not masked":             {ws.MustCompileFrame(ws.NewTextFrame(ping)), ws.StatusProtocolError},
		"reserved bit":           {masked(ws.Frame{Header: ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText, Length: 15}, Payload: ping}), ws.StatusProtocolError},
		"reserved opcode":        {masked(ws.NewFrame(3, true, ping)), ws.StatusProtocolError},
		"continuation of what":   {masked(ws.NewFrame(ws.OpContinuation, true, ping)), ws.StatusProtocolError},
		"text within fragments":  {append(masked(ws.NewFrame(ws.OpText, false, ping)), masked(ws.NewTextFrame(ping))...), ws.StatusProtocolError},
		"ping in parts":          {masked(ws.NewFrame(ws.OpPing, false, nil)), ws.StatusProtocolError},
		"big ping":               {masked(ws.NewFrame(ws.OpPing, true, big[:126])), ws.StatusProtocolError},
		"oversize":               {masked(ws.NewTextFrame(big)), ws.StatusMessageTooBig},
		"declared oversize":      {[]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ws.StatusMessageTooBig},
		"impossible length":      {[]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ws.StatusProtocolError},
		"oversize in parts":      {append(masked(ws.NewFrame(ws.OpText, false, big[:60000])), masked(ws.NewFrame(ws.OpContinuation, true, big[:60000]))...), ws.StatusMessageTooBig},
		"not a frame":            {[]byte("GET / HTTP/1.1\r\n\r\n"), ws.StatusProtocolError},
		"close with bad status":  {masked(ws.NewCloseFrame([]byte{0, 1})), ws.StatusProtocolError},
		"close with one byte":    {masked(ws.NewCloseFrame([]byte{3})), ws.StatusProtocolError},
		"close with bad reason":  {masked(ws.NewCloseFrame(append(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""), 0xff))), ws.StatusProtocolError},
		"close as it should be":  {masked(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "bye"))), ws.StatusNormalClosure},
		"close from going away":  {masked(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, ""))), ws.StatusGoingAway},
		"message, then not text": {append(masked(ws.NewTextFrame(ping)), masked(ws.NewBinaryFrame(nil))...), ws.StatusUnsupportedData},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			a, b := pair(t, s, rxdb)
			p := s.connect(t, rxdb)
			if _, err := p.conn.Write(tt.bytes); err != nil {
				t.Fatal(err)
			}
			p.expectCloseOnly(tt.status)
			healthy(t, a, b)
		})
	}
}

// expectCloseOnly is expectClose for a peer that may not answer any more.
func (p *peer) expectCloseOnly(status ws.StatusCode) {
	p.t.Helper()
	h, payload, err := p.frame()
	if err != nil || h.OpCode != ws.OpClose {
		p.t.Fatalf("got %v %q, %v", h.OpCode, payload, err)
	}
	if code, reason := ws.ParseCloseFrameData(payload); code != status {
		p.t.Fatalf("closed with %d %q, want %d", code, reason, status)
	}
	if _, err := io.Copy(io.Discard, p.in); err != nil && status != ws.StatusMessageTooBig && status != ws.StatusProtocolError {
		p.t.Fatalf("end: %v", err)
	}
}

// TestFrames sends what RFC 6455 allows, in all the ways it may arrive.
func TestFrames(t *testing.T) {
	s := serve(t, nil)
	a, b := pair(t, s, shoal)
	text := []byte(replace(`{"type":"signal","senderPeerId":"%a","receiverPeerId":"%b","room":"healthy-room","data":"`, a, b) +
		strings.Repeat("x", 40000) + `"}`)
	arrives := func(how string) {
		t.Helper()
		if _, got, err := b.frame(); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%s: arrived as %.100q, %v", how, got, err)
		}
	}
	a.raw(ws.OpText, true, text)
	arrives("whole")
	a.raw(ws.OpText, false, nil)
	for part := range slices.Chunk(text, 7000) {
		a.raw(ws.OpContinuation, false, part)
		a.raw(ws.OpPing, true, []byte("between"))
	}
	a.raw(ws.OpContinuation, true, nil)
	arrives("in parts")
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(text)))
	for len(frame) > 0 {
		n := min(len(frame), 1+len(frame)%977)
		if _, err := a.conn.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		frame = frame[n:]
	}
	arrives("in pieces")
	small := []byte(replace(`{"type":"signal","senderPeerId":"%a","receiverPeerId":"%b","room":"healthy-room","data":1}`, a, b))
	if _, err := a.conn.Write(bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(small))), 2000)); err != nil {
		t.Fatal(err)
	}
	text = small
	for range 2000 {
		arrives("many at once")
	}
}
