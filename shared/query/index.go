package query

import (
	"slices"
	"sort"
	"strings"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/tidwall/btree"
)

// Doc is one version of a document as its owner holds it. Indexes and results point to it, so neither the Doc nor its body may
// change: a new version is a new Doc. Only ID, the primary key, and Body, one JSON object with the primary key in its field,
// are looked at. It is the collection's own type so that indexes need nothing of their own for each document.
type Doc = document.Entry

// Change is what happened to one document: Old is nil for one that is new, New for one that is gone.
type Change struct{ Old, New *Doc }

// Indexes are a collection's indexes in memory: the one of the primary key and those that the schema declares. They are not safe
// for use by several goroutines at once unless all of them only read. Nothing blocks.
type Indexes struct {
	schema *Schema
	list   []*index // the first is the primary key's
	fields []string // top-level fields that the keys need, text
	slots  []value
	key    []byte
}

// index orders documents by the values of its fields. A document where one of them is an array or an object, or is reached
// through an array, has more than one place or none: it stands in odd and every query looks at it.
type index struct {
	fields []indexField // the last is the primary key
	tree   tree
	odd    map[string]*Doc
}

// tree holds documents in the order of their keys and knows how many there are in each part.
type tree struct{ btree.Map[string, *Doc] }

// rank returns the number of keys before key, by bisection: a lookup by place for each step.
func (t *tree) rank(key string) int {
	return sort.Search(t.Len(), func(i int) bool {
		k, _, _ := t.GetAt(i)
		return k >= key
	})
}

// at returns the document at a place.
func (t *tree) at(i int) *Doc {
	_, d, _ := t.GetAt(i)
	return d
}

type indexField struct {
	name     string
	segments []segment
	slot     int
	primary  bool
}

// NewIndexes returns empty indexes.
func NewIndexes(schema *Schema) *Indexes {
	x := &Indexes{schema: schema}
	for _, fields := range append([][]string{nil}, schema.Indexes...) {
		ix := &index{odd: map[string]*Doc{}}
		for _, name := range schema.ending(fields) {
			if name == schema.PrimaryPath {
				ix.fields = append(ix.fields, indexField{name: name, primary: true})
				break
			}
			segments := splitPath(string(appendUTF8Text(nil, name)))
			slot := slices.Index(x.fields, segments[0].key)
			if slot < 0 {
				slot = len(x.fields)
				x.fields = append(x.fields, segments[0].key)
			}
			ix.fields = append(ix.fields, indexField{name: name, segments: segments[1:], slot: slot})
		}
		x.list = append(x.list, ix)
	}
	x.slots = make([]value, len(x.fields))
	return x
}

// Len returns the number of documents.
func (x *Indexes) Len() int { return x.list[0].tree.Len() }

// Update takes over a change, in time logarithmic in the number of documents. Old must be what the indexes hold; where both are
// given they have the same ID.
func (x *Indexes) Update(c Change) {
	oldKeys := make([]string, len(x.list))
	if c.Old != nil {
		load(c.Old.Body, x.fields, x.slots)
		for i, ix := range x.list {
			var ok bool
			if x.key, ok = ix.appendKey(x.key[:0], c.Old.ID, x.slots); ok {
				oldKeys[i] = string(x.key)
			}
		}
	}
	if c.New != nil {
		load(c.New.Body, x.fields, x.slots)
	}
	for i, ix := range x.list {
		ix.update(oldKeys[i], c, x)
	}
}

// update moves one document from oldKey, "" for none, to the key of c.New, whose fields are loaded.
func (ix *index) update(oldKey string, c Change, x *Indexes) {
	if c.Old != nil {
		delete(ix.odd, c.Old.ID)
	}
	if c.New == nil {
		ix.tree.Delete(oldKey)
		return
	}
	var ok bool
	x.key, ok = ix.appendKey(x.key[:0], c.New.ID, x.slots)
	if oldKey != "" && (!ok || string(x.key) != oldKey) {
		ix.tree.Delete(oldKey)
	}
	switch {
	case !ok:
		ix.odd[c.New.ID] = c.New
	case string(x.key) == oldKey:
		ix.tree.Set(oldKey, c.New)
	default:
		ix.tree.Set(string(x.key), c.New)
	}
}

// appendKey appends the key of a document whose fields are loaded. ok is false for an odd one.
func (ix *index) appendKey(dst []byte, id string, slots []value) (key []byte, ok bool) {
	for i := range ix.fields {
		field := &ix.fields[i]
		if field.primary {
			dst = appendPrimary(dst, id)
			continue
		}
		v := slots[field.slot]
		for j := 0; j < len(field.segments) && v.kind != kindMissing; j++ {
			if v.kind == kindObject {
				v = v.member(field.segments[j].key)
			} else if v.kind == kindArray {
				return dst, false
			} else {
				v = value{}
			}
		}
		if !v.isScalar() {
			return dst, false
		}
		dst = append(appendOrder(dst, v, 0), orderEnd)
	}
	return dst, true
}

// size returns the number of documents in r.
func (ix *index) size(r interval) int { return max(ix.tree.rank(r.hi)-ix.tree.rank(r.lo), 0) }

// snapshot returns an index that holds for ever what ix holds now in its order. It costs nothing but copies of the nodes that later updates
// touch.
func (ix *index) snapshot() *index {
	return &index{fields: ix.fields, tree: tree{*ix.tree.Copy()}}
}

// scan calls f for each document in r until it returns false, and reports whether it never did.
func (ix *index) scan(r interval, desc bool, f func(key string, d *Doc) bool) bool {
	done := true
	if desc {
		ix.tree.Descend(r.hi, func(key string, d *Doc) bool {
			if key < r.lo {
				return false
			}
			done = key >= r.hi || f(key, d)
			return done
		})
		return done
	}
	ix.tree.Ascend(r.lo, func(key string, d *Doc) bool {
		if key >= r.hi {
			return false
		}
		done = f(key, d)
		return done
	})
	return done
}

// head returns the part of an index key that holds the first n fields.
func head(key string, n int) string {
	end := 0
	for range n {
		switch key[end] {
		case orderNumber:
			end += 9
		case orderBool:
			end += 2
		case orderString:
			for end++; ; end++ {
				zero := strings.IndexByte(key[end:], 0)
				end += zero + 1
				if key[end] == orderTextEnd {
					break
				}
			}
			end++
		default:
			end++
		}
		end++ // orderEnd
	}
	return key[:end]
}
