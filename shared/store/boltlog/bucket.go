//go:build !js

package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/shoaldb/shoal/shared/store"
)

// The bbolt file has two buckets: "meta" with the format, and "logs" with a bucket for each log, which has two again.
//
// "records": the key of a record is its last position, 8 bytes, big endian, so that one seek finds the record that holds a
// position. Its value is its first position, likewise, the length of its data in 4 bytes, and the data if it is short.
//
// "chunks": the data of other records in pieces; the key is that of the record and the number of the piece in 4 bytes.
// bbolt writes a page anew as a whole when something is added to it, and puts up to four values on a page however large they
// are: with the data itself there, one record of 250 bytes behind four of 64 KB took 256 KB of writes.

const (
	inlineData = 1 << 10     // the longest data that stands beside its record
	chunkSize  = 16<<10 - 64 // 1, 2 and 3 of them fill 4, 8 and 12 pages of 4 KB with bbolt's headers
)

func metaBucket() []byte    { return []byte("meta") }
func logsBucket() []byte    { return []byte("logs") }
func recordsBucket() []byte { return []byte("records") }
func chunksBucket() []byte  { return []byte("chunks") }
func formatKey() []byte     { return []byte("format") }

// errDamaged tells that bbolt found its pages inconsistent.
var errDamaged = errors.New("database file is damaged: put a backup in its place, or move it away and peers send the data again")

// guard runs fn and makes an error of a panic: bbolt panics where a page is not what it should be, and a file that was cut
// short faults when it is read.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w (%v)", errDamaged, r)
		}
	}()
	return fn()
}

// checkFormat refuses a file of a later version, and marks a new one.
func checkFormat(bolt *bbolt.DB) error {
	var found []byte
	err := bolt.View(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(metaBucket()); meta != nil {
			found = append(found, meta.Get(formatKey())...)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case string(found) == format:
		return nil
	case found != nil:
		return fmt.Errorf("%s has format %q, this program knows %q: use the version that wrote it, or a later one", fileName, found, format)
	}
	return bolt.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket())
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucketIfNotExists(logsBucket()); err != nil {
			return err
		}
		return meta.Put(formatKey(), []byte(format))
	})
}

// view runs fn in a reading transaction, with the journal as it is at that moment.
func (db *Database) view(fn func(*bbolt.Tx) error) error {
	return guard(func() error {
		db.mu.RLock()
		defer db.mu.RUnlock()
		return db.bolt.View(fn)
	})
}

// update runs fn in a writing transaction. The caller holds mu.
func (db *Database) update(fn func(*bbolt.Tx) error) error {
	if db.failed != nil {
		return db.failed
	}
	err := guard(func() error {
		tx, err := db.bolt.Begin(true)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
		if err := fn(tx); err != nil {
			return quota(err)
		}
		return db.commit(tx)
	})
	if errors.Is(err, errDamaged) {
		db.failed = err
	}
	return err
}

func (db *Database) commit(tx *bbolt.Tx) error {
	err := tx.Commit()
	if err == nil {
		return nil
	}
	if err := quota(err); errors.Is(err, store.ErrQuota) {
		return err
	}
	// The disk may have the commit or not, and after a sync that failed a second one that succeeds says nothing.
	db.failed = fmt.Errorf("an earlier write failed, open the database anew: %w", err)
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}

// quota makes store.ErrQuota of the errors that tell of a full disk.
func quota(err error) error {
	if isFull(err) || errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return fmt.Errorf("%w: %w", store.ErrQuota, err)
	}
	return err
}

func eachLog(tx *bbolt.Tx, fn func(name string)) error {
	return tx.Bucket(logsBucket()).ForEachBucket(func(name []byte) error {
		fn(string(name))
		return nil
	})
}

func dropLog(tx *bbolt.Tx, name string) error {
	err := tx.Bucket(logsBucket()).DeleteBucket([]byte(name))
	if errors.Is(err, bolterrors.ErrBucketNotFound) {
		return nil
	}
	return err
}

// buckets are those of one log; both are nil for a log that has no records.
type buckets struct {
	records *bbolt.Bucket
	chunks  *bbolt.Bucket
}

func openLog(tx *bbolt.Tx, name string) buckets {
	log := tx.Bucket(logsBucket()).Bucket([]byte(name))
	if log == nil {
		return buckets{}
	}
	return buckets{records: log.Bucket(recordsBucket()), chunks: log.Bucket(chunksBucket())}
}

