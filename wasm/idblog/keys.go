//go:build js

package idblog

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// The key of a record is [log, last position, first position, size of data, tag], its value the data. So the keys alone tell
// where the log ends and how much there is to read, and one range finds the record that holds a position. IndexedDB
// compares arrays item by item, a shorter one is before a longer one that begins with it, and arrays are above all else
// (https://w3c.github.io/IndexedDB/#key-construct).
//
// The tag is of the commit, a random number: it tells a commit that begins anew on another connection whether it was written
// on the lost one. A record that takes the place of others has the tag of the last of them.
type key struct {
	store.Record
	size int
	tag  float64
}

const keyItems = 5

func (k key) last() store.Position { return k.Next() - 1 }

func (k key) js(log string) js.Value {
	return js.ValueOf([]any{log, float64(k.last()), float64(k.First), k.size, k.tag})
}

// lowest is below all keys of a log.
func lowest(log string) js.Value { return js.ValueOf([]any{log}) }

// highest is above all keys of a log.
func highest(log string) js.Value { return js.ValueOf([]any{log, []any{}}) }

// holding is not above the key of the record that holds a position, and above those before it.
func holding(log string, p store.Position) js.Value {
	return js.ValueOf([]any{log, float64(p)})
}

// upTo is above the key of the record that ends at a position, and below those after it.
func upTo(log string, last store.Position) js.Value {
	return js.ValueOf([]any{log, float64(last), []any{}})
}

func keyRange(lower, upper js.Value) js.Value {
	return js.Global().Get("IDBKeyRange").Call("bound", lower, upper)
}

// keys returns those in a range, at most limit unless that is 0.
func (t *txn) keys(ctx context.Context, lower, upper js.Value, limit int) ([]key, error) {
	args := []any{keyRange(lower, upper)}
	if limit > 0 {
		args = append(args, limit)
	}
	list, err := t.request(ctx, "getAllKeys", args...)
	if err != nil {
		return nil, err
	}
	return decodeKeys(list)
}

// decodeKeys takes all numbers over in one go; the names become NaN.
func decodeKeys(list js.Value) ([]key, error) {
	n := list.Length()
	if n == 0 {
		return nil, nil
	}
	numbers := js.Global().Get("Float64Array").Call("from", list.Call("flat"))
	data, err := jsbridge.Bytes(numbers)
	if err != nil {
		return nil, err
	}
	if len(data) != n*keyItems*8 {
		return nil, errForeign
	}
	keys := make([]key, n)
	for i := range keys {
		var item [keyItems]float64
		for j := range item {
			item[j] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*(i*keyItems+j):]))
		}
		last, first, size := item[1], item[2], item[3]
		if !(first >= 1 && last >= first && last-first < math.MaxUint32 && last <= float64(store.MaxPosition) && size >= 0 && size <= store.MaxData) {
			return nil, errForeign
		}
		keys[i] = key{
			Record: store.Record{First: store.Position(first), Span: uint32(last - first + 1)},
			size:   int(size),
			tag:    item[4],
		}
	}
	return keys, nil
}

// errForeign tells of a key that this package does not write.
var errForeign = fmt.Errorf("the database holds something else than logs: delete the data of this site")

// records returns those of keys, which are adjacent, with their data.
func (t *txn) records(ctx context.Context, log string, keys []key) ([]store.Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	list, err := t.request(ctx, "getAll", keyRange(holding(log, keys[0].last()), upTo(log, keys[len(keys)-1].last())))
	if err != nil {
		return nil, err
	}
	if list.Length() != len(keys) {
		return nil, errForeign
	}
	records := make([]store.Record, len(keys))
	for i, k := range keys {
		records[i] = k.Record
		if records[i].Data, err = jsbridge.Bytes(list.Index(i)); err != nil {
			return nil, errForeign
		}
	}
	return records, nil
}

// names returns the logs that have records.
func (t *txn) names(ctx context.Context) ([]string, error) {
	var names []string
	for above := js.ValueOf([]any{}); ; {
		found, err := t.request(ctx, "getKey", js.Global().Get("IDBKeyRange").Call("lowerBound", above))
		if err != nil {
			return nil, err
		}
		if found.Type() != js.TypeObject {
			return names, nil
		}
		name := found.Index(0).String()
		names = append(names, name)
		above = highest(name)
	}
}
