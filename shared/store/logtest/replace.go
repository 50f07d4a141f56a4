package logtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/shoaldb/shoal/shared/store"
)

func testReplace(s *suite) {
	db := s.Open(s.T)
	log := s.log(db, "a")
	r := s.add(log, entry(1, "x"), entry(3, "y"), entry(1, "z"), entry(2, "w")) // at 1, 2 to 4, 5, 6 to 7
	s.replace(log, r[1:3], "yz")
	want := []store.Record{r[0], record(2, 4, "yz"), r[3]}
	s.want("replaced in the middle", s.all(log, 100), want)
	s.replace(log, want[:1], "longer than it was")
	want[0] = record(1, 1, "longer than it was")
	s.want("replaced one", s.all(log, 100), want)
	s.replace(log, want[1:], "")
	want = []store.Record{want[0], record(2, 6, "")}
	s.want("replaced the end by nothing", s.all(log, 100), want)
	want = append(want, s.add(log, entry(1, "new"))...)
	s.want("commit after a replaced end", want, []store.Record{want[0], want[1], record(8, 1, "new")})
	s.replace(log, want, "all")
	want = []store.Record{record(1, 8, "all")}
	s.want("replaced all", s.all(log, 100), want)
	for from := range store.Position(9) {
		got, err := log.Read(s.Context(), from, 0)
		if err != nil {
			s.Fatalf("read from %d: %v", from, err)
		}
		s.want(fmt.Sprintf("read from %d, within the record", from), got, want)
	}
	if err := db.Close(); err != nil {
		s.Fatalf("close database: %v", err)
	}
	again := s.log(s.open(), "a")
	s.want("opened again", s.all(again, 100), want)
	s.want("commit", s.add(again, entry(1, "q")), []store.Record{record(9, 1, "q")})
}

func (s *suite) replace(log store.Log, old []store.Record, data string) {
	s.Helper()
	if err := log.Replace(s.Context(), old, []byte(data)); err != nil {
		s.Fatalf("replace: %v", err)
	}
}

func testReplaceReader(s *suite) {
	dbs := s.databases(2)
	writer, reader := s.log(dbs[0], "a"), s.log(dbs[len(dbs)-1], "a")
	r := s.add(writer, entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(1, "d")) // at 1, 2 to 3, 4 to 6, 7
	first, err := reader.Read(s.Context(), 1, 2)
	if err != nil {
		s.Fatalf("read: %v", err)
	}
	s.want("before", first, r[:2])
	s.replace(writer, r[:3], "abc")
	rest, err := readAll(s.Context(), reader, next(first), 2)
	if err != nil {
		s.Fatalf("read: %v", err)
	}
	s.want("rest, after records were replaced that were read in part", rest, []store.Record{record(1, 6, "abc"), r[3]})
	_, err = reader.Commit(s.Context(), next(first), func(tail []store.Record) ([]store.Append, error) {
		s.want("tail, likewise", tail, rest)
		return nil, nil
	})
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	s.replace(writer, rest, "")
	seen, err := follow(s.Context(), reader, first, entry(1, "e"))
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	s.want("tail of an emptied run", seen[2:], []store.Record{record(1, 7, ""), record(8, 1, "e")})
}

func testReplaceRefuses(s *suite) {
	log := s.log(s.open(), "a")
	r := s.add(log, entry(1, "x"), entry(3, "y"), entry(1, "z"))
	changed := slices.Clone(r[1:3])
	changed[0].Data = []byte("Y")
	for what, old := range map[string][]store.Record{
		"other data":          changed,
		"other length":        {record(2, 3, "yy")},
		"a narrower record":   {record(2, 2, "y")},
		"a wider record":      {record(2, 4, "y")},
		"an inner record":     {record(3, 1, "y")},
		"beyond the end":      {record(6, 1, "w")},
		"across the end":      {r[2], record(6, 1, "w")},
		"a record at 0":       {record(0, 1, "x")},
		"far beyond the end":  {record(store.MaxPosition-1, 1, "w")},
		"a join that is none": {record(1, 4, "xy")},
	} {
		if err := log.Replace(s.Context(), old, []byte("new")); !errors.Is(err, store.ErrReplaced) {
			s.Errorf("replace %s: %v, want ErrReplaced", what, err)
		}
	}
	wide := record(1, 1<<31, "x")
	for what, old := range map[string][]store.Record{
		"nothing":          nil,
		"with a gap":       {r[0], r[2]},
		"out of order":     {r[1], r[0]},
		"more than a span": {wide, record(1<<31+1, 1<<31, "x")},
	} {
		if err := log.Replace(s.Context(), old, []byte("new")); err == nil || errors.Is(err, store.ErrReplaced) {
			s.Errorf("replace %s: %v, want an error that is not ErrReplaced", what, err)
		}
	}
	s.want("all", s.all(log, 100), r)
	s.replace(log, r[:2], "xy")
	if err := log.Replace(s.Context(), r[:2], []byte("again")); !errors.Is(err, store.ErrReplaced) {
		s.Errorf("replace what was replaced: %v, want ErrReplaced", err)
	}
	s.want("all", s.all(log, 100), []store.Record{record(1, 4, "xy"), r[2]})
}

