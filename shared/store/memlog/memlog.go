// Package memlog keeps the logs of a replica in memory.
//
// It serves users who ask for memory storage, and tests: several databases share one Disk like tabs of one browser share its
// storage, a Hook can fail, stop or crash one of them between any two steps, and the disk itself can be copied, put back and
// damaged. Waiting is done on channels and timers only, so that testing/synctest controls it.
package memlog

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/store"
)

// Options says how a Disk behaves. The zero value is an unlimited disk without delay.
type Options struct {
	// Quota is how many bytes of data all records may have together. Commits and replacements beyond it fail with
	// store.ErrQuota. 0 means no limit.
	Quota int64
	// Latency is how long each commit and each replacement takes. Others of the same log wait meanwhile, as they do where a
	// transaction serialises them. 0 means no delay.
	Latency time.Duration
}

// ErrCrashed is what a crashed database answers. A Hook returns it to crash its database at that step.
var ErrCrashed = errors.New("memlog: database crashed")

// Stage is a place within an operation at which a Hook is called.
type Stage string

// The stages, in the order in which an operation passes them.
const (
	// BeforeAppend: build of Commit has run, nothing is appended.
	BeforeAppend Stage = "before append"
	// AfterAppend: the records are appended and other handles see them; Commit has not returned.
	AfterAppend Stage = "after append"
	// BeforeReplace: the records were found, nothing is changed.
	BeforeReplace Stage = "before replace"
	// AfterReplace: the record is replaced; Replace has not returned.
	AfterReplace Stage = "after replace"
)

// Step tells a Hook where it is.
type Step struct {
	Stage   Stage
	Log     string
	Records []store.Record // which are appended, or the one that takes the place of others
}

// Hook is called at each step of the commits and replacements of one database. While it runs no other handle can commit to
// that log, so one that blocks is like a tab frozen within a transaction. An error from it ends the operation: before a
// change with just that error, so that store.ErrQuota can be told from here. ErrCrashed, and any error after a change,
// crashes the database.
type Hook func(Step) error

// Disk is what several databases share. Its methods may be called concurrently.
type Disk struct {
	quota   int64
	latency time.Duration

	mu   sync.Mutex // guards the following fields, the records and handles of all logs, and what databases say it does
	logs map[string]*content
	used int64
}

// content is one log on a disk.
type content struct {
	writer  chan struct{} // holds a token while no commit or replacement is under way
	records []store.Record
	handles map[*handle]struct{}
}

// New makes an empty disk. opts may be nil.
func New(opts *Options) *Disk {
	if opts == nil {
		opts = &Options{}
	}
	return &Disk{quota: opts.Quota, latency: opts.Latency, logs: make(map[string]*content)}
}

// Open opens the disk as one more tab or process would. hook may be nil. The caller closes the database.
func (d *Disk) Open(hook Hook) *Database {
	return &Database{disk: d, hook: hook, handles: make(map[*handle]struct{})}
}

// content returns the log with that name. The caller holds d.mu.
func (d *Disk) content(name string) *content {
	c, ok := d.logs[name]
	if !ok {
		c = &content{writer: make(chan struct{}, 1), handles: make(map[*handle]struct{})}
		c.writer <- struct{}{}
		d.logs[name] = c
	}
	return c
}

// reserve takes n bytes more, or gives back -n. The caller holds d.mu.
func (d *Disk) reserve(n int64) error {
	if d.quota > 0 && n > 0 && d.used+n > d.quota {
		return fmt.Errorf("%w: %d bytes more on a disk of %d with %d in use", store.ErrQuota, n, d.quota, d.used)
	}
	d.used += n
	return nil
}

// Copy makes a disk with the same records and options: a backup.
func (d *Disk) Copy() *Disk {
	backup := New(&Options{Quota: d.quota, Latency: d.latency})
	backup.Restore(d)
	return backup
}

// Restore puts the records of backup in the place of all that d has, as one does who copies an old data directory back.
// Databases that are open on d go on with what they find, and answer store.ErrLost where they knew more.
func (d *Disk) Restore(backup *Disk) {
	backup.mu.Lock()
	logs, used := make(map[string][]store.Record), backup.used
	for name, c := range backup.logs {
		logs[name] = slices.Clone(c.records)
	}
	backup.mu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.logs {
		c.records = nil
	}
	for name, records := range logs {
		d.content(name).records = records
	}
	d.used = used
}

// Flip inverts one bit of the record that holds position at, and tells whether there is such a bit.
func (d *Disk) Flip(log string, at store.Position, bit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.logs[log]
	if !ok {
		return false
	}
	i := c.find(at)
	if i == len(c.records) || c.records[i].First > at || bit < 0 || bit/8 >= len(c.records[i].Data) {
		return false
	}
	data := slices.Clone(c.records[i].Data)
	data[bit/8] ^= 1 << (bit % 8)
	c.records = slices.Clone(c.records)
	c.records[i].Data = data
	return true
}
