package rxdb

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"
)

// The methods of a peer, and the id of change events, which are answers that nobody asked for: webrtc-types.ts and index.ts of RxDB's
// plugin replication-webrtc.
const (
	methodToken        = "token"
	methodChangesSince = "masterChangesSince"
	methodWrite        = "masterWrite"
	changeStream       = "masterChangeStream$"
	resync             = "RESYNC"
)

// message is a request, if method is not "", or an answer.
type message struct {
	id     string
	method string
	params []gjson.Result
	result gjson.Result
	fault  gjson.Result // of an answer that tells an error

	at      uint64 // of an answer: the number of the message
	tooLong bool   // of an answer that was too long to be taken
}

// parse reads a message, which is a JSON object.
func parse(text []byte) (message, error) {
	var m message
	var method gjson.Result
	var params gjson.Result
	id := gjson.Result{}
	gjson.ParseBytes(text).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "id":
			id = value
		case "method":
			method = value
		case "params":
			params = value
		case "result":
			m.result = value
		case "error":
			m.fault = value
		}
		return true
	})
	if id.Type != gjson.String || len(id.Str) > maxIDText {
		return m, fmt.Errorf("%w: without an id that is a string of at most %d bytes", ErrMessage, maxIDText)
	}
	m.id = id.Str
	if method.Type == gjson.String {
		m.method = method.Str
		if params.IsArray() {
			m.params = params.Array()
		}
	}
	return m, nil
}

// param returns a parameter of a request, one that does not exist if there are fewer.
func (m *message) param(i int) gjson.Result {
	if i < len(m.params) {
		return m.params[i]
	}
	return gjson.Result{}
}

// failed reports whether an answer tells an error, as RxDB sees it: by a value that is true to JavaScript.
func (m *message) failed() bool {
	switch m.fault.Type {
	case gjson.Null, gjson.False:
		return false
	case gjson.String:
		return m.fault.Str != ""
	}
	return m.fault.Exists()
}

// remoteError is the error that an answer tells.
func (m *message) remoteError() error {
	const most = 500
	text := m.fault.Get("message").String()
	if text == "" {
		text = m.fault.String()
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Errorf("%w: %q", ErrRemote, text)
}

// request returns the text of a request. Each of params is JSON.
func request(id, method string, params ...[]byte) []byte {
	b := append([]byte(`{"id":`), quote(id)...)
	b = append(append(b, `,"method":`...), quote(method)...)
	b = append(b, `,"params":[`...)
	for i, p := range params {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p...)
	}
	return append(b, `]}`...)
}

// answer returns the text of an answer. result is JSON.
func answer(id string, result []byte) []byte {
	b := append([]byte(`{"id":`), quote(id)...)
	b = append(append(b, `,"result":`...), result...)
	return append(b, '}')
}

// answerError returns the text of an answer that tells an error, in the form of RxDB's errorToPlainJson.
func answerError(id string, err error) []byte {
	b := append([]byte(`{"id":`), quote(id)...)
	b = append(append(b, `,"result":null,"error":{"name":"Error","message":`...), quote(err.Error())...)
	return append(b, `}}`...)
}

// quote returns s as a JSON string, as JSON.stringify writes it.
func quote(s string) []byte {
	b := append(make([]byte, 0, len(s)+2), '"')
	c := cutter{rest: []byte(s)}
	return append(c.appendUnits(b, 2*len(s)), '"')
}

// changes is a batch of document states with the checkpoint after them: an answer to masterChangesSince, and a change event.
type changes struct {
	documents  []gjson.Result
	checkpoint json.RawMessage // an object, or null
}

// maxCheckpoint bounds the JSON text of a checkpoint. RxDB's have an id and a time, one of each for every shard.
const maxCheckpoint = 16 << 10

func parseChanges(v gjson.Result) (changes, error) {
	docs := v.Get("documents")
	if !v.IsObject() || !docs.IsArray() {
		return changes{}, fmt.Errorf("%w: changes without documents", ErrMessage)
	}
	c := changes{documents: docs.Array(), checkpoint: json.RawMessage("null")}
	if cp := v.Get("checkpoint"); cp.IsObject() {
		c.checkpoint = json.RawMessage(cp.Raw)
	}
	if len(c.checkpoint) > maxCheckpoint {
		return changes{}, fmt.Errorf("%w: checkpoint of %d bytes, at most %d are allowed", ErrMessage, len(c.checkpoint), maxCheckpoint)
	}
	return c, nil
}

func appendChanges(dst []byte, documents [][]byte, checkpoint []byte) []byte {
	dst = append(dst, `{"documents":[`...)
	for i, d := range documents {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, d...)
	}
	dst = append(append(dst, `],"checkpoint":`...), checkpoint...)
	return append(dst, '}')
}

func itoa(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }
