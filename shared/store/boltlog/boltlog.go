//go:build !js

// Package boltlog keeps the logs of a replica in a data directory, for native programs.
//
// The directory holds one bbolt file, shoal.db, and with store.Relaxed a journal beside it. One process has it open at a time.
package boltlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/shoaldb/shoal/internal/gate"
	"github.com/shoaldb/shoal/shared/store"
)

// Options says how a database works. The zero value is strict, without a limit.
type Options struct {
	// Durability says when a commit counts as done; "" means store.Strict.
	//
	// Strict: each commit is a bbolt transaction, which ends when the disk has it (fdatasync, twice).
	//
	// Relaxed: each commit is appended to a journal and counts when the operating system has that. The journal goes into the
	// bbolt file every SyncInterval, and when it is large. A process that is killed loses nothing. A power cut loses the
	// commits of at most about that interval, the newest ones; each is lost as a whole or not at all. (bbolt's own
	// NoSync would be cheaper still, but a power cut can then leave a file that cannot be opened any more: the disk may have
	// the page that refers to others before it has those.)
	Durability store.Durability
	// SyncInterval is how long a relaxed commit may wait until the disk has it. 0 means one second.
	SyncInterval time.Duration
	// MaxBytes is how large the bbolt file may become; commits beyond it fail with store.ErrQuota. bbolt grows the file in
	// large steps and rewrites a part of it to replace records, so that some of that space cannot be used. 0 means no limit.
	MaxBytes int
}

const (
	fileName    = "shoal.db"
	journalName = "shoal.journal"
	format      = "1" // of what is in the bbolt file

	defaultSyncInterval = time.Second
)

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Durability == "" {
		opts.Durability = store.Strict
	}
	if opts.SyncInterval == 0 {
		opts.SyncInterval = defaultSyncInterval
	}
	return opts
}

func (o *Options) validate() error {
	switch {
	case o.Durability != store.Strict && o.Durability != store.Relaxed:
		return fmt.Errorf("option Durability is %q, it can be %q or %q", o.Durability, store.Strict, store.Relaxed)
	case o.SyncInterval < 0:
		return fmt.Errorf("option SyncInterval is %v, it cannot be negative", o.SyncInterval)
	case o.MaxBytes < 0:
		return fmt.Errorf("option MaxBytes is %d, it cannot be negative", o.MaxBytes)
	}
	return nil
}

// stage is a place within an operation at which tests can interfere.
type stage string

const (
	beforeAppend  stage = "before append"
	afterAppend   stage = "after append"
	beforeReplace stage = "before replace"
	afterReplace  stage = "after replace"
)

// Database is a store.Database in a data directory.
type Database struct {
	dir    string
	opts   Options
	hook   func(stage) error // nil but in tests
	gate   gate.Gate
	writer chan struct{} // holds a token while nobody writes
	dirty  chan struct{} // holds a token while the journal has something for the flusher
	cancel context.CancelFunc
	wg     sync.WaitGroup // of the flusher

	mu      sync.RWMutex // guards the following fields; who writes the file or the journal holds it
	file    *os.File     // of bolt, which closes it
	bolt    *bbolt.DB
	journal *journal // nil when strict, unless there was no space to take over the one of a relaxed process
	failed  error    // of a write after which nobody knows what the disk has
	closed  bool

	handlesMu sync.Mutex // guards handles
	handles   map[*handle]struct{}
}

var _ store.Database = (*Database)(nil)

// Open opens the database in dir, which is made if need be; opts may be nil. The caller closes it. It fails with an error
// that matches store.ErrLocked while another process, or another Database of this one, has it open.
func Open(dir string, opts *Options) (*Database, error) {
	db, err := open(dir, opts.withDefaults(), nil)
	if err != nil {
		return nil, fmt.Errorf("open database in %s: %w", dir, err)
	}
	return db, nil
}

func open(dir string, opts Options, hook func(stage) error) (*Database, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	db := &Database{
		dir: dir, opts: opts, hook: hook, cancel: cancel,
		writer: make(chan struct{}, 1), dirty: make(chan struct{}, 1), handles: make(map[*handle]struct{}),
	}
	db.writer <- struct{}{}
	if err := guard(db.openFiles); err != nil {
		cancel()
		return nil, errors.Join(err, db.closeFiles())
	}
	if db.opts.Durability == store.Relaxed {
		db.wg.Go(func() { db.flushLoop(ctx) })
	}
	return db, nil
}

