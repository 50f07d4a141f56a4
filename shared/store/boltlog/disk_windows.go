package boltlog

import (
	"errors"
	"strings"
	"syscall"
)

// From https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-
const (
	errHandleDiskFull = syscall.Errno(39)
	errDiskFull       = syscall.Errno(112)
)

// isFull tells whether an error means a full disk. bbolt hands some on as text only.
func isFull(err error) bool {
	for _, full := range []error{errHandleDiskFull, errDiskFull} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// syncDir has nothing to do: the file system keeps names by itself, and a directory cannot be synced.
func syncDir(string) error { return nil }
