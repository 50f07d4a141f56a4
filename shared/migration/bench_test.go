package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// BenchmarkRun migrates 50,000 documents of 200 bytes.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		db := memlog.New(nil).Open(nil)
		open := func(version uint32) *collection.Collection {
			log, err := db.Log(b.Context(), LogName("todos", version))
			if err != nil {
				b.Fatal(err)
			}
			c, err := collection.Open(b.Context(), "todos", log, nil)
			if err != nil {
				b.Fatal(err)
			}
			return c
		}
		from := open(0)
		writes := make([]collection.Write, 50_000)
		for i := range writes {
			id := fmt.Sprintf("%05d", i)
			writes[i] = collection.Write{Kind: collection.WriteInsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"note":"%0170d"}`, id, i)}
		}
		from.Write(b.Context(), writes)
		from.Close()
		to := open(1)
		b.StartTimer()
		err := Run(b.Context(), db, to, 1, func(_ context.Context, _ uint32, docs []collection.Document) ([]json.RawMessage, error) {
			out := make([]json.RawMessage, len(docs))
			for i, d := range docs {
				out[i] = d.Body
			}
			return out, nil
		}, nil)
		b.StopTimer()
		if err != nil || to.Count() != 50_000 {
			b.Fatal(to.Count(), err)
		}
		to.Close()
		db.Close()
		b.StartTimer()
	}
}
