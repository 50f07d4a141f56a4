//go:build !js

// Package shoal is a document database for Go programs that take part in rooms of browsers and other programs: a replica in a data
// directory, of which each document is a JSON object, and which replicates with all others of a room over WebRTC.
//
//	db, err := shoal.Open("data", nil)
//	todos, err := db.Collection(ctx, "todos", nil)
//	room, err := db.Join(ctx, "wss://example.com/signal", "my-users-pool", nil)
//	err = room.AwaitInSync(ctx)
//
// See docs/go.md, and the example. The command shoal-peer is made of this package.
package shoal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/migration"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// The types of documents, by the names that users know.
type (
	Document = collection.Document
	Change   = collection.Change
	// Handler resolves conflicts; FieldMerge is one.
	Handler    = collection.Handler
	FieldMerge = collection.FieldMerge
)

// The errors that callers branch on.
var (
	ErrLocked   = store.ErrLocked // another process has the data directory open
	ErrExists   = collection.ErrExists
	ErrNotFound = collection.ErrNotFound
	ErrInvalid  = collection.ErrInvalid
)

// Options adjusts a Database. The zero value of a field is its default.
type Options struct {
	// Durability says when a write counts as done. Default: store.Strict, when the disk has it.
	Durability store.Durability
	// Logger receives what happens; nil discards it. Content of documents is never logged.
	Logger *slog.Logger
}

// Database is a replica in a data directory. All methods may be called concurrently.
type Database struct {
	dir  string
	log  *slog.Logger
	logs *boltlog.Database

	mu          sync.Mutex // guards the following fields
	closed      bool
	collections []*Collection
	rooms       []*Room
}

// Open opens the database in dir, which is made if it is not there. One process has it open at a time: for a second the error
// matches ErrLocked. The caller closes it.
func Open(dir string, opts *Options) (*Database, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	logs, err := boltlog.Open(dir, &boltlog.Options{Durability: o.Durability})
	if err != nil {
		return nil, err
	}
	return &Database{dir: dir, log: o.Logger, logs: logs}, nil
}

// Dir returns the data directory.
func (db *Database) Dir() string { return db.dir }

// Stored is a collection in the data directory, open or not.
type Stored struct {
	Name          string
	SchemaVersion uint32
}

// String returns the name, and the version of the schema where that is not 0: "todos@2".
func (s Stored) String() string {
	if s.SchemaVersion == 0 {
		return s.Name
	}
	return fmt.Sprintf("%s@%d", s.Name, s.SchemaVersion)
}

// logName is that of the log: each version of a schema has one of its own.
func (s Stored) logName() string { return migration.LogName(s.Name, s.SchemaVersion) }

// Stored lists the collections in the data directory, by name and version.
func (db *Database) Stored(ctx context.Context) ([]Stored, error) {
	names, err := db.logs.Names(ctx)
	if err != nil {
		return nil, err
	}
	var list []Stored
	for _, n := range names {
		i := strings.LastIndexByte(n, '/')
		version, err := strconv.ParseUint(n[i+1:], 10, 32)
		if i < 0 || err != nil {
			continue // not of this program
		}
		list = append(list, Stored{n[:i], uint32(version)})
	}
	slices.SortFunc(list, func(a, b Stored) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.SchemaVersion, b.SchemaVersion))
	})
	return list, nil
}

// Check reads all that is stored of a collection and tells whether it can be read. It changes nothing, and does not mind whether the
// collection is open.
func (db *Database) Check(ctx context.Context, s Stored) (collection.Report, error) {
	log, err := db.logs.Log(ctx, s.logName())
	if err != nil {
		return collection.Report{}, err
	}
	report, err := collection.Check(ctx, log)
	return report, errors.Join(err, log.Close())
}

// CheckFile reads the whole database file and tells whether it is consistent, whatever the collections hold. Nobody writes meanwhile.
func (db *Database) CheckFile(ctx context.Context) error { return db.logs.Check(ctx) }

// Close leaves all rooms, closes all collections and gives up the directory. Writes that were acknowledged are stored.
func (db *Database) Close() error {
	db.mu.Lock()
	db.closed = true
	rooms, collections := slices.Clone(db.rooms), slices.Clone(db.collections)
	db.mu.Unlock()
	var errs []error
	for _, r := range rooms {
		errs = append(errs, r.Leave())
	}
	for _, c := range collections {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, db.logs.Close())...)
}

var errClosed = fmt.Errorf("shoal: database is closed: %w", net.ErrClosed)
