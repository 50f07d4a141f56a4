//go:build js

package idblog

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/store"
)

// The key of a record is [log, last position, first position, size of data, tag], its value the data. So the keys alone tell
// where the log ends and how much there is to read, and one range finds the record that holds a position. IndexedDB
// compares arrays item by item, a shorter one is before a longer one that begins with it, and arrays are above all else
// (https://w3c.github.io/IndexedDB/#key-construct).
//
// The tag is of the commit, a random number, or one more than that of the commit before if one follows another of the same handle.
// It tells a commit that begins anew on another connection whether it was written on the lost one, and is what marks name, see
// turn.go. A record that takes the place of others has the tag of the last of them.
type key struct {
	store.Record
	size int
	tag  float64
}

const keyItems = 5

func (k key) last() store.Position { return k.Next() - 1 }

// errForeign tells of a key that this package does not write.
var errForeign = errors.New("the database holds something else than logs: delete the data of this site")

func (w words) key(k key) js.Value {
	return w.api.arrayOf.Invoke(w.name, float64(k.last()), float64(k.First), k.size, k.tag)
}

// holding is not above the key of the record that holds a position, and above those before it.
func (w words) holding(p store.Position) js.Value {
	return w.api.arrayOf.Invoke(w.name, float64(p))
}

// upTo is above the key of the record that ends at a position, and below those after it.
func (w words) upTo(last store.Position) js.Value {
	return w.api.arrayOf.Invoke(w.name, float64(last), w.api.arrayOf.Invoke())
}

// keys returns those in a range, at most limit unless that is 0.
func (t *txn) keys(ctx context.Context, lower, upper js.Value, limit int) ([]key, error) {
	args := []any{t.api.bound.Invoke(lower, upper)}
	if limit > 0 {
		args = append(args, limit)
	}
	list, err := t.request(ctx, t.api.getAllKeys, args...)
	if err != nil {
		return nil, err
	}
	return t.api.decodeKeys(list)
}

func (a *api) decodeKeys(list js.Value) ([]key, error) {
	n := list.Length()
	numbers := make([]float64, 0, n*keyItems)
	switch {
	case n == 0:
		return nil, nil
	case n == 1:
		item := list.Index(0)
		if item.Length() != keyItems {
			return nil, errForeign
		}
		numbers = append(numbers, math.NaN())
		for i := 1; i < keyItems; i++ {
			numbers = append(numbers, number(item.Index(i)))
		}
	default: // all over the border in one go; the names become NaN
		array := a.float64s.Invoke(a.flat.Invoke(list))
		if array.Length() != n*keyItems {
			return nil, errForeign
		}
		data := make([]byte, n*keyItems*8)
		js.CopyBytesToGo(data, a.uint8s.New(array.Get("buffer")))
		for ; len(data) > 0; data = data[8:] {
			numbers = append(numbers, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
	}
	keys := make([]key, n)
	for i := range keys {
		if err := keys[i].set(numbers[i*keyItems:]); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func number(v js.Value) float64 {
	if v.Type() != js.TypeNumber {
		return math.NaN()
	}
	return v.Float()
}

func (k *key) set(numbers []float64) error {
	last, first, size := numbers[1], numbers[2], numbers[3]
	good := first >= 1 && last >= first && last-first < math.MaxUint32 && last <= float64(store.MaxPosition) &&
		size >= 0 && size <= store.MaxData
	if !good { // as they are all when one is NaN
		return errForeign
	}
	*k = key{
		Record: store.Record{First: store.Position(first), Span: uint32(last - first + 1)},
		size:   int(size),
		tag:    numbers[4],
	}
	return nil
}

// records returns those of keys, which are adjacent, with their data.
func (t *txn) records(ctx context.Context, w words, keys []key) ([]store.Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	span := t.api.bound.Invoke(w.holding(keys[0].last()), w.upTo(keys[len(keys)-1].last()))
	list, err := t.request(ctx, t.api.getAll, span)
	if err != nil {
		return nil, err
	}
	if list.Length() != len(keys) {
		return nil, errForeign
	}
	records := make([]store.Record, len(keys))
	for i, k := range keys {
		array := list.Index(i)
		if !array.InstanceOf(t.api.uint8s) {
			return nil, errForeign
		}
		records[i] = k.Record
		records[i].Data = make([]byte, k.size)
		if n := js.CopyBytesToGo(records[i].Data, array); n != k.size || array.Length() != n {
			return nil, errForeign
		}
	}
	return records, nil
}

// add writes records.
func (t *txn) add(w words, records []store.Record, tag float64) error {
	return t.do(func() {
		for _, r := range records {
			k := key{Record: r, size: len(r.Data), tag: tag}
			array := t.api.uint8s.New(len(r.Data))
			js.CopyBytesToJS(array, r.Data)
			t.send(t.api.add, array, w.key(k))
		}
	})
}

// names returns the logs that have records.
func (t *txn) names(ctx context.Context) ([]string, error) {
	var names []string
	for above := t.api.arrayOf.Invoke(); ; {
		found, err := t.request(ctx, t.api.getKey, t.api.lowerBound.Invoke(above))
		if err != nil {
			return nil, err
		}
		if found.Type() != js.TypeObject {
			return names, nil
		}
		first := found.Index(0)
		if first.Type() != js.TypeString { // marks follow
			return names, nil
		}
		name := first.String()
		names = append(names, name)
		above = t.api.words(name).highest
	}
}
