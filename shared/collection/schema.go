package collection

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// HashSchema returns the hash by which replicas tell whether they mean the same by a schema, a JSON object: equal for texts that differ in
// white space, the order of keys, or what says nothing about documents, as indexes, title and description at its top.
func HashSchema(text []byte) ([32]byte, error) {
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		return [32]byte{}, fmt.Errorf("hash schema: %w", err)
	}
	for _, key := range []string{"indexes", "title", "description", "$schema", "$id", "$comment", "examples", "keyCompression"} {
		delete(schema, key)
	}
	canonical, err := json.Marshal(schema) // which sorts keys
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash schema: %w", err)
	}
	return sha256.Sum256(canonical), nil
}
