//go:build !js

package boltlog_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

const (
	childDir        = "BOLTLOG_TEST_DIR"
	childDurability = "BOLTLOG_TEST_DURABILITY"
)

// child commits for ever and writes a line for each commit that is done. It runs in a process of its own.
func child(dir string, durability store.Durability) {
	db, err := boltlog.Open(dir, &boltlog.Options{Durability: durability, SyncInterval: 2 * time.Millisecond})
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	log, err := db.Log(context.Background(), "a")
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	records, err := log.Read(context.Background(), 1, 1<<30)
	for n := count(records); err == nil; n++ {
		_, err = log.Commit(context.Background(), 1, func([]store.Record) ([]store.Append, error) {
			return []store.Append{{Span: 1, Data: piece(n, 0)}, {Span: 3, Data: piece(n, 1)}}, nil
		})
		if err == nil {
			fmt.Println(n)
		}
		if err == nil && n%20 == 19 {
			err = join(log)
		}
	}
	fmt.Println("child:", err)
	os.Exit(1)
}

// join replaces the first records by one that has their data.
func join(log store.Log) error {
	records, err := log.Read(context.Background(), 1, 1<<30)
	if err != nil || len(records) < 8 {
		return err
	}
	var data []byte
	for _, r := range records[:len(records)-4] {
		data = append(data, r.Data...)
	}
	return log.Replace(context.Background(), records[:len(records)-4], data)
}

// piece is the data of one of the two records of commit n. Each ends with a mark.
func piece(n, part int) []byte {
	return fmt.Appendf(nil, "%d.%d%s;", n, part, strings.Repeat("-", n*37%5000))
}

// count returns how many commits the records hold.
func count(records []store.Record) int {
	n := 0
	for _, r := range records {
		n += strings.Count(string(r.Data), ";")
	}
	return n / 2
}

// TestKill kills a process in the middle of commits, again and again, and looks for what it said was done.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, durability := range []store.Durability{store.Strict, store.Relaxed} {
		t.Run(string(durability), func(t *testing.T) {
			dir := t.TempDir()
			rnd := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				done := kill(t, dir, durability, 1+rnd.IntN(40))
				checkKilled(t, dir, durability, done)
			}
		})
	}
}

// kill returns the last commit that the child said was done. It kills the child some commits after its start.
func kill(t *testing.T, dir string, durability store.Durability, commits int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDurability+"="+string(durability))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, lines := -1, bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Errorf("the child says %q", lines.Text())
			break
		}
		if seen == commits {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || last < 0 {
		t.Fatalf("the child ended with %v after commit %d, want it killed", err, last)
	}
	return last
}

func checkKilled(t *testing.T, dir string, durability store.Durability, done int) {
	t.Helper()
	db, err := boltlog.Open(dir, &boltlog.Options{Durability: durability})
	if err != nil {
		t.Fatalf("open after the kill: %v", err)
	}
	defer db.Close()
	records, err := openLog(t, db, "a").Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var got, want strings.Builder
	for _, r := range records {
		got.Write(r.Data)
	}
	n := count(records)
	for i := range n {
		want.Write(piece(i, 0))
		want.Write(piece(i, 1))
	}
	if n < done+1 || n > done+2 || got.String() != want.String() {
		t.Fatalf("%d commits in %d bytes are there, want %d, or one more, in %d bytes", n, got.Len(), done+1, want.Len())
	}
	if last := records[len(records)-1]; last.Next() != store.Position(4*n+1) {
		t.Fatalf("%d commits end before position %d, want %d", n, last.Next(), 4*n+1)
	}
}
