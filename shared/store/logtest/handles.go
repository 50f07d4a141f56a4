package logtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/shoaldb/shoal/shared/store"
)

func testReopen(s *suite) {
	db := s.Open(s.T)
	log := s.log(db, "a")
	want := s.add(log, entry(3, "x"), entry(1, "y"))
	want = append(want, s.add(log, entry(1, "z"))...)
	if err := log.Close(); err != nil {
		s.Fatalf("close log: %v", err)
	}
	s.want("another handle", s.all(s.log(db, "a"), 100), want)
	if err := db.Close(); err != nil {
		s.Fatalf("close database: %v", err)
	}
	again := s.log(s.open(), "a")
	s.want("opened again", s.all(again, 100), want)
	s.want("commit", s.add(again, entry(1, "w")), []store.Record{record(6, 1, "w")})
}

func testNames(s *suite) {
	db := s.open()
	good := []string{"b", "a", "B", "docs/todo", "ü", "日本", "a\x00b", "a b", "~", ".", "..", "x\U0001F600", "\uFFFD", strings.Repeat("n", store.MaxName)}
	for i, name := range good {
		s.add(s.log(db, name), entry(uint32(i+1), name))
	}
	s.log(db, "empty")
	for i, name := range good {
		s.want(fmt.Sprintf("log %q", name), s.all(s.log(db, name), 1000), []store.Record{record(1, uint32(i+1), name)})
	}
	sorted := slices.Sorted(slices.Values(good))
	s.wantNames(db, sorted)
	for _, name := range []string{"", "a\xff", strings.Repeat("n", store.MaxName+1)} {
		if log, err := db.Log(s.Context(), name); err == nil {
			log.Close()
			s.Errorf("a log could be opened with the name %q", name)
		}
	}
	for _, name := range []string{"a", "never was", "empty"} {
		if err := db.Drop(s.Context(), name); err != nil {
			s.Fatalf("drop %q: %v", name, err)
		}
	}
	s.wantNames(db, slices.DeleteFunc(sorted, func(name string) bool { return name == "a" }))
	again := s.log(db, "a")
	s.want("dropped log", s.all(again, 1000), nil)
	s.want("commit to a dropped log", s.add(again, entry(1, "new")), []store.Record{record(1, 1, "new")})
	s.want("the log with the next name", s.all(s.log(db, "a\x00b"), 1000), []store.Record{record(1, 7, "a\x00b")})
}

func (s *suite) wantNames(db store.Database, want []string) {
	s.Helper()
	if names, err := db.Names(s.Context()); err != nil || !slices.Equal(names, want) {
		s.Fatalf("names: %q, %v; want %q", names, err, want)
	}
}

func testApart(s *suite) {
	db := s.open()
	a, b := s.log(db, "a"), s.log(db, "b")
	ra := s.add(a, entry(2, "a1"))
	rb := s.add(b, entry(1, "b1"))
	ra = append(ra, s.add(a, entry(2, "a2"))...)
	rb = append(rb, s.add(b, entry(1, "b2"))...)
	s.want("a", s.all(a, 100), ra)
	s.want("b", s.all(b, 100), rb)
	if err := a.Replace(s.Context(), ra, []byte("a3")); err != nil {
		s.Fatalf("replace: %v", err)
	}
	s.want("a replaced", s.all(a, 100), []store.Record{record(1, 4, "a3")})
	s.want("b while a was replaced", s.all(b, 100), rb)
}

// testHandles has several handles commit at once. Each follows the log by the tails that its own commits show.
func testHandles(s *suite) {
	const handles, commits = 6, 30
	dbs := s.databases(3)
	followed := make([][]store.Record, handles)
	logs := make([]store.Log, handles)
	for i := range logs {
		logs[i] = s.log(dbs[i%len(dbs)], "a")
	}
	var wg sync.WaitGroup
	for i, log := range logs {
		wg.Go(func() {
			for n := range commits {
				seen, err := follow(s.Context(), log, followed[i], entry(uint32(n%3+1), fmt.Sprint(i, "-", n)), entry(1, "and"))
				if err != nil {
					s.Errorf("commit %d of handle %d: %v", n, i, err)
					return
				}
				followed[i] = seen
			}
		})
	}
	wg.Wait()
	all := s.all(logs[0], 200)
	if len(all) != handles*commits*2 {
		s.Fatalf("%d records, want %d", len(all), handles*commits*2)
	}
	for i, log := range logs {
		rest, err := log.Read(s.Context(), next(followed[i]), 1<<20)
		if err != nil {
			s.Fatalf("read: %v", err)
		}
		s.want(fmt.Sprintf("what handle %d saw", i), append(followed[i], rest...), all)
	}
}

