package rxdb

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"
)

// FuzzReceive reads two texts of a peer as a session does. Whatever they are, what is kept stays within its bounds, and what is taken for a document is one.
func FuzzReceive(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "protocol", "testdata", "rxdb", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	var last []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(last, text)
		last = text
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var j joiner
		for _, text := range [][]byte{a, b} {
			m, _, err := j.join(text)
			if len(j.partial) > maxPartial || j.bytes > maxPartialBytes || j.bytes < 0 {
				t.Fatalf("%d messages with %d bytes wait", len(j.partial), j.bytes)
			}
			if err != nil || m == nil {
				continue
			}
			readMessage(t, m)
		}
	})
}

func readMessage(t *testing.T, text []byte) {
	m, err := parse(text)
	if err != nil {
		return
	}
	var docs []gjson.Result
	for _, row := range m.param(0).Array() {
		docs = append(docs, row.Get("newDocumentState"))
	}
	if c, err := parseChanges(m.result); err == nil {
		docs = append(docs, c.documents...)
	}
	for _, d := range docs {
		s, err := parseState(d, "id")
		if err != nil {
			continue
		}
		if !json.Valid(s.Body) || s.id == "" {
			t.Fatalf("%s is taken for a document: %q %s", d.Raw, s.id, s.Body)
		}
		own := appendState(nil, s.id, s.Content, "id")
		again, err := parseState(gjson.ParseBytes(own), "id")
		if err != nil || again.id != s.id || !bytes.Equal(again.Body, s.Body) || again.Deleted != s.Deleted {
			t.Fatalf("%s becomes %s, and that %s (%v)", d.Raw, own, again.Body, err)
		}
	}
}
