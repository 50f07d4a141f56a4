package query

import (
	"fmt"
	"testing"
)

// sizeSink keeps results alive.
var sizeSink int

func benchSchema() *Schema {
	return &Schema{PrimaryPath: "id", Indexes: [][]string{{"age"}, {"city", "age"}}}
}

// BenchmarkMatch matches one document of 170 bytes.
func BenchmarkMatch(b *testing.B) {
	docs := people(1000)
	for _, c := range []struct{ name, selector string }{
		{"1field", `{"active":true}`},
		{"2fields", `{"active":true,"age":{"$gte":18,"$lt":65}}`},
		{"3fields", `{"active":true,"age":{"$gte":18,"$lt":65},"city":{"$in":["city 1","city 2","city 3"]}}`},
		{"regex", `{"name":{"$regex":"^name 1"}}`},
		{"or", `{"$or":[{"age":{"$lt":10}},{"city":"city 7"},{"name":"name 5"}]}`},
	} {
		q := mustParse(b, `{"selector":`+c.selector+`}`)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if q.Match(docs[i%len(docs)].Body) {
					sizeSink++
				}
			}
		})
	}
}

// BenchmarkQuery answers queries on 50,000 documents of 170 bytes.
func BenchmarkQuery(b *testing.B) {
	x := NewIndexes(benchSchema())
	x.Build(people(50_000))
	for _, c := range []struct{ name, query string }{
		{"byID", `{"selector":{"id":"p00777"}}`},
		{"range1100", `{"selector":{"age":{"$gte":30,"$lt":32}}}`},
		{"range1100filtered", `{"selector":{"age":{"$gte":30,"$lt":32},"active":true}}`},
		{"range1100sorted", `{"selector":{"age":{"$gte":30,"$lt":32}},"sort":[{"name":"asc"}]}`},
		{"page20", `{"selector":{"city":"city 7"},"sort":[{"age":"desc"}],"limit":20}`},
		{"scan", `{"selector":{"name":"name 77"}}`},
		{"top20", `{"sort":[{"name":"asc"}],"limit":20}`},
		{"all", `{}`},
	} {
		q := mustParseWith(b, c.query, benchSchema())
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sizeSink += len(x.Plan(q).Find())
			}
		})
	}
}

// BenchmarkCount counts among 50,000 documents.
func BenchmarkCount(b *testing.B) {
	x := NewIndexes(benchSchema())
	x.Build(people(50_000))
	for _, c := range []struct{ name, selector string }{
		{"indexed", `{"age":{"$gte":18,"$lt":65}}`},
		{"filtered", `{"age":{"$gte":18,"$lt":65},"active":true}`},
	} {
		q := mustParseWith(b, `{"selector":`+c.selector+`}`, benchSchema())
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				sizeSink += x.Plan(q).Count()
			}
		})
	}
}

// BenchmarkBuild builds the indexes of 50,000 documents: of the primary key, of age, and of city and age.
func BenchmarkBuild(b *testing.B) {
	docs := people(50_000)
	b.ReportAllocs()
	for b.Loop() {
		x := NewIndexes(benchSchema())
		x.Build(docs)
		sizeSink += x.Len()
	}
}

// BenchmarkUpdate changes one of 50,000 documents in three indexes.
func BenchmarkUpdate(b *testing.B) {
	docs := versions(50_000)
	x := NewIndexes(benchSchema())
	x.Build(docs[0])
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Update(changeOf(docs, i))
	}
}

// versions returns two versions of n people, which differ in age and name.
func versions(n int) [2][]*Doc {
	docs := [2][]*Doc{people(n), nil}
	for i, d := range docs[0] {
		body := fmt.Appendf(nil, `{"id":%q,"name":"name %d","age":%d,"city":"city %d","active":true,"note":"%060d"}`, d.ID, (i+300)%1000, (i+7)%90, i%50, i)
		docs[1] = append(docs[1], &Doc{ID: d.ID, Body: body})
	}
	return docs
}

// changeOf returns the i-th change of all people in turn, from one version to the other and back.
func changeOf(docs [2][]*Doc, i int) Change {
	n := len(docs[0])
	return Change{Old: docs[i/n%2][i%n], New: docs[1-i/n%2][i%n]}
}

// BenchmarkLive takes one changed document into a live result among 10,000 documents, the update of the indexes included.
func BenchmarkLive(b *testing.B) {
	for _, c := range []struct{ name, query string }{
		{"all10000", `{"selector":{"age":{"$gte":0}},"sort":[{"name":"asc"}]}`},
		{"limit20", `{"selector":{"age":{"$gte":0}},"sort":[{"age":"desc"}],"limit":20}`},
		{"elsewhere", `{"selector":{"name":"nobody"}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			docs := versions(10_000)
			x := NewIndexes(benchSchema())
			x.Build(docs[0])
			l := x.Live(mustParseWith(b, c.query, benchSchema()))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				changes := []Change{changeOf(docs, i)}
				x.Update(changes[0])
				sizeSink += len(l.Apply(changes))
			}
		})
	}
}