// follow commits and returns what the log holds then, as one knows who knew seen before.
func follow(ctx context.Context, log store.Log, seen []store.Record, appends ...store.Append) ([]store.Record, error) {
	var tail []store.Record
	added, err := log.Commit(ctx, next(seen), func(t []store.Record) ([]store.Append, error) {
		tail = t
		invite()
		return appends, nil
	})
	return slices.Concat(seen, tail, added), err
}

// invite lets other goroutines run in the middle of a commit, so that they come between where the driver lets them.
func invite() {
	for range 20 {
		runtime.Gosched()
	}
}

func next(records []store.Record) store.Position {
	if len(records) == 0 {
		return 1
	}
	return records[len(records)-1].Next()
}

// testChanged has one handle follow another by nothing but the channel.
func testChanged(s *suite) {
	dbs := s.databases(2)
	writer, reader := s.log(dbs[0], "a"), s.log(dbs[len(dbs)-1], "a")
	if first, second := reader.Changed(), reader.Changed(); first != second {
		s.Fatal("Changed returned two channels")
	}
	const commits = 50
	ctx, cancel := context.WithTimeout(s.Context(), watchdog)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- followChanged(ctx, reader, commits) }()
	for n := range commits {
		s.add(writer, binary32(n))
	}
	if err := <-done; err != nil {
		s.Fatalf("follow the channel: %v", err)
	}
}

func binary32(n int) store.Append {
	return store.Append{Span: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(n))}
}

// followChanged returns once it has seen that many records.
func followChanged(ctx context.Context, log store.Log, commits int) error {
	var seen []store.Record
	for len(seen) < commits {
		records, err := readAll(ctx, log, next(seen), 1<<20)
		if err != nil {
			return err
		}
		if seen = append(seen, records...); len(seen) >= commits {
			break
		}
		select {
		case <-log.Changed():
		case <-ctx.Done():
			return fmt.Errorf("no word of a change after %d of %d records: %w", len(seen), commits, ctx.Err())
		}
	}
	return nil
}

func testClosed(s *suite) {
	db := s.Open(s.T)
	closed, left := s.log(db, "a"), s.log(db, "a")
	old := s.add(left, entry(1, "x"))
	for range 2 {
		if err := closed.Close(); err != nil {
			s.Fatalf("close log: %v", err)
		}
	}
	s.wantClosed(closed, old)
	s.want("handle beside a closed one", s.all(left, 100), old)
	for range 2 {
		if err := db.Close(); err != nil {
			s.Fatalf("close database: %v", err)
		}
	}
	s.wantClosed(left, old)
	if err := left.Close(); err != nil {
		s.Fatalf("close log of a closed database: %v", err)
	}
	if _, err := db.Log(s.Context(), "a"); !errors.Is(err, net.ErrClosed) {
		s.Errorf("log of a closed database: %v, want net.ErrClosed", err)
	}
	if _, err := db.Names(s.Context()); !errors.Is(err, net.ErrClosed) {
		s.Errorf("names of a closed database: %v, want net.ErrClosed", err)
	}
	if err := db.Drop(s.Context(), "a"); !errors.Is(err, net.ErrClosed) {
		s.Errorf("drop in a closed database: %v, want net.ErrClosed", err)
	}
}

