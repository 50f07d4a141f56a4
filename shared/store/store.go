// Package store defines where a replica keeps its data: one append-only log of records for each collection.
//
// The drivers are store/memlog (memory), store/boltlog (a file, native) and wasm/idblog (IndexedDB). store/logtest is the
// suite that all of them pass.
package store

import (
	"context"
	"errors"
)

// Position is a place in a log. The first record of a log has position 1; every record takes as many positions as it has
// entries, and at least one, and begins where the one before it ends. Positions are never used again, not even after
// Replace. A dropped log begins anew.
type Position uint64

// MaxPosition is the last position that a log can give out: JavaScript counts exactly up to here.
const MaxPosition Position = 1<<53 - 1

// Record is one block of packed bytes in a log. The store does not look into Data.
//
// Nobody writes into Data once it is in a record or an Append, neither drivers nor callers: several holders may share it.
type Record struct {
	First Position // of its first entry
	Span  uint32   // how many positions it takes, at least 1
	Data  []byte
}

// Next is the position after r.
func (r Record) Next() Position { return r.First + Position(r.Span) }

// The errors that callers branch on.
var (
	// ErrQuota tells that the medium is full. Nothing of the commit was written; the log stays usable.
	ErrQuota = errors.New("store: no space left")
	// ErrLocked tells that another process has the database open and the driver allows one only.
	ErrLocked = errors.New("store: database is in use by another process")
	// ErrReplaced tells that Replace found records other than those that it was to replace.
	ErrReplaced = errors.New("store: log was replaced meanwhile")
	// ErrLost tells that the log no longer holds records that the caller has seen: the browser evicted the database, or
	// somebody deleted it or put an older copy in its place. The caller drops what it has in memory and opens the database
	// anew.
	ErrLost = errors.New("store: log lost records that it held")
	// ErrUncertain tells that the medium went away while a commit was under way, so that nobody knows whether it was
	// written. It will be seen in the tail of the next Commit, if it was.
	ErrUncertain = errors.New("store: unknown whether the commit was written")
)

// Durability says when a commit counts as done.
type Durability string

const (
	// Relaxed: when the operating system has it. A crash of the process loses nothing, a power cut may lose the newest
	// commits, never the order.
	Relaxed Durability = "relaxed"
	// Strict: when the disk has it.
	Strict Durability = "strict"
)

// Database holds the logs of one replica.
type Database interface {
	// Log opens the log with that name, empty if it is new. Each call returns its own handle, which the caller closes.
	// CheckName says which names are good.
	Log(ctx context.Context, name string) (Log, error)
	// Names lists the logs that hold at least one record, sorted by bytes.
	Names(ctx context.Context) ([]string, error)
	// Drop deletes the records of a log. The caller sees to it that nobody has it open. Dropping a log that does not exist
	// does nothing.
	Drop(ctx context.Context, name string) error
	// Close releases the database and waits until nothing of it runs any more. Handles that are still open fail from then
	// on with net.ErrClosed. Closing again does nothing.
	Close() error
}

// Log is one append-only log. Several handles, in one process or, where the driver allows it, in several (tabs of one
// browser profile), work on the same log: each sees every commit of the others, all in one order. All methods may be
// called concurrently. A closed log answers net.ErrClosed, and a call whose ctx ends returns its cause.
//
// Commit and Read answer ErrLost when from lies beyond the position that comes next: whoever asks for it has seen records
// that the log does not hold.
type Log interface {
	// Commit appends records in one atomic step. Within it, build is called with all records that hold positions of from or
	// later, in order: what this handle and others appended since the caller last looked. It returns the records to append,
	// or an error, which Commit returns as it is with nothing appended. Commit returns the appended records, with the data
	// slices that build gave; if build gives none it returns none and writes nothing.
	//
	// build must not block and must not call the log. It may be called more than once, when the driver has to begin anew: on another
	// connection than one that the browser closed, or because it took the tail for empty and another handle was quicker. The last call
	// counts, and it alone was given what the log holds. When Commit returns an error, nothing was appended; only with ErrUncertain it may
	// have been.
	Commit(ctx context.Context, from Position, build func(tail []Record) ([]Append, error)) ([]Record, error)
	// Read returns records that hold positions of from or later, in order: at least one if there is one, then more as long
	// as the data of all is at most limit bytes. The first can begin before from, where Replace put one record in the place
	// of several.
	Read(ctx context.Context, from Position, limit int) ([]Record, error)
	// Replace puts one record in the place of a run of adjacent ones, for compaction. It takes the positions of all of
	// old, and gives data in their place, which may be empty. If the log does not hold just those records any more, with
	// that data, it returns ErrReplaced and changes nothing.
	Replace(ctx context.Context, old []Record, data []byte) error
	// Changed returns a channel that receives after commits of other handles. One receive can stand for several commits.
	// Commits of this handle may show as well. All calls return the same channel; it is never closed.
	Changed() <-chan struct{}
	// Close releases the handle and waits until nothing of it runs any more. Closing again does nothing.
	Close() error
}

// Append is a record to be: what build of Commit returns.
type Append struct {
	Span uint32
	Data []byte
}
