package protocol_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shoaldb/shoal/shared/protocol"
)

func TestScanKeysLikeJavaScript(t *testing.T) {
	const me, other = `"aaaaaaaaaaaa"`, `"bbbbbbbbbbbb"`
	for _, tt := range []struct {
		name, text string
		sender     string // what JavaScript sees; "" for undefined or no string
		plain      bool
	}{
		{"plain", `{"type":"signal","senderPeerId":` + me + `}`, "aaaaaaaaaaaa", true},
		{"other case is another key", `{"type":"signal","SenderPeerId":` + me + `}`, "", false},
		{"other case beside", `{"senderPeerId":` + me + `,"type":"signal","SENDERPEERID":` + other + `}`, "aaaaaaaaaaaa", false},
		{"Kelvin sign", "{\"type\":\"signal\",\"to\u212Aen\":1,\"senderPeerId\":" + me + "}", "aaaaaaaaaaaa", false},
		{"the last counts", `{"type":"signal","senderPeerId":` + me + `,"senderPeerId":` + other + `}`, "bbbbbbbbbbbb", false},
		{"the last counts, escaped", `{"type":"signal","senderPeerId":` + me + `,"sender\u0050eerId":` + other + `}`, "bbbbbbbbbbbb", false},
		{"escaped first", `{"type":"signal","\u0073enderPeerId":` + other + `,"senderPeerId":` + me + `}`, "aaaaaaaaaaaa", false},
		{"only escaped", `{"type":"signal","\u0073ender\u0050eerId":` + me + `}`, "aaaaaaaaaaaa", false},
		{"escaped value", `{"type":"signal","senderPeerId":"\u0061aaaaaaaaaaa"}`, "aaaaaaaaaaaa", true},
		{"the last is no string", `{"type":"signal","senderPeerId":` + me + `,"senderPeerId":null}`, "", false},
		{"number", `{"type":"signal","senderPeerId":5}`, "", true},
		{"object", `{"type":"signal","senderPeerId":{"senderPeerId":` + me + `}}`, "", true},
		{"array", `{"type":"signal","senderPeerId":[` + me + `]}`, "", true},
		{"nested is not outside", `{"type":"signal","data":{"senderPeerId":` + me + `}}`, "", true},
		{"unknown keys", `{"type":"signal","x":1,"y":{},"senderPeerId":` + me + `,"x":2}`, "aaaaaaaaaaaa", true},
		{"half a surrogate pair", `{"type":"signal","senderPeerId":"\ud800aaaaaaaaaaa"}`, "", true},
		{"surrogate pair", `{"type":"signal","senderPeerId":"\ud83d\ude00"}`, "\U0001F600", true},
		{"white space", " {\n\t\"type\" :\r \"signal\" , \"senderPeerId\" : " + me + " } ", "aaaaaaaaaaaa", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e protocol.Envelope
			if err := e.Scan([]byte(tt.text)); err != nil {
				t.Fatal(err)
			}
			if e.Type() != protocol.TypeSignal {
				t.Errorf("type %q", e.Type())
			}
			sender, ok := e.Text(protocol.FieldSender)
			if string(sender) != tt.sender || ok != (tt.sender != "") {
				t.Errorf("sender %q, %t, want %q", sender, ok, tt.sender)
			}
			if e.Plain() != tt.plain {
				t.Errorf("plain %t", e.Plain())
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "null", "5", `"signal"`, "[]", `[{"type":"ping"}]`, "true", "{", "}", "{}}", "{} {}", `{"type":"ping",}`,
		`{type:"ping"}`, `{'type':'ping'}`, `{"type":"ping"} x`, `{"type":"ping","room":}`, `{"type" "ping"}`, `{"a":01}`, `{"a":+1}`,
		`{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":NaN}`, `{"a":tru}`, `{"a":nul`, `{"a":"` + "\x01" + `"}`, `{"a":"\x"}`,
		`{"a":"\u12g4"}`, `{"a":"\u12"}`, `{"a":"`, `{"a":"\`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":{"b"}}`, `{"a":{"b":1,}}`, "{\"a\":\"\xff\"}",
		"\ufeff{}", "{\"a\":\"\xed\xa0\x80\"}", strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70),
		`{"a":` + strings.Repeat("[", 100000) + "}",
	} {
		var e protocol.Envelope
		if err := e.Scan([]byte(text)); !errors.Is(err, protocol.ErrBadMessage) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestAppendSignal passes on what is plain as it is, and says again what is not, so that any reader sees what was checked.
func TestAppendSignal(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`{"type":"signal","later":{"x":[1]},"room":"r"}`, `{"type":"signal","later":{"x":[1]},"room":"r"}`},
		{
			`{"type":"signal","SenderPeerId":"evil","senderPeerId":"me","room":"r","receiverPeerId":"you","data":{"a":"\n"},"later":1}`,
			`{"type":"signal","room":"r","senderPeerId":"me","receiverPeerId":"you","data":{"a":"\n"}}`,
		},
		{
			`{"type":"relay","room":"r","data":"AA==","ROOM":"s","connectionId":"c"}`,
			`{"type":"relay","room":"r","data":"AA==","connectionId":"c"}`,
		},
		{
			`{"senderPeerId":"evil","type":"signal","senderPeerId":"me","connectionId":"c"}`,
			`{"type":"signal","senderPeerId":"me","connectionId":"c"}`,
		},
	} {
		var e protocol.Envelope
		if err := e.Scan([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		got := e.AppendSignal(nil)
		if string(got) != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.text, got, tt.want)
		}
		if len(got) != e.SignalSize() {
			t.Errorf("size %d, want %d", e.SignalSize(), len(got))
		}
	}
}

// FuzzScan compares with encoding/json, which agrees in all but the case of keys, on which texts are valid objects and what
// the keys of the outermost one hold.
func FuzzScan(f *testing.F) {
	f.Add(`{"type":"signal","room":"my-users-pool","data":{"sdp":"v=0\r\n","n":[1,-2.5e+3,true,null]}}`)
	f.Add(`{"type":"ping"}`)
	f.Add("{\"room\":\"\u00e4\\ud83d\\ude00\"}")
	f.Add(`{"room":"a","room":"\u0062"}`)
	f.Add(`[[[[]]]]`)
	f.Fuzz(func(t *testing.T, text string) {
		var e protocol.Envelope
		err := e.Scan([]byte(text))
		var want map[string]json.RawMessage
		valid := utf8.ValidString(text) && json.Valid([]byte(text)) && json.Unmarshal([]byte(text), &want) == nil && want != nil
		if err == nil && !valid {
			t.Fatalf("%q is not a JSON object", text)
		}
		if err != nil {
			if valid && strings.Count(text, "[")+strings.Count(text, "{") < protocol.MaxJSONDepth {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for _, f := range []protocol.Field{protocol.FieldType, protocol.FieldRoom, protocol.FieldSender, protocol.FieldData} {
			raw := want[f.String()]
			if string(raw) != string(e.Raw(f)) {
				t.Fatalf("%q: %s is %q, want %q", text, f, e.Raw(f), raw)
			}
			var s string
			if got, ok := e.Text(f); ok && (json.Unmarshal(raw, &s) != nil || s != string(got)) {
				t.Fatalf("%q: %s is %q, want %q", text, f, got, s)
			}
		}
		if again := e.AppendSignal(nil); !json.Valid(again) || len(again) != e.SignalSize() {
			t.Fatalf("%q: passed on as %q", text, again)
		}
	})
}