// testReplaceConcurrent has writers commit, a compactor join runs, and readers walk the log, all at once. The data of a
// record is one number for each of its positions, so that joined data must still tell the number of each position.
func testReplaceConcurrent(s *suite) {
	const writers, commits = 3, 25
	dbs := s.databases(3)
	var writing, others sync.WaitGroup
	over := make(chan struct{})
	for w := range writers {
		log := s.log(dbs[w%len(dbs)], "a")
		writing.Go(func() { writeNumbers(s, log, w, commits) })
	}
	for c := range 2 {
		log := s.log(dbs[c%len(dbs)], "a")
		others.Go(func() { compactUntil(s, log, uint64(c), over) })
	}
	reader := s.log(dbs[len(dbs)-1], "a")
	others.Go(func() {
		for known := map[store.Position]uint64(nil); ; {
			select {
			case <-over:
				return
			default:
				runtime.Gosched()
				known = walk(s, reader, known)
			}
		}
	})
	writing.Wait()
	close(over)
	others.Wait()
	numbers := walk(s, reader, nil)
	got := make(map[uint64]bool)
	for _, n := range numbers {
		got[n] = true
	}
	if len(got) != len(numbers) || len(got) != writers*commits*3 {
		s.Errorf("%d positions hold %d different numbers, want %d", len(numbers), len(got), writers*commits*3)
	}
}

// writeNumbers makes commits of two records with three numbers together.
func writeNumbers(s *suite, log store.Log, writer, commits int) {
	for i := range commits {
		n := uint64(writer)<<32 | uint64(i)<<8
		one := binary.BigEndian.AppendUint64(nil, n)
		two := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n+1), n+2)
		_, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) {
			invite()
			return []store.Append{{Span: 1, Data: one}, {Span: 2, Data: two}}, nil
		})
		if err != nil {
			s.Errorf("commit: %v", err)
			return
		}
	}
}

// compactUntil joins random runs.
func compactUntil(s *suite, log store.Log, seed uint64, over <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-over:
			return
		default:
			runtime.Gosched() // under js nothing else would run beside a driver that never blocks
		}
		records, err := log.Read(s.Context(), 1, 1<<20) // in one step, so that nobody joins records in between
		if err != nil {
			s.Errorf("read: %v", err)
			return
		}
		if len(records) < 2 {
			continue
		}
		from := rnd.IntN(len(records) - 1)
		run := records[from:min(len(records), from+2+rnd.IntN(4))]
		var data [][]byte
		for _, r := range run {
			data = append(data, r.Data)
		}
		if err := log.Replace(s.Context(), run, bytes.Join(data, nil)); err != nil && !errors.Is(err, store.ErrReplaced) {
			s.Errorf("replace: %v", err)
			return
		}
	}
}

// walk reads the log in small steps and returns the number of each position, which must agree with those known.
func walk(s *suite, log store.Log, known map[store.Position]uint64) map[store.Position]uint64 {
	numbers := make(map[store.Position]uint64)
	for from := store.Position(1); ; {
		records, err := log.Read(s.Context(), from, 64)
		if err != nil {
			s.Errorf("read: %v", err)
			return known
		}
		if len(records) == 0 {
			break
		}
		for i, r := range records {
			if r.First > from || i > 0 && r.First != from || r.Next() <= from || len(r.Data) != 8*int(r.Span) {
				s.Errorf("read from %d gave a record at %d with span %d and %d bytes", from, r.First, r.Span, len(r.Data))
				return known
			}
			for at := from; at < r.Next(); at++ {
				numbers[at] = binary.BigEndian.Uint64(r.Data[8*(at-r.First):])
			}
			from = r.Next()
		}
	}
	for at, n := range known {
		if numbers[at] != n {
			s.Errorf("position %d held %x, and holds %x now", at, n, numbers[at])
		}
	}
	return numbers
}