func (db *Database) openFiles() error {
	path := filepath.Join(db.dir, fileName)
	_, statErr := os.Stat(path)
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: time.Nanosecond, // try the lock once
		MaxSize: db.opts.MaxBytes,
		OpenFile: func(name string, flag int, perm os.FileMode) (file *os.File, err error) {
			db.file, err = os.OpenFile(name, flag, perm)
			return db.file, err
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: stop the process that has it open, or give this one a directory of its own", store.ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%s is damaged or is not a database (%w): put a backup in its place, or move it away and peers send the data again", path, err)
	case err != nil:
		return err
	}
	db.bolt = bolt
	if err := checkFormat(bolt); err != nil {
		return err
	}
	if errors.Is(statErr, os.ErrNotExist) {
		if err := syncDir(db.dir); err != nil {
			return err
		}
	}
	return db.openJournal()
}

// openJournal takes over what a relaxed process left, and begins a new journal where this one is relaxed.
func (db *Database) openJournal() error {
	journal, err := replay(filepath.Join(db.dir, journalName), db.bolt)
	if err != nil {
		return err
	}
	db.journal = journal
	err = db.flush()
	switch {
	case errors.Is(err, store.ErrQuota):
		db.touch() // the records stay in the journal until there is space
		return nil
	case err != nil:
		return fmt.Errorf("take over the journal: %w", err)
	case db.opts.Durability == store.Relaxed:
		return nil
	}
	db.journal = nil
	return journal.remove()
}

// Log implements store.Database.
func (db *Database) Log(ctx context.Context, name string) (store.Log, error) {
	_, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	h := &handle{db: db, name: name, changed: make(chan struct{}, 1)}
	db.handlesMu.Lock()
	defer db.handlesMu.Unlock()
	db.handles[h] = struct{}{}
	return h, nil
}

// Names implements store.Database.
func (db *Database) Names(ctx context.Context) ([]string, error) {
	_, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	defer leave()
	names := make(map[string]struct{})
	err = db.view(func(tx *bbolt.Tx) error {
		for name := range db.journal.pendingLogs() {
			names[name] = struct{}{}
		}
		return eachLog(tx, func(name string) { names[name] = struct{}{} })
	})
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// Drop implements store.Database.
func (db *Database) Drop(ctx context.Context, name string) error {
	ctx, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	defer leave()
	if err := store.CheckName(name); err != nil {
		return fmt.Errorf("drop log: %w", err)
	}
	release, err := db.lock(ctx)
	if err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	defer release()
	if err := db.drop(name); err != nil {
		return fmt.Errorf("drop log %q: %w", name, err)
	}
	return nil
}

// drop deletes a log. The caller is the writer.
func (db *Database) drop(name string) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.flush(); err != nil {
		return err
	}
	if db.journal != nil {
		// A journal that outlived a power cut would write the dropped records anew, from position 1.
		if err := db.journal.file.Sync(); err != nil {
			return err
		}
	}
	return db.update(func(tx *bbolt.Tx) error { return dropLog(tx, name) })
}

// Close implements store.Database.
func (db *Database) Close() error {
	db.gate.Close()
	db.handlesMu.Lock()
	handles := slices.Collect(maps.Keys(db.handles))
	db.handlesMu.Unlock()
	for _, h := range handles {
		h.Close()
	}
	db.cancel()
	db.wg.Wait()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	err := db.flush()
	if errors.Is(err, store.ErrQuota) {
		err = db.journal.file.Sync() // who opens the database next takes it over
	}
	if err := errors.Join(err, db.closeFiles()); err != nil {
		return fmt.Errorf("close database in %s: %w", db.dir, err)
	}
	return nil
}

func (db *Database) closeFiles() error {
	var errs []error
	if db.journal != nil {
		errs = append(errs, db.journal.file.Close())
	}
	switch {
	case db.bolt != nil:
		errs = append(errs, db.bolt.Close())
	case db.file != nil:
		db.file.Close() // bbolt did so itself, unless it panicked
	}
	return errors.Join(errs...)
}

// lock makes the caller the writer.
func (db *Database) lock(ctx context.Context) (release func(), err error) {
	select {
	case <-db.writer:
		return func() { db.writer <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// flushLoop brings the journal into the bbolt file a while after it got something.
func (db *Database) flushLoop(ctx context.Context) {
	for {
		select {
		case <-db.dirty:
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(db.opts.SyncInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		db.mu.Lock()
		if err := db.flush(); err != nil {
			db.touch() // a full disk may have space next time; any other error shows at the next commit
		}
		db.mu.Unlock()
	}
}

// touch tells the flusher that there is something in the journal.
func (db *Database) touch() {
	select {
	case db.dirty <- struct{}{}:
	default:
	}
}

// wake tells the other handles of the log.
func (db *Database) wake(writer *handle) {
	db.handlesMu.Lock()
	defer db.handlesMu.Unlock()
	for h := range db.handles {
		if h == writer || h.name != writer.name {
			continue
		}
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
}
