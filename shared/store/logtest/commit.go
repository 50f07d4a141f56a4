package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/shoaldb/shoal/shared/store"
)

// brief describes records for a failure message.
func brief(records []store.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records", len(records))
	for i, r := range records {
		if i == 12 {
			b.WriteString(" ...")
			break
		}
		if len(r.Data) > 16 {
			fmt.Fprintf(&b, " [%d+%d %q... of %d bytes]", r.First, r.Span, r.Data[:16], len(r.Data))
		} else {
			fmt.Fprintf(&b, " [%d+%d %q]", r.First, r.Span, r.Data)
		}
	}
	return b.String()
}

func testPositions(s *suite) {
	log := s.log(s.open(), "a")
	s.want("read of an empty log", s.all(log, 100), nil)
	s.want("first commit", s.add(log, entry(1, "x")), []store.Record{record(1, 1, "x")})
	s.want("commit of several", s.add(log, entry(5, "y"), entry(1, "z"), entry(2, "w")),
		[]store.Record{record(2, 5, "y"), record(7, 1, "z"), record(8, 2, "w")})
	s.want("commit of a wide span", s.add(log, entry(4_000_000_000, "v")), []store.Record{record(10, 4_000_000_000, "v")})
	s.want("next commit", s.add(log, entry(1, "u")), []store.Record{record(4_000_000_010, 1, "u")})
	s.want("all", s.all(log, 1000), []store.Record{
		record(1, 1, "x"), record(2, 5, "y"), record(7, 1, "z"), record(8, 2, "w"),
		record(10, 4_000_000_000, "v"), record(4_000_000_010, 1, "u"),
	})
}

func testTail(s *suite) {
	log := s.log(s.open(), "a")
	records := s.add(log, entry(1, "x"), entry(3, "y"), entry(1, "z")) // at 1, 2 to 4, 5
	for from, want := range map[store.Position][]store.Record{
		0: records, 1: records, 2: records[1:], 3: records[1:], 4: records[1:], 5: records[2:], 6: nil,
	} {
		var tail []store.Record
		got, err := log.Commit(s.Context(), from, func(t []store.Record) ([]store.Append, error) { tail = t; return nil, nil })
		if err != nil || len(got) != 0 {
			s.Fatalf("commit of nothing from %d: %s, %v", from, brief(got), err)
		}
		s.want(fmt.Sprintf("tail from %d", from), tail, want)
		read, err := log.Read(s.Context(), from, 1000)
		if err != nil {
			s.Fatalf("read from %d: %v", from, err)
		}
		s.want(fmt.Sprintf("read from %d", from), read, want)
	}
}

func testNothing(s *suite) {
	db := s.open()
	log := s.log(db, "a")
	for _, appends := range [][]store.Append{nil, {}} {
		records, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) { return appends, nil })
		if err != nil || len(records) != 0 {
			s.Fatalf("commit of nothing: %s, %v", brief(records), err)
		}
	}
	names, err := db.Names(s.Context())
	if err != nil || len(names) != 0 {
		s.Fatalf("names: %q, %v; want none", names, err)
	}
	s.want("next commit", s.add(log, entry(1, "x")), []store.Record{record(1, 1, "x")})
}

func testBuildError(s *suite) {
	log := s.log(s.open(), "a")
	before := s.add(log, entry(2, "x"))
	broken := errors.New("broken")
	records, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) {
		return []store.Append{entry(1, "y")}, broken
	})
	if err != broken || len(records) != 0 { //nolint:errorlint // as it is means without a wrapper
		s.Fatalf("commit: %s, %v; want the error of build itself", brief(records), err)
	}
	s.want("all", s.all(log, 100), before)
	s.want("next commit", s.add(log, entry(1, "z")), []store.Record{record(3, 1, "z")})
}

func testBuildPanic(s *suite) {
	log := s.log(s.open(), "a")
	before := s.add(log, entry(2, "x"))
	func() {
		defer func() {
			if r := recover(); r != "broken" {
				s.Fatalf("commit with a build that panics: recovered %v, want the panic itself", r)
			}
		}()
		_, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) { panic("broken") })
		s.Fatalf("commit with a build that panics returned %v", err)
	}()
	s.want("all", s.all(log, 100), before)
	s.want("next commit", s.add(log, entry(1, "z")), []store.Record{record(3, 1, "z")})
}

func testBadAppends(s *suite) {
	log := s.log(s.open(), "a")
	before := s.add(log, entry(1, "x"))
	_, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) {
		return []store.Append{entry(1, "y"), entry(0, "z")}, nil
	})
	if err == nil {
		s.Fatal("commit took a span of 0")
	}
	s.want("all", s.all(log, 100), before)
}

