package document

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// The oracle keeps what replicas do not: every write there ever was, which writes its writer had seen, and every choice between
// two writes that a conflict led to. A write is accounted for if one can get to it, along these, from what is held.

type write struct {
	Entry
	seen []Dot // of the document, that the writer had seen and replaced
}

type oracle struct {
	writes  map[Dot]*write
	choices map[Dot][]Dot // from the winner of a conflict to the loser
}

// visit adds to done all that d accounts for: by cause alone, or by the choices that were made as well.
func (o *oracle) visit(d Dot, choices bool, done map[Dot]bool) {
	if done[d] {
		return
	}
	done[d] = true
	for _, s := range o.writes[d].seen {
		o.visit(s, choices, done)
	}
	if choices {
		for _, c := range o.choices[d] {
			o.visit(c, choices, done)
		}
	}
}

// reaches reports whether from accounts for to.
func (o *oracle) reaches(from, to Dot, choices bool) bool {
	done := map[Dot]bool{}
	o.visit(from, choices, done)
	return done[to]
}

// site is a replica as small as can be: it holds versions, knows writes, and judges by Decide.
type site struct {
	id      ReplicaID
	counter uint64
	known   *Knowledge
	held    map[string]*Entry
}

// parcel is what one site sends another: what it held at some time, and what it knew.
type parcel struct {
	to      *site
	entries []*Entry
	seen    *Knowledge
	all     bool // entries is all that the receiver lacked: it may take over seen
}

type history struct {
	t     *testing.T
	rng   *rand.Rand
	o     oracle
	sites []*site
	ways  map[[2]int][]parcel // on the way, in order
	merge func(lo, hi *Entry) (body string, keepsHi bool)
	// whole parcels have all that the receiver lacks. Else knowledge has gaps, and a conflict may be found where one writer
	// knew of the other.
	whole bool
}

