//go:build !js

package boltlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"os"

	"go.etcd.io/bbolt"

	"github.com/shoaldb/shoal/shared/store"
)

const (
	// maxFrameData is the most data that a commit puts into the journal. A larger one is worth a transaction of its own.
	maxFrameData = 1 << 20
	// maxJournal is the size beyond which the journal goes into the file before it takes more.
	maxJournal = 8 << 20

	frameHeader  = 8  // length and checksum of what follows
	recordHeader = 16 // first position, span, length of data
)

// journal is a file of commits that are not in the bbolt file yet, and those records in memory. One frame is one commit:
//
//	length uint32, CRC-32C uint32, then that many bytes:
//	length of name uint16, name, for each record: first uint64, span uint32, length of data uint32, data
//
// all big endian. The file ends where a frame is cut short, does not match its checksum, or does not follow on its log.
type journal struct {
	path    string
	file    *os.File
	size    int64
	pending map[string][]store.Record
}

// pendingOf returns the records of a log that are not in the bbolt file. A nil journal has none.
func (j *journal) pendingOf(name string) []store.Record {
	if j == nil {
		return nil
	}
	return j.pending[name]
}

func (j *journal) pendingLogs() iter.Seq[string] {
	if j == nil {
		return func(func(string) bool) {}
	}
	return maps.Keys(j.pending)
}

// append writes a commit, as a whole or not at all.
func (j *journal) append(name string, records []store.Record) error {
	if _, err := j.file.WriteAt(encodeFrame(name, records), j.size); err != nil {
		if cutErr := j.file.Truncate(j.size); cutErr != nil {
			// What is left of the frame is found to be cut short, unless it is whole; the next one is written over it.
			return fmt.Errorf("%w: %w (and cut off what was written: %w)", store.ErrUncertain, err, cutErr)
		}
		return quota(err)
	}
	j.size += frameSize(name, records)
	j.pending[name] = append(j.pending[name], records...)
	return nil
}

func frameSize(name string, records []store.Record) int64 {
	n := int64(frameHeader + 2 + len(name))
	for _, r := range records {
		n += recordHeader + int64(len(r.Data))
	}
	return n
}

func encodeFrame(name string, records []store.Record) []byte {
	frame := make([]byte, frameHeader, frameSize(name, records))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(name)))
	frame = append(frame, name...)
	for _, r := range records {
		frame = binary.BigEndian.AppendUint64(frame, uint64(r.First))
		frame = binary.BigEndian.AppendUint32(frame, r.Span)
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(r.Data)))
		frame = append(frame, r.Data...)
	}
	body := frame[frameHeader:]
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	binary.BigEndian.PutUint32(frame[4:], checksum(body))
	return frame
}

func checksum(body []byte) uint32 { return crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) }

// decodeFrame reads the first frame and returns what is behind it.
func decodeFrame(frames []byte) (name string, records []store.Record, rest []byte, ok bool) {
	if len(frames) < frameHeader {
		return "", nil, nil, false
	}
	n, sum, frames := binary.BigEndian.Uint32(frames), binary.BigEndian.Uint32(frames[4:]), frames[frameHeader:]
	if n < 2 || uint64(n) > uint64(len(frames)) || checksum(frames[:n]) != sum {
		return "", nil, nil, false
	}
	body, rest := frames[:n:n], frames[n:]
	length := int(binary.BigEndian.Uint16(body))
	if body = body[2:]; length > len(body) {
		return "", nil, nil, false
	}
	name, body = string(body[:length]), body[length:]
	for len(body) > 0 {
		if len(body) < recordHeader {
			return "", nil, nil, false
		}
		r := store.Record{First: store.Position(binary.BigEndian.Uint64(body)), Span: binary.BigEndian.Uint32(body[8:])}
		length := binary.BigEndian.Uint32(body[12:])
		if body = body[recordHeader:]; uint64(length) > uint64(len(body)) {
			return "", nil, nil, false
		}
		r.Data, body = body[:length:length], body[length:]
		records = append(records, r)
	}
	return name, records, rest, len(records) > 0
}

// replay opens the journal, made if need be, and finds the commits in it that the bbolt file lacks.
func replay(path string, bolt *bbolt.DB) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	frames, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	j := &journal{path: path, file: file, size: int64(len(frames)), pending: make(map[string][]store.Record)}
	err = bolt.View(func(tx *bbolt.Tx) error {
		j.take(tx, frames)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// take goes through the frames. Those whose records the bbolt file has are left over from a flush, and passed over.
func (j *journal) take(tx *bbolt.Tx, frames []byte) {
	for {
		name, records, rest, ok := decodeFrame(frames)
		if !ok {
			return
		}
		frames = rest
		next := openLog(tx, name).next()
		if pending := j.pending[name]; len(pending) > 0 {
			next = pending[len(pending)-1].Next()
		}
		switch {
		case records[0].First == next:
			j.pending[name] = append(j.pending[name], records...)
		case records[0].First > next:
			return
		}
	}
}

// flush brings the journal into the bbolt file in one transaction, and empties it. The caller holds mu.
func (db *Database) flush() error {
	j := db.journal
	if j == nil || len(j.pending) == 0 && j.size == 0 {
		return nil
	}
	err := db.update(func(tx *bbolt.Tx) error {
		for name, records := range j.pending {
			if err := putRecords(tx, name, records); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	clear(j.pending)
	j.size = 0
	return j.file.Truncate(0)
}

// remove deletes the journal, which is empty.
func (j *journal) remove() error {
	if err := j.file.Close(); err != nil {
		return err
	}
	return os.Remove(j.path)
}
