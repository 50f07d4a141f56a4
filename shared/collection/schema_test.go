package collection

import "testing"

func TestHashSchema(t *testing.T) {
	hash := func(text string) [32]byte {
		t.Helper()
		h, err := HashSchema([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base := hash(`{"version":1,"properties":{"a":{"type":"string"},"title":{"type":"string"}}}`)
	for _, same := range []string{
		`{ "properties": {"title":{"type":"string"}, "a":{"type":"string"}}, "version": 1 }`,
		`{"version":1,"title":"People","indexes":["a"],"properties":{"a":{"type":"string"},"title":{"type":"string"}}}`,
	} {
		if hash(same) != base {
			t.Errorf("another hash: %s", same)
		}
	}
	for _, other := range []string{
		`{"version":2,"properties":{"a":{"type":"string"},"title":{"type":"string"}}}`,
		`{"version":1,"properties":{"a":{"type":"string"}}}`,
		`{"version":1,"properties":{"a":{"type":"number"},"title":{"type":"string"}}}`,
		`{}`,
	} {
		if hash(other) == base {
			t.Errorf("the same hash: %s", other)
		}
	}
	for _, bad := range []string{``, `[]`, `"x"`, `{`} {
		if _, err := HashSchema([]byte(bad)); err == nil {
			t.Errorf("no error: %s", bad)
		}
	}
}
