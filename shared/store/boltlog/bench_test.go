//go:build !js

package boltlog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// BenchmarkCommit times commits of one record behind 2 MB in blocks of 64 KB.
func BenchmarkCommit(b *testing.B) {
	for _, durability := range []store.Durability{store.Strict, store.Relaxed} {
		for _, size := range []int{250, 64 << 10, 250_000} {
			b.Run(fmt.Sprintf("%s/%d", durability, size), func(b *testing.B) {
				db, err := boltlog.Open(b.TempDir(), &boltlog.Options{Durability: durability, SyncInterval: time.Second})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				log, err := db.Log(b.Context(), "a")
				if err != nil {
					b.Fatal(err)
				}
				next := store.Position(1)
				commit := func(size int) {
					added, err := log.Commit(b.Context(), next, func([]store.Record) ([]store.Append, error) {
						return []store.Append{{Span: 1, Data: make([]byte, size)}}, nil
					})
					if err != nil {
						b.Fatal(err)
					}
					next = added[0].Next()
				}
				for range 32 {
					commit(64 << 10)
				}
				b.SetBytes(int64(size))
				for b.Loop() {
					commit(size)
				}
			})
		}
	}
}

// BenchmarkRead reads 10,000 entries of 200 bytes in blocks of 64 KB.
func BenchmarkRead(b *testing.B) {
	db, err := boltlog.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	log, err := db.Log(b.Context(), "a")
	if err != nil {
		b.Fatal(err)
	}
	const blocks = 31
	_, err = log.Commit(b.Context(), 1, func([]store.Record) (appends []store.Append, err error) {
		for range blocks {
			appends = append(appends, store.Append{Span: 322, Data: make([]byte, 64<<10)})
		}
		return appends, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(blocks * 64 << 10)
	for b.Loop() {
		if records, err := log.Read(b.Context(), 1, 1<<30); err != nil || len(records) != blocks {
			b.Fatal(len(records), err)
		}
	}
}
