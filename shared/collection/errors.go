package collection

import (
	"errors"
	"fmt"
)

// The errors that callers branch on.
var (
	// ErrExists tells that a document with that primary key is there already.
	ErrExists = errors.New("collection: document exists already")
	// ErrNotFound tells that there is no such document.
	ErrNotFound = errors.New("collection: document not found")
	// ErrChanged tells that the document is no longer the version that the write was made for.
	ErrChanged = errors.New("collection: document has changed meanwhile")
	// ErrInvalid tells that a document cannot be stored as it is.
	ErrInvalid = errors.New("collection: invalid document")
	// ErrSealed tells that the documents went to the log of a later schema, which is to be opened in this one's place.
	ErrSealed = errors.New("collection: its documents were migrated to a later schema; open it with that, for a page: reload")
	// ErrClockSkew tells that another replica's clock, or the own, is off by more than document.MaxSkew.
	ErrClockSkew = errors.New("collection: clock is too far ahead")
)

// DocumentError tells which document a write was refused for.
type DocumentError struct {
	ID  string // its primary key, "" if it has none
	Err error
}

// Error names the document and the reason.
func (e *DocumentError) Error() string {
	if e.ID == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v: %q", e.Err, e.ID)
}

// Unwrap returns the reason.
func (e *DocumentError) Unwrap() error { return e.Err }