func (s *suite) wantClosed(log store.Log, old []store.Record) {
	s.Helper()
	_, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) {
		s.Error("commit to a closed log called build")
		return nil, nil
	})
	if !errors.Is(err, net.ErrClosed) {
		s.Errorf("commit to a closed log: %v, want net.ErrClosed", err)
	}
	if _, err := log.Read(s.Context(), 1, 100); !errors.Is(err, net.ErrClosed) {
		s.Errorf("read of a closed log: %v, want net.ErrClosed", err)
	}
	if err := log.Replace(s.Context(), old, nil); !errors.Is(err, net.ErrClosed) {
		s.Errorf("replace in a closed log: %v, want net.ErrClosed", err)
	}
	if log.Changed() == nil {
		s.Error("a closed log has no channel")
	}
}

// testCloseConcurrent closes a log, and in a second round the database, in the middle of commits.
func testCloseConcurrent(s *suite) {
	for round, closeIt := range []func(store.Database, store.Log) error{
		func(_ store.Database, log store.Log) error { return log.Close() },
		func(db store.Database, _ store.Log) error { return db.Close() },
	} {
		db := s.Open(s.T)
		log := s.log(db, fmt.Sprint("log", round))
		const writers = 4
		started, sums := make(chan struct{}, writers*4), make(chan uint32, writers)
		for range writers {
			go func() { sums <- commitUntilClosed(s, log, started) }()
		}
		for range writers * 4 {
			<-started
		}
		if err := closeIt(db, log); err != nil {
			s.Errorf("close: %v", err)
		}
		committed := uint32(0)
		for range writers {
			committed += <-sums
		}
		if err := db.Close(); err != nil {
			s.Fatalf("close database: %v", err)
		}
		db = s.Open(s.T)
		if n := len(s.all(s.log(db, fmt.Sprint("log", round)), 1<<20)); n != int(committed) {
			s.Errorf("%d records are there, %d commits succeeded", n, committed)
		}
		if err := db.Close(); err != nil {
			s.Fatalf("close database: %v", err)
		}
	}
}

// commitUntilClosed returns how many commits succeeded. It tells of the first four.
func commitUntilClosed(s *suite, log store.Log, started chan<- struct{}) uint32 {
	from := store.Position(1)
	for n := uint32(0); ; n++ {
		runtime.Gosched() // under js nothing else would run beside a driver that never blocks
		added, err := log.Commit(context.Background(), from, func([]store.Record) ([]store.Append, error) {
			return []store.Append{entry(1, "x")}, nil
		})
		if err == nil {
			from = next(added)
		}
		if n < 4 {
			started <- struct{}{}
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, net.ErrClosed) {
			s.Errorf("commit while the log was closed: %v, want net.ErrClosed", err)
		}
		for ; n < 3; n++ {
			started <- struct{}{}
		}
		return n
	}
}

func testContext(s *suite) {
	db := s.open()
	log := s.log(db, "a")
	want := s.add(log, entry(1, "x"))
	cause := errors.New("had enough")
	ended, cancel := context.WithCancelCause(s.Context())
	cancel(cause)
	_, commitErr := log.Commit(ended, 1, func([]store.Record) ([]store.Append, error) { return []store.Append{entry(1, "y")}, nil })
	_, readErr := log.Read(ended, 1, 100)
	replaceErr := log.Replace(ended, want, []byte("z"))
	_, logErr := db.Log(ended, "b")
	_, namesErr := db.Names(ended)
	dropErr := db.Drop(ended, "a")
	for what, err := range map[string]error{
		"commit": commitErr, "read": readErr, "replace": replaceErr, "log": logErr, "names": namesErr, "drop": dropErr,
	} {
		if !errors.Is(err, cause) {
			s.Errorf("%s with a context that has ended: %v, want its cause", what, err)
		}
	}
	s.want("all", s.all(log, 100), want)

	for n := range 20 { // ends while the commit is under way: either way is right, as long as what it says is true
		ctx, cancel := context.WithCancelCause(s.Context())
		added, err := log.Commit(ctx, 1, func([]store.Record) ([]store.Append, error) {
			cancel(cause)
			return []store.Append{entry(1, fmt.Sprint("n", n))}, nil
		})
		if err != nil && !errors.Is(err, cause) {
			s.Fatalf("commit while its context ended: %v, want its cause", err)
		}
		want = append(want, added...)
		s.want(fmt.Sprintf("all, after a commit that answered %v", err), s.all(log, 1000), want)
	}
}
