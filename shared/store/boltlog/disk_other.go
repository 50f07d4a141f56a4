//go:build !js && !windows

package boltlog

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// isFull tells whether an error means a full disk. bbolt hands some on as text only.
func isFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// syncDir makes sure that the disk has the names of the files in dir.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
