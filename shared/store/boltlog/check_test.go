//go:build !js

package boltlog_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// TestCheck damages one page after the other. Those that are free, or go on with the data of the one before, it does not find.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	db, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := openLog(t, db, "a")
	for i := range 25 {
		_, err := log.Commit(t.Context(), 1, func([]store.Record) ([]store.Append, error) {
			return []store.Append{{Span: 3, Data: make([]byte, 200+i*500)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Check(t.Context()); err != nil {
		t.Fatalf("of a good file: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Check(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("when closed: %v", err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "shoal.db"))
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	found := 0
	for at := 2 * page; at < len(good) && found < 5; at += page {
		bad := append([]byte(nil), good...)
		for i := range 16 { // of the page's head
			bad[at+i] ^= 0x55
		}
		if err := checkBytes(t, bad); err != nil {
			found++
		}
	}
	if found < 5 {
		t.Errorf("%d damaged pages were found", found)
	}
	if err := checkBytes(t, good[:len(good)/2/page*page]); err == nil {
		t.Error("half of a file passes")
	}
}

// checkBytes checks a file with this content. An error of Open, which looks at the first pages, is as good.
func checkBytes(t *testing.T, content []byte) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shoal.db"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := boltlog.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Check(t.Context())
}