// TestRulesAgainstOracle runs random histories and checks each decision, all knowledge, and the end.
func TestRulesAgainstOracle(t *testing.T) {
	handlers := map[string]func(lo, hi *Entry) (string, bool){
		"last write wins": nil,
		"union":           joined,
		"rock paper scissors": func(lo, hi *Entry) (string, bool) {
			return string(lo.Body), (len(lo.Body)+1)%3 == len(hi.Body)%3
		},
	}
	for name, merge := range handlers {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				h := newHistory(t, seed, merge)
				for range 150 {
					h.step()
				}
				h.settle()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func joined(lo, hi *Entry) (string, bool) {
	body := fmt.Sprintf("(%s %s)", lo.Body, hi.Body)
	if len(body) > 80 {
		body = body[:80]
	}
	return body, body == string(hi.Body)
}

func newHistory(t *testing.T, seed uint64, merge func(lo, hi *Entry) (string, bool)) *history {
	h := &history{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), merge: merge, whole: seed%2 == 0,
		o:    oracle{map[Dot]*write{}, map[Dot][]Dot{}},
		ways: map[[2]int][]parcel{},
	}
	for i := range 2 + h.rng.IntN(4) {
		h.sites = append(h.sites, &site{id: ReplicaID{byte(i + 1)}, known: &Knowledge{}, held: map[string]*Entry{}})
	}
	return h
}

func (h *history) step() {
	i, j := h.rng.IntN(len(h.sites)), h.rng.IntN(len(h.sites))
	switch h.rng.IntN(5) {
	case 0, 1:
		h.write(h.sites[i], fmt.Sprint("d", h.rng.IntN(2)), fmt.Sprint(len(h.o.writes)), nil)
	case 2:
		if i != j {
			h.send(i, j, h.whole || h.rng.IntN(3) == 0)
		}
	default:
		h.deliver([2]int{i, j})
	}
}

// write makes a new version at s over what s holds and, in a conflict, over other as well.
func (h *history) write(s *site, id, body string, other *Entry) {
	s.counter++
	w := &write{Entry: Entry{ID: id, Dot: Dot{s.id, s.counter}, Body: []byte(body)}}
	for _, e := range []*Entry{s.held[id], other} {
		if e != nil {
			w.seen = append(w.seen, e.Dot)
			w.Base = e.Dot
			w.Time = max(w.Time, e.Time)
			if other != nil {
				w.Merges = max(w.Merges, e.Merges+1)
			}
		}
	}
	w.Time += 1 + Time(h.rng.IntN(3))
	h.o.writes[w.Dot] = w
	s.held[id] = &w.Entry
	s.known.Add(w.Dot, w.Time)
}

// send puts on the way what site i holds and, as it was told, j lacks: all of it, or some.
func (h *history) send(i, j int, all bool) {
	from, to := h.sites[i], h.sites[j]
	p := parcel{to: to, seen: from.known.Clone(), all: all}
	for _, id := range slices.Sorted(maps.Keys(from.held)) {
		if e := from.held[id]; !to.known.Covers(e.Dot) && (all || h.rng.IntN(2) == 0) {
			p.entries = append(p.entries, e)
		}
	}
	h.ways[[2]int{i, j}] = append(h.ways[[2]int{i, j}], p)
}

func (h *history) deliver(way [2]int) {
	if len(h.ways[way]) == 0 {
		return
	}
	p := h.ways[way][0]
	h.ways[way] = h.ways[way][1:]
	for _, e := range p.entries {
		h.take(p.to, e, p.seen)
	}
	news := len(p.entries) > 0
	if p.all {
		news = news || !p.to.known.CoversAll(p.seen)
		p.to.known.Merge(p.seen)
	}
	if news {
		h.check(p.to)
	}
}

func (h *history) take(s *site, r *Entry, seen *Knowledge) {
	l := s.held[r.ID]
	d := Decide(l, r, s.known, seen)
	if want := literally(l, r, s.known, seen); d != want {
		h.t.Errorf("%v held, %v comes: %v, the rules as written say %v", l, r, d, want)
	}
	switch d {
	case Take:
		if l != nil && !h.o.reaches(r.Dot, l.Dot, true) {
			h.t.Errorf("%v taken over %v, of which its sender knew nothing", r.Dot, l.Dot)
		}
		s.held[r.ID] = r
	case Drop:
		if !h.o.reaches(l.Dot, r.Dot, true) {
			h.t.Errorf("%v dropped as seen, though %v does not account for it", r.Dot, l.Dot)
		}
	case Conflict:
		if h.whole && (h.o.reaches(l.Dot, r.Dot, false) || h.o.reaches(r.Dot, l.Dot, false)) {
			h.t.Errorf("%v and %v conflict, though one knew the other", l.Dot, r.Dot)
		}
		h.resolve(s, l, r)
	}
	s.known.Add(r.Dot, r.Time)
}

// literally is the acceptance rule as the design states it, in that order, without asking which version is greater.
func literally(l, r *Entry, known, seen *Knowledge) Decision {
	switch {
	case l == nil:
		return Take
	case l.Dot == r.Dot:
		return Same
	case seen.Covers(l.Dot) || r.Base == l.Dot:
		return Take
	case known.Covers(r.Dot) || l.Base == r.Dot:
		return Drop
	}
	return Conflict
}

func (h *history) resolve(s *site, l, r *Entry) {
	lo, hi := Order(l, r)
	if h.merge != nil && max(lo.Merges, hi.Merges) < MaxMerges {
		if body, keepsHi := h.merge(lo, hi); !keepsHi {
			h.write(s, l.ID, body, r)
			return
		}
	}
	h.o.choices[hi.Dot] = append(h.o.choices[hi.Dot], lo.Dot)
	s.held[l.ID] = hi
}

// check asserts that s accounts for all that it claims to know, and holds the greatest of it.
func (h *history) check(s *site) {
	accounted := map[Dot]bool{}
	for _, e := range s.held {
		h.o.visit(e.Dot, true, accounted)
	}
	for d, w := range h.o.writes {
		if e := s.held[w.ID]; s.known.Covers(d) && (!accounted[d] || e.Compare(&w.Entry) < 0) {
			h.t.Errorf("site %v claims %v and holds %v", s.id[0], d, e)
		}
	}
}

// settle lets everybody send everything to everybody until nothing changes, and checks that no write was lost on the way.
func (h *history) settle() {
	for range 8 {
		for i := range h.sites {
			for j := range h.sites {
				if i != j {
					h.send(i, j, true)
				}
				for len(h.ways[[2]int{i, j}]) > 0 {
					h.deliver([2]int{i, j})
				}
			}
		}
	}
	first := h.sites[0]
	for _, s := range h.sites {
		if !s.known.CoversAll(first.known) || !first.known.CoversAll(s.known) {
			h.t.Errorf("knowledge differs: %v, %v", first.known, s.known)
		}
		for id, e := range first.held {
			if s.held[id] == nil || s.held[id].Dot != e.Dot {
				h.t.Errorf("%s differs: %v, %v", id, e, s.held[id])
			}
		}
	}
	for d, w := range h.o.writes {
		if e := first.held[w.ID]; e == nil || !h.o.reaches(e.Dot, d, true) {
			h.t.Errorf("%v is lost: neither a later write nor a conflict accounts for it", d)
		}
	}
}
