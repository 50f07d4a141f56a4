//go:build js

// Command tab is a tab of the tests in tabs_test.go. With "write" it commits for ever and tells each commit that is done; with
// "read" it tells what the log holds.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/wasm/idblog"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		tell(fmt.Sprint("error: ", err))
		os.Exit(1)
	}
}

func tell(text string) { js.Global().Get("host").Call("send", text) }

func run(ctx context.Context, what, tab string) error {
	db, err := idblog.Open(ctx, "tabs", &idblog.Options{Durability: store.Strict})
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := db.Log(ctx, "a")
	if err != nil {
		return err
	}
	if what == "write" {
		return write(ctx, log, tab)
	}
	records, err := log.Read(ctx, 1, 1<<30)
	if err != nil {
		return err
	}
	for _, r := range records {
		var word string
		if _, err := fmt.Sscan(string(r.Data[:min(len(r.Data), 20)]), &word); err != nil {
			return err
		}
		tell(fmt.Sprint(word, " ", r.First, " ", r.Span, " ", len(r.Data)))
	}
	tell("end")
	return nil
}

// write makes commits of two records, one of them large.
func write(ctx context.Context, log store.Log, tab string) error {
	next := store.Position(1)
	for n := 0; ; n++ {
		added, err := log.Commit(ctx, next, func([]store.Record) ([]store.Append, error) {
			return []store.Append{
				{Span: 1, Data: fmt.Appendf(make([]byte, 0, 64<<10), "%s-%d-1 ", tab, n)[:64<<10]},
				{Span: 2, Data: fmt.Appendf(nil, "%s-%d-2 ", tab, n)},
			}, nil
		})
		if err != nil {
			return err
		}
		next = added[1].Next()
		tell(fmt.Sprint(n))
	}
}
