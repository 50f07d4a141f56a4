package finder

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func fill(b *testing.B, c *collection.Collection, n int) {
	b.Helper()
	writes := make([]collection.Write, n)
	for i := range writes {
		id := fmt.Sprintf("p%05d", i)
		writes[i] = collection.Write{Kind: collection.WriteInsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d,"city":"c%d","note":"%0150d"}`, id, i%1000, i%50, i)}
	}
	for _, r := range c.Write(b.Context(), writes) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkFind answers queries on 50,000 documents of 200 bytes.
func BenchmarkFind(b *testing.B) {
	c, f := open(b, memlog.New(nil), nil)
	fill(b, c, 50_000)
	b.Run("first", func(b *testing.B) { // makes the indexes
		for b.Loop() {
			f := New(c, mustSchema(b), nil)
			if _, err := f.Find(b.Context(), f.mustParse(b, `{"selector":{"n":1}}`)); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	for _, text := range []string{`{"selector":{"n":{"$gte":500,"$lt":520}}}`, `{"selector":{"city":"c7"},"sort":[{"n":"desc"}],"limit":20}`, `{}`} {
		q := f.mustParse(b, text)
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Find(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("count", func(b *testing.B) {
		q := f.mustParse(b, `{"selector":{"n":{"$lt":500}}}`)
		for b.Loop() {
			if n, err := f.Count(b.Context(), q); n != 25_000 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkLiveUpdate changes one of 10,000 documents, all of which a live query has in sorted order, until it is told of it.
func BenchmarkLiveUpdate(b *testing.B) {
	c, f := open(b, memlog.New(nil), nil)
	fill(b, c, 10_000)
	told := make(chan int, 16)
	live, err := f.Live(b.Context(), f.mustParse(b, `{"sort":[{"n":"asc"}]}`), func([]*document.Entry) {}, func(edits []query.Edit) { told <- len(edits) })
	if err != nil {
		b.Fatal(err)
	}
	defer live.Stop()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Patch(b.Context(), fmt.Sprintf("p%05d", i%10_000), fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			b.Fatal(err)
		}
		<-told
	}
}
