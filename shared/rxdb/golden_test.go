package rxdb

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// golden returns what RxDB 17.6.0 said, by kind; e2e/rxdb captures it.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "protocol", "testdata", "rxdb", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	frames := make(map[string][]byte)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		frames[strings.TrimSuffix(filepath.Base(file), ".json")] = []byte(strings.TrimSuffix(string(text), "\n"))
	}
	return frames
}

func equalTexts(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// TestGoldenMessages reads each message of RxDB's and says the same.
func TestGoldenMessages(t *testing.T) {
	for name, text := range golden(t) {
		if strings.HasPrefix(name, "signal-") || strings.HasPrefix(name, "chunk-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var j joiner
			joined, _, err := j.join(text)
			if err != nil || joined == nil {
				t.Fatal(err)
			}
			m, err := parse(joined)
			if err != nil {
				t.Fatal(err)
			}
			var own []byte
			switch {
			case m.method != "":
				params := make([][]byte, len(m.params))
				for i, p := range m.params {
					params[i] = []byte(p.Raw)
				}
				own = request(m.id, m.method, params...)
			case name == "answer-error":
				if !m.failed() || m.remoteError() == nil {
					t.Error("the error is not seen")
				}
				return
			default:
				own = answer(m.id, []byte(m.result.Raw))
			}
			if m.failed() || !equalTexts(t, own, text) {
				t.Errorf("said is %s, want %s", own, text)
			}
			checkContent(t, &m)
		})
	}
}

// checkContent reads what is in a message and writes the same.
func checkContent(t *testing.T, m *message) {
	t.Helper()
	var docs []gjson.Result
	switch {
	case m.method == methodWrite:
		for _, row := range m.param(0).Array() {
			docs = append(docs, row.Get("newDocumentState"))
			if a := row.Get("assumedMasterState"); a.Exists() {
				docs = append(docs, a)
			}
		}
	case m.result.IsArray():
		docs = m.result.Array()
	case m.result.IsObject():
		c, err := parseChanges(m.result)
		if err != nil {
			t.Fatal(err)
		}
		docs = c.documents
		raw := make([][]byte, len(docs))
		for i, d := range docs {
			raw[i] = []byte(d.Raw)
		}
		if own := appendChanges(nil, raw, c.checkpoint); !equalTexts(t, own, []byte(m.result.Raw)) {
			t.Errorf("changes are %s, want %s", own, m.result.Raw)
		}
	}
	for _, d := range docs {
		s, err := parseState(d, "id")
		if err != nil {
			t.Fatal(err)
		}
		if own := appendState(nil, s.id, s.Content, "id"); !equalTexts(t, own, []byte(d.Raw)) {
			t.Errorf("state is %s, want %s", own, d.Raw)
		}
	}
}

// TestGoldenChunks joins RxDB's chunks, which cut a character in two, and cuts the message the same, byte for byte.
func TestGoldenChunks(t *testing.T) {
	frames := golden(t)
	list := [][]byte{frames["chunk-0"], frames["chunk-1"]}
	if !strings.Contains(string(list[0]), `\ud83d"`) {
		t.Fatal("the chunks do not cut a character")
	}
	var j joiner
	if m, _, err := j.join(list[0]); m != nil || err != nil {
		t.Fatal(err)
	}
	message, _, err := j.join(list[1])
	if err != nil || message == nil {
		t.Fatal(err)
	}
	if m, err := parse(message); err != nil || m.method != methodWrite {
		t.Fatalf("%.100s: %v", message, err)
	}
	own := chunks(message, utf16Len(message), gjson.GetBytes(list[0], "chunk.id").Str)
	if !reflect.DeepEqual(own, list) {
		t.Error("the message is cut in another way")
	}
}
