package document

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
)

// ReplicaID names one copy of a database: 16 random bytes, made once and stored with the data.
type ReplicaID [16]byte

// NewReplicaID reads a new id from r, which is to be a source of random bytes such as crypto/rand.Reader.
func NewReplicaID(r io.Reader) (ReplicaID, error) {
	var id ReplicaID
	if _, err := io.ReadFull(r, id[:]); err != nil {
		return ReplicaID{}, fmt.Errorf("make replica id: %w", err)
	}
	return id, nil
}

// ParseReplicaID reads the form that String gives.
func ParseReplicaID(s string) (ReplicaID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(ReplicaID{}) {
		return ReplicaID{}, fmt.Errorf("parse replica id %q: want %d hexadecimal digits", s, 2*len(ReplicaID{}))
	}
	return ReplicaID(b), nil
}

// IsZero reports whether r is no id at all.
func (r ReplicaID) IsZero() bool { return r == ReplicaID{} }

// Compare orders ids by their bytes.
func (r ReplicaID) Compare(o ReplicaID) int { return bytes.Compare(r[:], o[:]) }

// String returns r as 32 hexadecimal digits.
func (r ReplicaID) String() string { return hex.EncodeToString(r[:]) }

// Dot names one write: the replica that made it and that replica's count of writes. The zero Dot names none.
type Dot struct {
	Replica ReplicaID
	Counter uint64
}

// IsZero reports whether d names no write.
func (d Dot) IsZero() bool { return d.Counter == 0 }

// Compare orders dots by replica, then counter.
func (d Dot) Compare(o Dot) int {
	if c := d.Replica.Compare(o.Replica); c != 0 {
		return c
	}
	return cmp.Compare(d.Counter, o.Counter)
}

// String returns the first digits of the replica and the counter, for logs.
func (d Dot) String() string {
	if d.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%x:%d", d.Replica[:3], d.Counter)
}