func testData(s *suite) {
	log := s.log(s.open(), "a")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var appends []store.Append
	for _, n := range []int{0, 1, 255, 4096, 65_536, 300_000, 2 << 20, 8 << 20} {
		data := bytes.Repeat(every, n/256+1)[:n]
		appends = append(appends, store.Append{Span: uint32(n + 1), Data: data})
	}
	appends = append(appends, store.Append{Span: 1})
	want := s.add(log, appends...)
	for i, r := range want {
		if len(r.Data) > 0 && &r.Data[0] != &appends[i].Data[0] {
			s.Errorf("record %d does not have the data slice that build gave", i)
		}
	}
	for range 200 { // many commits, so that none of the above is at the end
		added, err := log.Commit(s.Context(), next(want), func([]store.Record) ([]store.Append, error) {
			return []store.Append{entry(1, "small")}, nil
		})
		if err != nil {
			s.Fatalf("commit: %v", err)
		}
		want = append(want, added...)
	}
	s.want("read in one", s.all(log, 1<<30), want)
	s.want("read in steps", s.all(log, 1<<20), want)
	s.want("read one by one", s.all(log, 0), want)
}

func testReadLimit(s *suite) {
	log := s.log(s.open(), "a")
	records := s.add(log, entry(1, "0123456789"), entry(1, "0123456789"), entry(1, ""), entry(1, "0123456789"), entry(1, "0"))
	for _, c := range []struct {
		from  store.Position
		limit int
		want  int
	}{
		{1, -1, 1},
		{1, 0, 1},
		{1, 10, 1},
		{1, 19, 1},
		{1, 20, 3},
		{1, 29, 3},
		{1, 30, 4},
		{1, 31, 5},
		{1, 1 << 30, 5},
		{2, 10, 2},
		{3, 0, 1},
		{3, 9, 1},
		{3, 10, 2},
		{4, 5, 1},
		{5, 0, 1},
		{6, 0, 0},
		{6, 100, 0},
	} {
		got, err := log.Read(s.Context(), c.from, c.limit)
		if err != nil {
			s.Fatalf("read from %d: %v", c.from, err)
		}
		start := int(c.from) - 1
		s.want(fmt.Sprintf("read from %d, limit %d", c.from, c.limit), got, records[start:start+c.want])
	}
}

func testLost(s *suite) {
	log := s.log(s.open(), "a")
	for _, next := range []store.Position{1, 6} {
		for _, from := range []store.Position{next + 1, next + 1000, store.MaxPosition, store.MaxPosition + 1, 1<<64 - 1} {
			_, err := log.Commit(s.Context(), from, func([]store.Record) ([]store.Append, error) {
				s.Errorf("commit from %d called build", from)
				return nil, nil
			})
			if !errors.Is(err, store.ErrLost) {
				s.Errorf("commit from %d while %d is next: %v, want ErrLost", from, next, err)
			}
			if got, err := log.Read(s.Context(), from, 100); !errors.Is(err, store.ErrLost) {
				s.Errorf("read from %d while %d is next: %s, %v, want ErrLost", from, next, brief(got), err)
			}
		}
		if next == 1 {
			s.add(log, entry(2, "x"), entry(3, "y"))
		}
	}
}

func testQuota(s *suite) {
	if s.Limited == nil {
		s.Skip("the medium cannot be limited")
	}
	db := s.closing(s.Limited(s.T, 1<<20))
	log := s.log(db, "a")
	var want []store.Record
	for i := range 1000 {
		appends := []store.Append{entry(1, fmt.Sprint("small", i)), {Span: 2, Data: bytes.Repeat([]byte{byte(i)}, 32<<10)}}
		records, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) { return appends, nil })
		if err == nil {
			want = append(want, records...)
			continue
		}
		if !errors.Is(err, store.ErrQuota) {
			s.Fatalf("commit to a full medium: %v, want ErrQuota", err)
		}
		s.want("all after a commit that found no space", s.all(log, 1<<20), want)
		if len(want) < 4 {
			s.Fatalf("the medium was full after %d records", len(want))
		}
		_, err = log.Commit(s.Context(), 1, func(tail []store.Record) ([]store.Append, error) {
			s.want("tail after a commit that found no space", tail, want)
			return nil, nil
		})
		if err != nil {
			s.Fatalf("commit of nothing to a full medium: %v", err)
		}
		return
	}
	s.Fatal("the medium was never full")
}
