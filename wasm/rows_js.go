//go:build js

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/shoaldb/shoal/shared/collection"
)

// Rows are how writes cross. Each is two lines, which JSON text can be without escaping anything:
//
//	{kind}{version}{primary key as a JSON string}
//	{body}
//
// kind is one letter, see kindOf. version, only where kind is 'r', is the number of a replica, a colon, a counter and a colon. The body is
// empty for a removal. web/src/writes.ts writes them, having made sure that the body of an insert, upsert or replacement has
// that primary key.

// typicalRow is how many bytes of text to make room for a row for.
const typicalRow = 256

var errRows = errors.New("rows are malformed")

func kindOf(letter byte) (collection.WriteKind, bool) {
	switch letter {
	case 'i':
		return collection.WriteInsert, true
	case 'u':
		return collection.WriteUpsert, true
	case 'p':
		return collection.WritePatch, true
	case 'r':
		return collection.WriteReplace, true
	case 'd':
		return collection.WriteRemove, true
	}
	return 0, false
}

// rows reads rows. The bodies are parts of text.
func (c *core) rows(text []byte) ([]collection.Write, error) {
	writes := make([]collection.Write, 0, 1+len(text)/typicalRow)
	for len(text) > 0 {
		head, rest, ok := bytes.Cut(text, []byte("\n"))
		body, rest, ok2 := bytes.Cut(rest, []byte("\n"))
		if !ok || !ok2 || len(head) == 0 {
			return nil, errRows
		}
		text = rest
		w := collection.Write{Body: body[:len(body):len(body)]}
		if w.Kind, ok = kindOf(head[0]); !ok {
			return nil, errRows
		}
		head = head[1:]
		if w.Kind == collection.WriteReplace {
			var err error
			if head, err = c.version(head, &w); err != nil {
				return nil, err
			}
		}
		var err error
		if w.ID, err = unquote(head); err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	return writes, nil
}

// version reads what a replacement replaces and returns what follows.
func (c *core) version(head []byte, w *collection.Write) ([]byte, error) {
	number, head, ok := bytes.Cut(head, []byte(":"))
	counter, head, ok2 := bytes.Cut(head, []byte(":"))
	n, err := strconv.Atoi(string(number))
	k, err2 := strconv.ParseUint(string(counter), 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil {
		return nil, errRows
	}
	w.Version, err = c.dot(n, k)
	return head, err
}

// unquote reads a JSON string.
func unquote(b []byte) (string, error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", errRows
	}
	if inner := b[1 : len(b)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var s string
	err := json.Unmarshal(b, &s)
	return s, err
}

// outcome writes what became of writes, as JSON: `v` has the replica's number and the counter of each one's version, 0 and 0 if it failed;
// `s` lists those that were superseded; `b` has the bodies that patches made, with their rows; `e` has row, code and
// message of each error.
func (c *core) outcome(writes []collection.Write, results []collection.WriteResult) string {
	b := append(make([]byte, 0, 64+10*len(results)), `{"v":[`...)
	var superseded, bodies, failed []int
	for i := range results {
		r := &results[i]
		switch {
		case r.Err != nil:
			failed = append(failed, i)
		case r.Superseded:
			superseded = append(superseded, i)
		}
		if writes[i].Kind == collection.WritePatch && r.Err == nil {
			bodies = append(bodies, i)
		}
		b = c.appendDot(b, i, r.Document.Version)
	}
	b = append(b, `],"s":[`...)
	for i, row := range superseded {
		b = strconv.AppendInt(separate(b, i), int64(row), 10)
	}
	b = append(b, `],"b":[`...)
	for i, row := range bodies {
		b = strconv.AppendInt(append(separate(b, i), '['), int64(row), 10)
		b = append(append(append(b, ','), results[row].Document.Body...), ']')
	}
	b = append(b, `],"e":[`...)
	for i, row := range failed {
		err := results[row].Err
		b = strconv.AppendInt(append(separate(b, i), '['), int64(row), 10)
		b = appendString(append(b, ','), codeOr(err))
		b = append(appendString(append(b, ','), err.Error()), ']')
	}
	return string(append(b, `]}`...))
}

// separate appends the comma before the i-th of a list.
func separate(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always can be
	}
	return append(b, quoted...)
}
