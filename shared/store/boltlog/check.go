//go:build !js

package boltlog

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// maxFaults bounds how many of a file's faults Check tells.
const maxFaults = 10

// Check looks whether the bbolt file is consistent: whether each page is used once, or free, and keys are in order. What the records say is for those who
// can read them. Nobody writes meanwhile; it reads the whole file.
func (db *Database) Check(ctx context.Context) error {
	ctx, leave, err := db.gate.Enter(ctx)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	defer leave()
	release, err := db.lock(ctx)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	defer release()
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := guard(db.check); err != nil {
		return fmt.Errorf("check %s in %s: %w", fileName, db.dir, err)
	}
	return nil
}

// check is Check. The caller is the writer.
func (db *Database) check() error {
	tx, err := db.bolt.Begin(true) // in a reading one bbolt's check and a writer would get in each other's way
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // there is nothing that could be lost
	info, err := db.file.Stat()
	if err != nil {
		return err
	}
	if have := info.Size(); have < tx.Size() { // bbolt's goroutine would fault
		return fmt.Errorf("%w (%d bytes, of %d)", errDamaged, have, tx.Size())
	}
	var faults []error
	for err := range tx.Check(bbolt.WithKVStringer(bbolt.HexKVStringer())) {
		if len(faults) < maxFaults {
			faults = append(faults, err)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w (%w)", errDamaged, errors.Join(faults...))
}
