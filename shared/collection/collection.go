// Package collection holds the documents of one replica: what users write to and read from, over a store.Log.
//
// A [Collection] keeps its documents in memory, in the order of its log, and is the only writer of its part of it. All changes, a
// user's and those that arrive from other replicas, become one queue of commits.
package collection

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"golang.org/x/sync/semaphore"
)

// Options adjusts a Collection. The zero value of a field is its default.
type Options struct {
	// PrimaryKey is the field that names a document. Default "id".
	PrimaryKey string
	// Final lists top-level fields that no write may change once a document has been inserted.
	Final []string
	// Validate is asked about the content of each document that is written here; what peers send is not shown to it. Its error
	// refuses the write, and matches ErrInvalid then. It runs within the commit: it must not block or call the collection. Package
	// validate makes one of a schema. Default: nothing is refused.
	Validate func(body []byte) error
	// Handler resolves conflicts. Default: the last write wins.
	Handler Handler
	// SchemaVersion and SchemaHash are told to peers; a peer with others does not replicate. HashSchema makes the hash. Without one
	// the collection replicates with any schema of that version: it is for replicas that only store what others write.
	SchemaVersion uint32
	SchemaHash    [32]byte
	// FreshID takes a new replica id before the first write after Open. It is for logs in files, which people copy, clone with a
	// machine and put back from backups: a write of the copy can then never have the name of another of the original. A
	// replica that only stores what others write keeps its id.
	FreshID bool
	// Logger receives what happens; nil discards it. Content of documents is never logged.
	Logger *slog.Logger
	// OnDamage is told of records that could not be read. It must not block. Default: they are logged only.
	OnDamage func(*DamageError)
	// CompactAfter is how long after the last commit the log is compacted, if there is much to gain. Default: 2 seconds.
	CompactAfter time.Duration
	// Now tells the time; default time.Now. Simulations give replicas clocks that differ.
	Now func() time.Time
	// Rand gives the random bytes of replica ids; default crypto/rand.
	Rand io.Reader
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.PrimaryKey == "" {
		out.PrimaryKey = "id"
	}
	out.CompactAfter = cmp.Or(out.CompactAfter, 2*time.Second)
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.OnDamage == nil {
		out.OnDamage = func(*DamageError) {}
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Rand == nil {
		out.Rand = rand.Reader
	}
	return out
}

// Collection is one replica's copy of a set of documents. All methods may be called concurrently. After Close they answer
// net.ErrClosed, reads excepted, which go on from memory. If the log loses what it held (the browser evicted it, somebody deleted it or put an
// older copy in its place), the collection ends by itself, and writes answer store.ErrLost: open it anew.
type Collection struct {
	name string
	opts Options
	log  store.Log

	queue  chan *op
	room   *semaphore.Weighted // of bytes in queue
	ctx    context.Context     // ends with Close; bounds what the commit loop does
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the commit loop has ended

	mu   sync.RWMutex // guards mem; only the commit loop locks it for writing
	mem  memory
	feed feed

	salt       uint16             // of the times of writes
	freshID    document.ReplicaID // to take before the first write; zero once that is done; used by the commit loop alone
	compacting *compaction        // under way; this and the next field are used by the commit loop alone
	compacted  volume             // after the last compaction
	shares     atomic.Int32       // calls of Share without their stop
}

// queueBytes bounds the content that waits for the commit loop.
const queueBytes = 8 << 20

// Open opens the collection that log holds; the Collection owns log from then on, whether or not Open succeeds. It reads all of
// the log before it returns, and makes the replica's id if the log is new.
func Open(ctx context.Context, name string, log store.Log, opts *Options) (*Collection, error) {
	c := &Collection{
		name:  name,
		opts:  opts.withDefaults(),
		log:   log,
		queue: make(chan *op, 1024),
		room:  semaphore.NewWeighted(queueBytes),
		done:  make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.mem.init()
	if err := binary.Read(c.opts.Rand, binary.LittleEndian, &c.salt); err != nil {
		return nil, errors.Join(fmt.Errorf("open collection %q: %w", name, err), log.Close())
	}
	if err := c.load(ctx); err != nil {
		c.cancel(net.ErrClosed)
		return nil, errors.Join(fmt.Errorf("open collection %q: %w", name, err), log.Close())
	}
	go c.run()
	return c, nil
}

// loadBytes bounds what load reads at once.
const loadBytes = 4 << 20

func (c *Collection) load(ctx context.Context) error {
	for {
		records, err := c.log.Read(ctx, c.mem.next, loadBytes)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		if _, err := c.mem.apply(records); err != nil {
			return err
		}
	}
	c.mem.loading = false
	c.mem.sweepBases()
	if err := c.repair(); err != nil {
		return err
	}
	if c.mem.self.IsZero() {
		return c.makeID(ctx)
	}
	var err error
	if c.opts.FreshID {
		c.freshID, err = document.NewReplicaID(c.opts.Rand)
	}
	return err
}

// makeID gives a new log its replica id, unless another handle does so first.
func (c *Collection) makeID(ctx context.Context) error {
	id, err := document.NewReplicaID(c.opts.Rand)
	if err != nil {
		return err
	}
	records, err := c.log.Commit(ctx, c.mem.next, func(tail []store.Record) ([]store.Append, error) {
		if _, err := c.mem.apply(tail); err != nil || !c.mem.self.IsZero() {
			return nil, err
		}
		return []store.Append{{Span: 1, Data: encodeState(state{self: id})}}, nil
	})
	if err != nil {
		return err
	}
	_, err = c.mem.apply(records)
	return err
}

// Name returns the name of the collection.
func (c *Collection) Name() string { return c.name }

// PrimaryKey returns the name of the field that names a document.
func (c *Collection) PrimaryKey() string { return c.opts.PrimaryKey }

// Handler returns the conflict handler, nil for last-write-wins.
func (c *Collection) Handler() Handler { return c.opts.Handler }

// Schema returns the version and the hash of the schema, as the options have them.
func (c *Collection) Schema() (version uint32, hash [32]byte) {
	return c.opts.SchemaVersion, c.opts.SchemaHash
}

// Logger returns the logger of the collection's options.
func (c *Collection) Logger() *slog.Logger { return c.opts.Logger }

// Now returns the time of the collection's clock.
func (c *Collection) Now() time.Time { return c.opts.Now() }

// Close ends the commit loop, which first finishes the commit under way, and closes the log. Writes that still wait fail with
// net.ErrClosed.
func (c *Collection) Close() error {
	c.cancel(net.ErrClosed)
	<-c.done
	return c.log.Close()
}