func createLog(tx *bbolt.Tx, name string) (buckets, error) {
	log, err := tx.Bucket(logsBucket()).CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return buckets{}, err
	}
	records, err := log.CreateBucketIfNotExists(recordsBucket())
	if err != nil {
		return buckets{}, err
	}
	chunks, err := log.CreateBucketIfNotExists(chunksBucket())
	return buckets{records: records, chunks: chunks}, err
}

// next is the position after the records in the file.
func (b buckets) next() store.Position {
	if b.records == nil {
		return 1
	}
	key, _ := b.records.Cursor().Last()
	if key == nil {
		return 1
	}
	return store.Position(binary.BigEndian.Uint64(key)) + 1
}

// each calls fn with the records that hold positions of from or later, without data, but with the size that it has, until fn
// answers false.
func (b buckets) each(from store.Position, fn func(r store.Record, size int) (bool, error)) error {
	if b.records == nil {
		return nil
	}
	c := b.records.Cursor()
	for key, value := c.Seek(encode(from)); key != nil; key, value = c.Next() {
		r, size, err := decode(key, value)
		if err != nil {
			return err
		}
		if more, err := fn(r, size); err != nil || !more {
			return err
		}
	}
	return nil
}

// data returns the data of a record that each gave.
func (b buckets) data(r store.Record, size int) ([]byte, error) {
	key := encode(r.Next() - 1)
	data := make([]byte, 0, min(size, 64<<20)) // should a damaged file claim more, it does not have it
	if size <= inlineData {
		return append(data, b.records.Get(key)[recordHead:]...), nil
	}
	c := b.chunks.Cursor()
	for k, chunk := c.Seek(key); bytes.HasPrefix(k, key) && len(data) < size; k, chunk = c.Next() {
		data = append(data, chunk...)
	}
	if len(data) != size {
		return nil, fmt.Errorf("%w (%d bytes of %d of the record at %d)", errDamaged, len(data), size, r.First)
	}
	return data, nil
}

func (b buckets) put(r store.Record) error {
	key := encode(r.Next() - 1)
	value := binary.BigEndian.AppendUint64(make([]byte, 0, recordHead+inlineData), uint64(r.First))
	value = binary.BigEndian.AppendUint32(value, uint32(len(r.Data)))
	if len(r.Data) <= inlineData {
		return b.records.Put(key, append(value, r.Data...))
	}
	n := uint32(0)
	for chunk := range slices.Chunk(r.Data, chunkSize) {
		if err := b.chunks.Put(binary.BigEndian.AppendUint32(bytes.Clone(key), n), chunk); err != nil {
			return err
		}
		n++
	}
	return b.records.Put(key, value)
}

func (b buckets) delete(r store.Record) error {
	key := encode(r.Next() - 1)
	for n := range uint32((len(r.Data) + chunkSize - 1) / chunkSize) {
		if len(r.Data) <= inlineData {
			break
		}
		if err := b.chunks.Delete(binary.BigEndian.AppendUint32(bytes.Clone(key), n)); err != nil {
			return err
		}
	}
	return b.records.Delete(key)
}

func putRecords(tx *bbolt.Tx, name string, records []store.Record) error {
	log, err := createLog(tx, name)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := log.put(r); err != nil {
			return err
		}
	}
	return nil
}

// replaceRecords puts joined in the place of old, or answers store.ErrReplaced.
func replaceRecords(tx *bbolt.Tx, name string, old []store.Record, joined store.Record) error {
	log, found := openLog(tx, name), 0
	err := log.each(old[0].First, func(r store.Record, size int) (_ bool, err error) {
		if r.Data, err = log.data(r, size); err != nil || !store.Same([]store.Record{r}, old[found:found+1]) {
			return false, err
		}
		found++
		return found < len(old), nil
	})
	if err != nil {
		return err
	}
	if found < len(old) {
		return store.ErrReplaced
	}
	for _, r := range old {
		if err := log.delete(r); err != nil {
			return err
		}
	}
	return log.put(joined)
}

func encode(p store.Position) []byte { return binary.BigEndian.AppendUint64(nil, uint64(p)) }

const recordHead = 12 // first position and length of data

func decode(key, value []byte) (r store.Record, size int, err error) {
	if len(key) != 8 || len(value) < recordHead {
		return r, 0, fmt.Errorf("%w (a record with a key of %d and a value of %d bytes)", errDamaged, len(key), len(value))
	}
	last, first, length := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(value), binary.BigEndian.Uint32(value[8:])
	if first == 0 || first > last || last-first >= 1<<32-1 || length <= inlineData && len(value) != recordHead+int(length) {
		return r, 0, fmt.Errorf("%w (a record from %d to %d of %d bytes)", errDamaged, first, last, length)
	}
	return store.Record{First: store.Position(first), Span: uint32(last - first + 1)}, int(length), nil
}
