package logtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/shoaldb/shoal/shared/store"
)

// testCrash lets the driver crash at each stage of commits and replacements, and looks at what is left.
func testCrash(s *suite) {
	if s.CrashAt == nil {
		s.Skip("the driver cannot be made to crash from within")
	}
	db := s.Open(s.T)
	want := s.add(s.log(db, "a"), entry(1, "x"), entry(2, "y"))
	if err := db.Close(); err != nil {
		s.Fatalf("close database: %v", err)
	}
	for _, stage := range []Stage{BeforeAppend, AfterAppend, BeforeReplace, AfterReplace, AfterAppend, BeforeAppend} {
		appends := []store.Append{entry(1, "n1"), entry(3, "n2"), {Span: 1, Data: make([]byte, 100_000)}}
		s.crash(stage, want, appends)
		added, err := store.Place(next(want), appends)
		if err != nil {
			s.Fatal(err)
		}
		switch stage {
		case AfterAppend:
			want = append(want, added...)
		case AfterReplace:
			joined, err := store.Join(want[:2], []byte("joined"))
			if err != nil {
				s.Fatal(err)
			}
			want = slices.Replace(want, 0, 2, joined)
		}
		db := s.Open(s.T)
		log := s.log(db, "a")
		s.want(fmt.Sprintf("after a crash %s", stage), s.all(log, 1<<20), want)
		want = append(want, s.add(log, entry(2, "next"))...)
		s.want(fmt.Sprintf("and a commit after a crash %s", stage), s.all(log, 1<<20), want)
		if err := db.Close(); err != nil {
			s.Fatalf("close database: %v", err)
		}
	}
}

// crash makes one operation that comes to stage.
func (s *suite) crash(stage Stage, records []store.Record, appends []store.Append) {
	s.Helper()
	db := s.CrashAt(s.T, stage)
	defer db.Close() //nolint:errcheck // what a crashed database answers does not matter
	log, err := db.Log(s.Context(), "a")
	if err != nil {
		s.Fatalf("open log: %v", err)
	}
	defer log.Close() //nolint:errcheck // likewise
	switch stage {
	case BeforeAppend, AfterAppend:
		_, err = log.Commit(s.Context(), next(records), func([]store.Record) ([]store.Append, error) { return appends, nil })
	default:
		err = log.Replace(s.Context(), records[:2], []byte("joined"))
	}
	if err == nil {
		s.Fatalf("the operation succeeded in spite of a crash %s", stage)
	}
	if _, err := log.Read(s.Context(), 1, 1); err == nil {
		s.Fatalf("a read succeeded after a crash %s", stage)
	}
}

const (
	modelSeeds = 12
	modelSteps = 120
)

// testModel makes random steps and compares the driver with a slice.
func testModel(s *suite) {
	for seed := range uint64(modelSeeds) {
		name := fmt.Sprint("seed ", seed)
		m := &model{suite: s, rnd: rand.New(rand.NewPCG(seed, 7)), db: s.Open(s.T), name: name}
		m.logs = []store.Log{s.log(m.db, name)}
		for step := range modelSteps {
			m.step()
			if s.Failed() {
				s.Fatalf("at step %d of seed %d", step, seed)
			}
		}
		s.want(name+": all", s.all(m.logs[0], 1+m.rnd.IntN(1000)), m.records)
		if err := m.db.Close(); err != nil {
			s.Fatalf("close database: %v", err)
		}
	}
}

// model is the simplest log that could be, beside the one under test.
type model struct {
	*suite
	rnd     *rand.Rand
	db      store.Database
	name    string
	logs    []store.Log // open handles, at least one
	records []store.Record
}

func (m *model) step() {
	log := m.logs[m.rnd.IntN(len(m.logs))]
	switch n := m.rnd.IntN(100); {
	case n < 45:
		m.commit(log)
	case n < 70:
		m.read(log)
	case n < 90:
		m.replaceRun(log)
	case n < 94:
		m.logs = append(m.logs, m.log(m.db, m.name))
	case n < 97 && len(m.logs) > 1:
		if err := m.logs[0].Close(); err != nil {
			m.Errorf("close log: %v", err)
		}
		m.logs = m.logs[1:]
	default:
		m.reopen()
	}
}

