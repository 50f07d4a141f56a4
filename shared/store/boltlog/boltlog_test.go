//go:build !js

package boltlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
	"github.com/shoaldb/shoal/shared/store/logtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir, store.Durability(os.Getenv(childDurability)))
	}
	leakcheck.Main(m)
}

var errCrashed = errors.New("crashed")

func TestConformance(t *testing.T) {
	for name, opts := range map[string]*boltlog.Options{
		"strict":       nil,
		"relaxed":      {Durability: store.Relaxed, SyncInterval: time.Hour},
		"busy flusher": {Durability: store.Relaxed, SyncInterval: time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			logtest.Run(t, func(t *testing.T) *logtest.Medium { return medium(t, opts) })
		})
	}
}

func medium(t *testing.T, opts *boltlog.Options) *logtest.Medium {
	dir := t.TempDir()
	m := &logtest.Medium{
		Open: func(t *testing.T) store.Database {
			db, err := boltlog.Open(dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
		// What a process leaves that is killed at a stage are the files as they are then, all at one moment.
		CrashAt: func(t *testing.T, stage logtest.Stage) store.Database {
			whole, left, crashed := dir, t.TempDir(), new(atomic.Bool)
			db, err := boltlog.OpenHooked(dir, opts, func(s string) error {
				if s == string(stage) {
					copyDir(t, whole, left)
					crashed.Store(true)
					return errCrashed
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			dir = left
			return crashing{db, crashed}
		},
		Limited: func(t *testing.T, n int) store.Database {
			limited := boltlog.Options{MaxBytes: n}
			if opts != nil {
				limited.Durability, limited.SyncInterval = opts.Durability, opts.SyncInterval
			}
			db, err := boltlog.Open(t.TempDir(), &limited)
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
	}
	if opts != nil && opts.SyncInterval < time.Second {
		m.CrashAt = nil // a flush while the files are copied would leave what no crash does; TestKill has that case
	}
	return m
}

// crashing is a database that answers errors once its hook has said so.
type crashing struct {
	store.Database
	crashed *atomic.Bool
}

type crashingLog struct {
	store.Log
	crashed *atomic.Bool
}

func (db crashing) Log(ctx context.Context, name string) (store.Log, error) {
	log, err := db.Database.Log(ctx, name)
	return crashingLog{log, db.crashed}, err
}

func (l crashingLog) Read(ctx context.Context, from store.Position, limit int) ([]store.Record, error) {
	if l.crashed.Load() {
		return nil, errCrashed
	}
	return l.Log.Read(ctx, from, limit)
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string, opts *boltlog.Options) *boltlog.Database {
	t.Helper()
	db, err := boltlog.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openLog(t *testing.T, db store.Database, name string) store.Log {
	t.Helper()
	log, err := db.Log(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func add(t *testing.T, log store.Log, data ...string) {
	t.Helper()
	if _, err := commit(t.Context(), log, data...); err != nil {
		t.Fatal(err)
	}
}

func commit(ctx context.Context, log store.Log, data ...string) ([]store.Record, error) {
	return log.Commit(ctx, 1, func([]store.Record) ([]store.Append, error) {
		var appends []store.Append
		for _, d := range data {
			appends = append(appends, store.Append{Span: 1, Data: []byte(d)})
		}
		return appends, nil
	})
}

func read(t *testing.T, log store.Log) []string {
	t.Helper()
	records, err := log.Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, r := range records {
		data = append(data, string(r.Data))
	}
	return data
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, nil)
	_, err := boltlog.Open(dir, nil)
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "stop the process") {
		t.Fatalf("second open: %v, want ErrLocked, the directory and what to do", err)
	}
	add(t, openLog(t, first, "a"), "x")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
}

func TestOptions(t *testing.T) {
	for field, opts := range map[string]boltlog.Options{
		"Durability": {Durability: "sometimes"}, "SyncInterval": {SyncInterval: -1}, "MaxBytes": {MaxBytes: -1},
	} {
		db, err := boltlog.Open(t.TempDir(), &opts)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("open with a bad %s: %v, want an error that names it", field, err)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, nil)
	log := openLog(t, db, "a")
	for range 50 {
		add(t, log, strings.Repeat("x", 10_000))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"not a database": []byte(strings.Repeat("hello ", 10_000)),
		"cut short":      whole[:3*4096],
		"zeros behind":   append(bytes.Clone(whole[:2*4096]), make([]byte, len(whole))...),
		"ones behind":    append(bytes.Clone(whole[:2*4096]), bytes.Repeat([]byte{0xff}, len(whole))...),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "shoal.db"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			err := useAll(t, dir)
			if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "backup") {
				t.Fatalf("open and read: %v, want an error that says what to do", err)
			}
		})
	}
}

// useAll opens a database, reads it and writes to it.
func useAll(t *testing.T, dir string) error {
	db, err := boltlog.Open(dir, nil)
	if err != nil {
		return err
	}
	log := openLog(t, db, "a")
	_, readErr := log.Read(t.Context(), 1, 1<<30)
	_, commitErr := commit(t.Context(), log, "more")
	return errors.Join(readErr, commitErr, db.Close())
}

func TestLaterFormat(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, nil).Close()
	bolt, err := bbolt.Open(filepath.Join(dir, "shoal.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("2")) })
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := boltlog.Open(dir, nil); err == nil || !strings.Contains(err.Error(), "format") {
		t.Fatalf("open: %v, want an error about the format", err)
	}
	if _, err := boltlog.Open(dir, nil); errors.Is(err, store.ErrLocked) {
		t.Fatal("an open that failed keeps the lock")
	}
}

// TestJournalTakenOver opens what a relaxed process left, both ways, and once more with what a flush left.
func TestJournalTakenOver(t *testing.T) {
	for _, durability := range []store.Durability{store.Strict, store.Relaxed} {
		dir, killed := t.TempDir(), t.TempDir()
		db := open(t, dir, &boltlog.Options{Durability: store.Relaxed, SyncInterval: time.Hour})
		a, b := openLog(t, db, "a"), openLog(t, db, "b")
		add(t, a, "a1", "a2")
		add(t, b, "b1")
		add(t, a, "a3")
		copyDir(t, dir, killed)
		again := t.TempDir() // the file from after a flush with the journal from before it
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(dir, "shoal.db"), filepath.Join(again, "shoal.db"))
		copyFile(t, filepath.Join(killed, "shoal.journal"), filepath.Join(again, "shoal.journal"))
		for _, dir := range []string{killed, again} {
			for range 2 {
				db := open(t, dir, &boltlog.Options{Durability: durability})
				if got := fmt.Sprint(read(t, openLog(t, db, "a")), read(t, openLog(t, db, "b"))); got != "[a1 a2 a3] [b1]" {
					t.Errorf("%s: %s", durability, got)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			info, err := os.Stat(filepath.Join(dir, "shoal.journal"))
			if durability == store.Strict && !errors.Is(err, os.ErrNotExist) || durability == store.Relaxed && (err != nil || info.Size() != 0) {
				t.Errorf("%s: the journal is %v, %v after it was taken over", durability, info, err)
			}
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestJournalAfterPowerCut opens journals that a power cut left unfinished: cut short, with zeros, with one wrong bit.
func TestJournalAfterPowerCut(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, &boltlog.Options{Durability: store.Relaxed, SyncInterval: time.Hour})
	logs := []store.Log{openLog(t, db, "a"), openLog(t, db, "b")}
	add(t, logs[0], "flushed")
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	var order []string // of commits
	for i := range 12 {
		data := fmt.Sprintf("%c%02d", 'a'+i%2, i)
		add(t, logs[i%2], data+"x", data+"y")
		order = append(order, data)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "shoal.journal"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	check := func(what string, damaged []byte) {
		t.Helper()
		left := t.TempDir()
		copyFile(t, filepath.Join(dir, "shoal.db"), filepath.Join(left, "shoal.db"))
		if err := os.WriteFile(filepath.Join(left, "shoal.journal"), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := prefix(t, left, order)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		seen[n] = true
	}
	for n := 0; n <= len(journal); n += 7 {
		check(fmt.Sprintf("cut to %d bytes", n), journal[:n])
		check(fmt.Sprintf("zeros from %d", n), append(bytes.Clone(journal[:n]), make([]byte, len(journal)-n)...))
		flipped := append(bytes.Clone(journal), 0)
		flipped[n] ^= 0x10
		check(fmt.Sprintf("bit in byte %d", n), flipped)
	}
	check("whole", journal)
	if len(seen) != len(order)+1 {
		t.Errorf("journals of %d lengths were taken over, want each from 0 to %d", len(seen), len(order))
	}
}

// prefix returns how many commits are there, which must be the first ones, each as a whole.
func prefix(t *testing.T, dir string, order []string) (int, error) {
	db, err := boltlog.Open(dir, &boltlog.Options{Durability: store.Relaxed})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	got := append(read(t, openLog(t, db, "a")), read(t, openLog(t, db, "b"))...)
	want := []string{"flushed"}
	n := (len(got) - 1) / 2
	for _, log := range "ab" {
		for _, data := range order[:n] {
			if rune(data[0]) == log {
				want = append(want, data+"x", data+"y")
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return n, fmt.Errorf("%v, want %v", got, want)
	}
	return n, nil
}

// TestJournalWithGap has a journal whose first records do not follow on the file.
func TestJournalWithGap(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	db := open(t, dir, &boltlog.Options{Durability: store.Relaxed, SyncInterval: time.Hour})
	log := openLog(t, db, "a")
	add(t, log, "x")
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	add(t, log, "y")
	copyFile(t, filepath.Join(dir, "shoal.journal"), filepath.Join(empty, "shoal.journal"))
	other := open(t, empty, nil)
	if got := read(t, openLog(t, other, "a")); len(got) != 0 {
		t.Errorf("a journal of another file was taken over: %v", got)
	}
}

func TestFullWithJournal(t *testing.T) {
	dir := t.TempDir()
	relaxed := &boltlog.Options{Durability: store.Relaxed, SyncInterval: time.Hour, MaxBytes: 1 << 20}
	db := open(t, dir, relaxed)
	log := openLog(t, db, "a")
	var want []string
	for i := range 40 { // 4 MB, all of which the journal takes
		want = append(want, strings.Repeat(fmt.Sprint(i%10), 100_000))
		add(t, log, want[i])
	}
	if err := db.Flush(); !errors.Is(err, store.ErrQuota) {
		t.Fatalf("flush: %v, want ErrQuota", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close while the file is full: %v", err)
	}
	for _, durability := range []store.Durability{store.Relaxed, store.Strict} {
		db := open(t, dir, &boltlog.Options{Durability: durability, MaxBytes: 1 << 20})
		if got := read(t, openLog(t, db, "a")); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d records of %d are there while the file is full", durability, len(got), len(want))
		}
		if _, err := commit(t.Context(), openLog(t, db, "a"), strings.Repeat("x", 2<<20)); !errors.Is(err, store.ErrQuota) {
			t.Errorf("%s: commit: %v, want ErrQuota", durability, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, openLog(t, open(t, dir, nil), "a")); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d records of %d are there once there is space", len(got), len(want))
	}
}

// TestSyncInterval waits for the flusher to empty the journal.
func TestSyncInterval(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, &boltlog.Options{Durability: store.Relaxed, SyncInterval: time.Millisecond})
	add(t, openLog(t, db, "a"), "x")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		info, err := os.Stat(filepath.Join(dir, "shoal.journal"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the journal was not brought into the file")
		}
	}
	left := t.TempDir()
	copyFile(t, filepath.Join(dir, "shoal.db"), filepath.Join(left, "shoal.db"))
	if got := read(t, openLog(t, open(t, left, nil), "a")); len(got) != 1 {
		t.Errorf("the file alone holds %v", got)
	}
}
