package query

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strings"
)

// Build replaces all documents, whose IDs must differ. It sorts them once for each index, which takes a fraction of the time of
// inserting them one by one. Where the caller may not be away for long, StartBuild does the same in steps.
func (x *Indexes) Build(docs []*Doc) {
	b := x.StartBuild(len(docs))
	b.Add(docs...)
	b.Step(math.MaxInt)
}

// StartBuild empties the indexes and begins to fill them anew. size is about how many documents will be added. Until the last
// step is done the indexes are empty or incomplete: they may be neither used nor updated.
func (x *Indexes) StartBuild(size int) *Builder {
	b := &Builder{indexes: x, docs: make([]*Doc, 0, size), runs: make([]runs, len(x.list))}
	for i, ix := range x.list {
		ix.tree.Clear()
		ix.odd = map[string]*Doc{}
		b.runs[i].places = make([]place, 0, size)
		b.runs[i].keys = make([]string, 0, size)
	}
	return b
}

// Builder fills indexes in steps.
type Builder struct {
	indexes *Indexes
	docs    []*Doc
	runs    []runs // for each index
	merging int    // the index that is being filled
}

// Add takes documents, whose IDs must differ from all others. It works out their keys and sorts them in runs.
func (b *Builder) Add(docs ...*Doc) {
	x := b.indexes
	for _, d := range docs {
		load(d.Body, x.fields, x.slots)
		b.docs = append(b.docs, d)
		for i, ix := range x.list {
			var ok bool
			if x.key, ok = ix.appendKey(x.key[:0], d.ID, x.slots); ok {
				b.runs[i].add(x.key, len(b.docs)-1)
			} else {
				ix.odd[d.ID] = d
			}
		}
	}
}

// Step puts at most n entries into the indexes, each document being one in every index, and reports whether there are more. It
// comes after the last Add.
func (b *Builder) Step(n int) (more bool) {
	for b.merging < len(b.runs) {
		r := &b.runs[b.merging]
		if r.heads == nil {
			r.start()
		}
		for len(r.heads) > 0 {
			if n == 0 {
				return true
			}
			n--
			p := r.next()
			b.indexes.list[b.merging].tree.Load(r.keys[p.key], b.docs[p.doc])
		}
		*r = runs{}
		b.merging++
	}
	return false
}

// place says where the key of an entry is and where its document. Most keys differ in the first 8 bytes, which compare as
// one number.
type place struct {
	first    uint64
	key, doc int32
}

// runs collects the entries of an index in runs of runSize, each sorted once it is full, and then merges them. Keys share the
// memory of a block, which saves an allocation each.
type runs struct {
	places []place
	keys   []string
	block  []byte
	ends   []int     // of the keys in block
	heads  [][]place // what is left of each run: a heap by the first entry
}

const (
	runSize   = 4096
	blockSize = 16 << 10 // the memory that one key which stays can keep from being freed
)

func (r *runs) add(key []byte, doc int) {
	var first [8]byte
	copy(first[:], key)
	r.places = append(r.places, place{binary.BigEndian.Uint64(first[:]), int32(len(r.places)), int32(doc)})
	r.block = append(r.block, key...)
	r.ends = append(r.ends, len(r.block))
	if len(r.block) >= blockSize {
		r.flush()
	}
	if len(r.places)%runSize == 0 {
		r.flush()
		slices.SortFunc(r.places[len(r.places)-runSize:], r.compare)
	}
}

// flush makes strings of the keys in the block.
func (r *runs) flush() {
	block, start := string(r.block), 0
	for _, end := range r.ends {
		r.keys = append(r.keys, block[start:end])
		start = end
	}
	r.block, r.ends = r.block[:0], r.ends[:0]
}

func (r *runs) compare(p, q place) int {
	if p.first != q.first {
		return cmp.Compare(p.first, q.first)
	}
	return strings.Compare(r.keys[p.key], r.keys[q.key])
}

// start sorts the last run and makes the heap.
func (r *runs) start() {
	r.flush()
	slices.SortFunc(r.places[len(r.places)/runSize*runSize:], r.compare)
	r.heads = slices.AppendSeq([][]place{}, slices.Chunk(r.places, runSize))
	sort.Slice(r.heads, func(i, j int) bool { return r.compare(r.heads[i][0], r.heads[j][0]) < 0 })
}

// next takes the least entry out of the runs.
func (r *runs) next() place {
	least := r.heads[0][0]
	if r.heads[0] = r.heads[0][1:]; len(r.heads[0]) == 0 {
		last := len(r.heads) - 1
		r.heads[0] = r.heads[last]
		r.heads = r.heads[:last]
	}
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(r.heads) {
			return least
		}
		if child+1 < len(r.heads) && r.compare(r.heads[child+1][0], r.heads[child][0]) < 0 {
			child++
		}
		if r.compare(r.heads[i][0], r.heads[child][0]) <= 0 {
			return least
		}
		r.heads[i], r.heads[child] = r.heads[child], r.heads[i]
		i = child
	}
}
