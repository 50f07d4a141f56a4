// Package logtest is the conformance suite of store drivers. A driver passes when each sentence of the comments in package
// store holds for it.
//
//	func TestConformance(t *testing.T) {
//		logtest.Run(t, func(t *testing.T) *logtest.Medium { ... })
//	}
package logtest

import (
	"context"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/store"
)

// Stage is a place within an operation at which a driver can be made to crash.
type Stage string

// The stages, in the order in which an operation passes them.
const (
	BeforeAppend  Stage = "before append"  // build has run, the medium has nothing
	AfterAppend   Stage = "after append"   // the medium has the records, Commit has not returned
	BeforeReplace Stage = "before replace" // the records were found, nothing is changed
	AfterReplace  Stage = "after replace"  // the medium has the new record, Replace has not returned
)

// Medium is an empty place for a database, made for one test.
type Medium struct {
	// Open opens the database. The suite closes it before it opens another, unless Shared is set.
	Open func(t *testing.T) store.Database
	// Shared tells that several databases can be open at once, like tabs.
	Shared bool
	// CrashAt opens the database so that it crashes when it comes to that stage: the call answers with an error, and the
	// medium is what a crash at that very point leaves. The suite closes the database afterwards. nil means that the driver
	// cannot be made to crash from within.
	CrashAt func(t *testing.T, stage Stage) store.Database
	// Limited opens the database on a medium that takes at most about that many bytes. nil means that it cannot be limited.
	Limited func(t *testing.T, bytes int) store.Database
}

// Harness makes a new medium and cleans up after it with t.Cleanup.
type Harness func(t *testing.T) *Medium

// watchdog ends a test that waits for something that does not come.
const watchdog = 30 * time.Second

// suite is what the tests work with.
type suite struct {
	*testing.T
	*Medium
}

// Run tests the driver.
func Run(t *testing.T, harness Harness) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"commit gives positions", testPositions},
		{"commit gives build the tail", testTail},
		{"commit of nothing writes nothing", testNothing},
		{"commit answers the error of build", testBuildError},
		{"commit survives a panic in build", testBuildPanic},
		{"commit refuses bad appends", testBadAppends},
		{"data comes back as it was", testData},
		{"read keeps to its limit", testReadLimit},
		{"lost records are told", testLost},
		{"records survive close", testReopen},
		{"names and drop", testNames},
		{"logs are apart", testApart},
		{"handles see each other", testHandles},
		{"replace joins a run", testReplace},
		{"replace and a reader in the run", testReplaceReader},
		{"replace refuses what is not there", testReplaceRefuses},
		{"replace among commits and reads", testReplaceConcurrent},
		{"changed wakes the others", testChanged},
		{"closed handles", testClosed},
		{"close among commits", testCloseConcurrent},
		{"context", testContext},
		{"full medium", testQuota},
		{"crash", testCrash},
		{"model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&suite{T: t, Medium: harness(t)}) })
	}
}

// open opens the database and closes it when the test is over.
func (s *suite) open() store.Database {
	s.Helper()
	return s.closing(s.Open(s.T))
}

func (s *suite) closing(db store.Database) store.Database {
	s.Cleanup(func() {
		if err := db.Close(); err != nil {
			s.Errorf("close database: %v", err)
		}
	})
	return db
}

// log opens a log and closes it when the test is over.
func (s *suite) log(db store.Database, name string) store.Log {
	s.Helper()
	log, err := db.Log(s.Context(), name)
	if err != nil {
		s.Fatalf("open log: %v", err)
	}
	s.Cleanup(func() {
		if err := log.Close(); err != nil {
			s.Errorf("close log: %v", err)
		}
	})
	return log
}

// databases opens as many databases as can be open at once, at most n.
func (s *suite) databases(n int) []store.Database {
	if !s.Shared {
		n = 1
	}
	dbs := make([]store.Database, n)
	for i := range dbs {
		dbs[i] = s.open()
	}
	return dbs
}

// add commits records and fails the test where that fails.
func (s *suite) add(log store.Log, appends ...store.Append) []store.Record {
	s.Helper()
	records, err := log.Commit(s.Context(), 1, func([]store.Record) ([]store.Append, error) { return appends, nil })
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	return records
}

// all returns the whole log, read in steps of limit bytes.
func (s *suite) all(log store.Log, limit int) []store.Record {
	s.Helper()
	records, err := readAll(s.Context(), log, 1, limit)
	if err != nil {
		s.Fatalf("read: %v", err)
	}
	return records
}

// readAll reads from there to the end.
func readAll(ctx context.Context, log store.Log, from store.Position, limit int) ([]store.Record, error) {
	var all []store.Record
	for {
		records, err := log.Read(ctx, from, limit)
		if err != nil || len(records) == 0 {
			return all, err
		}
		all = append(all, records...)
		from = records[len(records)-1].Next()
	}
}

// want fails the test unless got are just these records.
func (s *suite) want(what string, got, want []store.Record) {
	s.Helper()
	if !store.Same(got, want) {
		s.Fatalf("%s: got %s, want %s", what, brief(got), brief(want))
	}
}

func record(first store.Position, span uint32, data string) store.Record {
	return store.Record{First: first, Span: span, Data: []byte(data)}
}

func entry(span uint32, data string) store.Append {
	return store.Append{Span: span, Data: []byte(data)}
}
