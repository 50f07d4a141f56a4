package store_test

import (
	"math"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/store"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestPlaceAtTheEnd(t *testing.T) {
	records, err := store.Place(store.MaxPosition-1, []store.Append{{Span: 2}})
	if err != nil || records[0].Next() != store.MaxPosition+1 {
		t.Errorf("the last positions: %v, %v", records, err)
	}
	for _, appends := range [][]store.Append{{{Span: 3}}, {{Span: 2}, {Span: 1}}, {{Span: math.MaxUint32}}} {
		if records, err := store.Place(store.MaxPosition-1, appends); err == nil {
			t.Errorf("placed %v beyond the last position", records)
		}
	}
}
