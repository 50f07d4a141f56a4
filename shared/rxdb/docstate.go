package rxdb

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/tidwall/gjson"
)

// The fields of a document that are RxDB's: RxDocumentData in its types.
const (
	fieldDeleted     = "_deleted"
	fieldRevision    = "_rev"
	fieldMeta        = "_meta"
	fieldAttachments = "_attachments"
)

// docState is a document as the protocol has it.
type docState struct {
	id string
	collection.Content
}

// parseState reads a document state. The error matches ErrDocument if another document would do.
func parseState(v gjson.Result, primaryKey string) (docState, error) {
	var s docState
	if !v.IsObject() {
		return s, fmt.Errorf("%w: document is no object", ErrMessage)
	}
	attached, kept := false, 0
	body := append(make([]byte, 0, len(v.Raw)), '{')
	v.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case fieldDeleted:
			s.Deleted = value.Type == gjson.True
		case fieldRevision, fieldMeta:
		case fieldAttachments:
			attached = value.IsObject() && len(value.Map()) > 0
		default:
			if key.Str == primaryKey && value.Type == gjson.String {
				s.id = value.Str
			}
			if kept > 0 {
				body = append(body, ',')
			}
			kept++
			body = append(append(append(body, key.Raw...), ':'), value.Raw...)
		}
		return true
	})
	s.Body = append(body, '}')
	switch {
	case s.id == "":
		return s, fmt.Errorf("%w: primary key %q is missing or no string", ErrDocument, primaryKey)
	case len(s.id) > block.MaxID:
		return s, fmt.Errorf("%w: primary key has %d bytes, at most %d are allowed", ErrDocument, len(s.id), block.MaxID)
	case len(s.Body) > block.MaxBody:
		return s, fmt.Errorf("%w: %q has %d bytes, at most %d are allowed", ErrDocument, s.id, len(s.Body), block.MaxBody)
	case attached:
		return s, fmt.Errorf("%w: %q has attachments, which are not replicated", ErrDocument, s.id)
	}
	return s, nil
}

// appendState appends a document state as JSON text. A tombstone without a body gets the primary key.
func appendState(dst []byte, id string, c collection.Content, primaryKey string) []byte {
	dst = append(dst, '{')
	if len(c.Body) == 0 {
		dst = append(append(append(dst, quote(primaryKey)...), ':'), quote(id)...)
	} else {
		first := true
		gjson.ParseBytes(c.Body).ForEach(func(key, value gjson.Result) bool {
			switch key.Str {
			case fieldDeleted, fieldRevision, fieldMeta, fieldAttachments:
				return true // of an application that has such fields of its own: RxDB has other uses for them
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(append(dst, key.Raw...), ':'), value.Raw...)
			return true
		})
	}
	if c.Deleted {
		return append(dst, `,"_deleted":true}`...)
	}
	return append(dst, `,"_deleted":false}`...)
}

// digest tells contents apart. Two tombstones are equal, whatever is kept of their fields.
type digest [16]byte

func digestOf(c collection.Content) digest {
	if c.Deleted {
		return digest{1}
	}
	var d digest
	sum := sha256.Sum256(canonical(c.Body))
	copy(d[:], sum[:])
	return d
}

// canonical returns JSON text that is the same for values that are equal.
func canonical(body []byte) []byte {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return body
	}
	text, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return text
}
