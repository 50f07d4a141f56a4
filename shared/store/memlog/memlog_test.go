package memlog_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/logtest"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestConformance(t *testing.T) {
	logtest.Run(t, func(*testing.T) *logtest.Medium {
		disk := memlog.New(nil)
		return &logtest.Medium{
			Open:   func(*testing.T) store.Database { return disk.Open(nil) },
			Shared: true,
			CrashAt: func(_ *testing.T, stage logtest.Stage) store.Database {
				return disk.Open(func(s memlog.Step) error {
					if s.Stage == memlog.Stage(stage) {
						return memlog.ErrCrashed
					}
					return nil
				})
			},
			Limited: func(_ *testing.T, bytes int) store.Database {
				return memlog.New(&memlog.Options{Quota: int64(bytes)}).Open(nil)
			},
		}
	})
}

func open(t *testing.T, disk *memlog.Disk, hook memlog.Hook) (*memlog.Database, store.Log) {
	t.Helper()
	db := disk.Open(hook)
	log, err := db.Log(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, log
}

func add(ctx context.Context, log store.Log, from store.Position, data string) ([]store.Record, error) {
	return log.Commit(ctx, from, func([]store.Record) ([]store.Append, error) {
		return []store.Append{{Span: 1, Data: []byte(data)}}, nil
	})
}

func count(t *testing.T, log store.Log) int {
	t.Helper()
	records, err := log.Read(t.Context(), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

func TestHookError(t *testing.T) {
	var at memlog.Stage
	_, log := open(t, memlog.New(nil), func(s memlog.Step) error {
		if s.Stage == at {
			return store.ErrQuota
		}
		return nil
	})
	at = memlog.BeforeAppend
	if _, err := add(t.Context(), log, 1, "x"); !errors.Is(err, store.ErrQuota) || count(t, log) != 0 {
		t.Fatalf("commit: %v with %d records, want ErrQuota and none", err, count(t, log))
	}
	at = ""
	old, err := add(t.Context(), log, 1, "x")
	if err != nil {
		t.Fatal(err)
	}
	at = memlog.BeforeReplace
	if err := log.Replace(t.Context(), old, nil); !errors.Is(err, store.ErrQuota) {
		t.Fatalf("replace: %v, want ErrQuota", err)
	}
	at = memlog.AfterAppend // too late for an error that the caller could take for a refusal
	if _, err := add(t.Context(), log, 1, "y"); !errors.Is(err, memlog.ErrCrashed) {
		t.Fatalf("commit: %v, want ErrCrashed", err)
	}
	if _, err := log.Read(t.Context(), 1, 0); !errors.Is(err, memlog.ErrCrashed) {
		t.Fatalf("read: %v, want ErrCrashed", err)
	}
}

func TestHookBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, thaw := memlog.New(nil), make(chan struct{})
		frozen, first := open(t, disk, func(memlog.Step) error { <-thaw; return nil })
		_, second := open(t, disk, nil)
		firstErr, secondErr := make(chan error, 1), make(chan error, 1)
		go func() { _, err := add(t.Context(), first, 1, "x"); firstErr <- err }()
		synctest.Wait()
		go func() { _, err := add(t.Context(), second, 1, "y"); secondErr <- err }()
		synctest.Wait()
		if n := count(t, second); n != 0 {
			t.Fatalf("%d records while the first tab is frozen within its commit, want none", n)
		}
		frozen.Crash()
		close(thaw)
		if err := <-firstErr; !errors.Is(err, memlog.ErrCrashed) {
			t.Fatalf("commit of the crashed tab: %v", err)
		}
		if err := <-secondErr; err != nil || count(t, second) != 1 {
			t.Fatalf("commit of the other tab: %v, %d records", err, count(t, second))
		}
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, log := open(t, memlog.New(&memlog.Options{Latency: time.Second}), nil)
		begin := time.Now()
		for range 3 {
			if _, err := add(t.Context(), log, 1, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Fatalf("3 commits took %v of the bubble's time", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := add(ctx, log, 1, "x"); !errors.Is(err, context.DeadlineExceeded) || count(t, log) != 3 {
			t.Fatalf("commit: %v with %d records, want the deadline and 3", err, count(t, log))
		}
	})
}

func TestQuotaFrees(t *testing.T) {
	_, log := open(t, memlog.New(&memlog.Options{Quota: 10}), nil)
	old, err := add(t.Context(), log, 1, "0123456789")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Replace(t.Context(), old, []byte("01234567890")); !errors.Is(err, store.ErrQuota) {
		t.Fatalf("replace beyond the quota: %v", err)
	}
	if err := log.Replace(t.Context(), old, []byte("0")); err != nil {
		t.Fatal(err)
	}
	if _, err := add(t.Context(), log, 1, "123456789"); err != nil {
		t.Fatalf("commit into freed space: %v", err)
	}
}

func TestBackup(t *testing.T) {
	disk := memlog.New(nil)
	_, log := open(t, disk, nil)
	if _, err := add(t.Context(), log, 1, "x"); err != nil {
		t.Fatal(err)
	}
	backup := disk.Copy()
	if _, err := add(t.Context(), log, 2, "y"); err != nil {
		t.Fatal(err)
	}
	_, kept := open(t, backup, nil)
	if n := count(t, kept); n != 1 {
		t.Fatalf("the backup has %d records, want the 1 of its time", n)
	}
	disk.Restore(backup)
	if n := count(t, log); n != 1 {
		t.Fatalf("%d records after the backup was put back, want 1", n)
	}
	if _, err := add(t.Context(), log, 3, "z"); !errors.Is(err, store.ErrLost) {
		t.Fatalf("commit by one who saw more: %v, want ErrLost", err)
	}
	if _, err := add(t.Context(), log, 2, "z"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, kept); n != 1 {
		t.Fatalf("the backup has %d records after a commit to the disk, want 1", n)
	}
}

func TestFlip(t *testing.T) {
	disk := memlog.New(nil)
	_, log := open(t, disk, nil)
	before, err := add(t.Context(), log, 1, "abc")
	if err != nil {
		t.Fatal(err)
	}
	for _, bit := range []int{-1, 24, 1000} {
		if disk.Flip("a", 1, bit) {
			t.Errorf("bit %d could be flipped in 3 bytes", bit)
		}
	}
	if disk.Flip("a", 2, 0) || disk.Flip("b", 1, 0) || !disk.Flip("a", 1, 8) {
		t.Error("Flip does not tell what it did")
	}
	after, err := log.Read(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after[0].Data, []byte("acc")) || !bytes.Equal(before[0].Data, []byte("abc")) {
		t.Errorf("data %q, want \"acc\"; data read before %q, want it as it was", after[0].Data, before[0].Data)
	}
}
