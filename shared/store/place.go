package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

const (
	// MaxName is the length of the longest name of a log, in bytes.
	MaxName = 255
	// MaxData is the length of the longest data of a record, in bytes.
	MaxData = 1 << 30
)

// CheckName returns an error unless name can name a log: 1 to MaxName bytes of UTF-8.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("log name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("log name has %d bytes, at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("log name %q is not valid UTF-8", name)
	}
	return nil
}

// Place gives the records that a commit appends their positions, the first of them next. It is for drivers.
func Place(next Position, appends []Append) ([]Record, error) {
	if len(appends) == 0 {
		return nil, nil
	}
	records := make([]Record, len(appends))
	for i, a := range appends {
		if a.Span == 0 {
			return nil, fmt.Errorf("append %d has span 0, at least 1 is needed", i)
		}
		if len(a.Data) > MaxData {
			return nil, fmt.Errorf("append %d has %d bytes of data, at most %d are allowed", i, len(a.Data), MaxData)
		}
		records[i] = Record{First: next, Span: a.Span, Data: a.Data}
		next = records[i].Next()
		if next-1 > MaxPosition {
			return nil, fmt.Errorf("log is full: position %d is beyond the last, %d", next-1, MaxPosition)
		}
	}
	return records, nil
}

// Join returns the record that Replace puts in the place of old. It is for drivers.
func Join(old []Record, data []byte) (Record, error) {
	if len(old) == 0 {
		return Record{}, errors.New("no records to replace")
	}
	if len(data) > MaxData {
		return Record{}, fmt.Errorf("%d bytes of data are too many for one record, at most %d", len(data), MaxData)
	}
	span := uint64(0)
	for i, r := range old {
		if i > 0 && r.First != old[i-1].Next() {
			return Record{}, fmt.Errorf("record at %d does not follow the one before it, which ends at %d", r.First, old[i-1].Next()-1)
		}
		span += uint64(r.Span)
	}
	if span > math.MaxUint32 {
		return Record{}, fmt.Errorf("run of %d positions is too long for one record, at most %d", span, uint32(math.MaxUint32))
	}
	return Record{First: old[0].First, Span: uint32(span), Data: data}, nil
}

// Same tells whether two runs of records have the same positions and data. It is for drivers.
func Same(a, b []Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].First != b[i].First || a[i].Span != b[i].Span || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}