// from returns a random position, sometimes one that is lost, and the records that are expected from there on.
func (m *model) from() (from store.Position, want []store.Record, lost bool) {
	end := next(m.records)
	from = end
	if m.rnd.IntN(2) == 0 {
		from = store.Position(m.rnd.Uint64N(uint64(end) + 3))
	}
	i := slices.IndexFunc(m.records, func(r store.Record) bool { return r.Next() > from })
	if i >= 0 {
		want = m.records[i:]
	}
	return from, want, from > end
}

func (m *model) commit(log store.Log) {
	from, want, lost := m.from()
	appends := make([]store.Append, m.rnd.IntN(4))
	for i := range appends {
		appends[i] = store.Append{Span: 1 + uint32(m.rnd.IntN(5)), Data: m.data()}
	}
	var broken error
	if m.rnd.IntN(8) == 0 {
		broken = errors.New("broken")
	}
	var last []store.Record // that build was given
	called := false
	added, err := log.Commit(m.Context(), from, func(tail []store.Record) ([]store.Append, error) {
		last, called = slices.Clone(tail), true
		return appends, broken
	})
	if called {
		m.same("tail", last, want)
	}
	switch {
	case lost && errors.Is(err, store.ErrLost), !lost && broken != nil && errors.Is(err, broken):
	case err != nil || lost || broken != nil:
		m.Errorf("commit from %d (lost %t, build %v): %v", from, lost, broken, err)
	default:
		placed, err := store.Place(next(m.records), appends)
		if err != nil {
			m.Fatal(err)
		}
		m.same("commit", added, placed)
		m.records = append(m.records, placed...)
	}
}

func (m *model) data() []byte {
	n := m.rnd.IntN(40)
	if m.rnd.IntN(10) == 0 {
		n = m.rnd.IntN(40_000)
	}
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(m.rnd.Uint32())
	}
	return data
}

func (m *model) read(log store.Log) {
	from, want, lost := m.from()
	limit := m.rnd.IntN(1 << (1 + m.rnd.IntN(17)))
	got, err := log.Read(m.Context(), from, limit)
	if lost {
		if !errors.Is(err, store.ErrLost) {
			m.Errorf("read from %d, which is lost: %v", from, err)
		}
		return
	}
	if err != nil {
		m.Errorf("read from %d: %v", from, err)
	}
	total, n := 0, 0
	for n < len(want) && (n == 0 || total+len(want[n].Data) <= limit) {
		total += len(want[n].Data)
		n++
	}
	m.same(fmt.Sprintf("read from %d, limit %d", from, limit), got, want[:n])
}

func (m *model) replaceRun(log store.Log) {
	if len(m.records) == 0 {
		return
	}
	from := m.rnd.IntN(len(m.records))
	to := min(len(m.records), from+1+m.rnd.IntN(5))
	old, data := slices.Clone(m.records[from:to]), m.data()
	stale := m.rnd.IntN(5) == 0
	if stale {
		i := m.rnd.IntN(len(old))
		old[i].Data = append(slices.Clone(old[i].Data), 'x')
	}
	err := log.Replace(m.Context(), old, data)
	switch {
	case stale && errors.Is(err, store.ErrReplaced):
	case stale || err != nil:
		m.Errorf("replace (stale %t): %v", stale, err)
	default:
		joined, err := store.Join(old, data)
		if err != nil {
			m.Fatal(err)
		}
		m.records = slices.Replace(m.records, from, to, joined)
	}
}

func (m *model) reopen() {
	if err := m.db.Close(); err != nil {
		m.Errorf("close database: %v", err)
	}
	m.db = m.Open(m.T)
	m.logs = []store.Log{m.log(m.db, m.name)}
}

func (m *model) same(what string, got, want []store.Record) {
	m.Helper()
	if !store.Same(got, want) {
		m.Errorf("%s: got %s, want %s", what, brief(got), brief(want))
	}
}
