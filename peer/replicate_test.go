//go:build !js

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// TestTwoPeers replicates between two processes, what was there before they met and what is written while they run.
func TestTwoPeers(t *testing.T) {
	signal, a, b := serve(t), t.TempDir(), t.TempDir()
	must(t, strings.NewReader(documents(0, 1000, "a")), "import", "--data", a)
	must(t, strings.NewReader(documents(1000, 1500, "b")), "import", "--data", b)
	pa, pb := run(t, "a", signal, a), run(t, "b", signal, b, "--durability", "relaxed")
	fa, fb := follow(t, "a", a), follow(t, "b", b)
	fa.count(1500)
	fb.count(1500)
	must(t, nil, "put", "todos", `{"id":"live","title":"from a"}`, "--data", a)
	fb.until("a's write", func(docs map[string]string) bool { return docs["live"] == `{"id":"live","title":"from a"}` })
	must(t, nil, "put", "todos", `{"id":"live","title":"from b"}`, "--data", b)
	fa.until("b's write", func(docs map[string]string) bool { return docs["live"] == `{"id":"live","title":"from b"}` })
	must(t, nil, "rm", "todos", "live", "000000", "--data", a)
	fb.until("the deletions", func(docs map[string]string) bool { return len(docs) == 1499 })
	want := exported(t, a)
	expectSame(t, exported(t, b), want)
	pa.stop(syscall.SIGTERM)
	pb.stop(syscall.SIGINT)
	expectSame(t, exported(t, a), want)
	expectSame(t, exported(t, b), want)
}

// TestKilledInFirstSync kills the receiver, and then the sender, in the middle of a first sync, again and again.
func TestKilledInFirstSync(t *testing.T) {
	const all = 20000
	signal, a, b := serve(t), t.TempDir(), t.TempDir()
	must(t, strings.NewReader(documents(0, all, "a")), "import", "--data", a, "--durability", "relaxed")
	want := exported(t, a)
	pa := run(t, "sender", signal, a)
	held, inTheMiddle := 0, 0
	for round := 0; held < all; round++ {
		pb := run(t, "receiver", signal, b)
		f := follow(t, "receiver", b)
		f.count(min(all, held+1+round*97))
		if round%2 == 0 {
			pb.kill()
		} else {
			pa.kill()
			pb.kill()
			pa = run(t, "sender", signal, a)
		}
		f.kill()
		got := strings.Count(exported(t, b), "\n")
		if got < len(f.docs) {
			t.Fatalf("%d documents were told and %d are there", len(f.docs), got)
		}
		if got > 0 && got < all {
			inTheMiddle++
		}
		held = got
		if held == all && inTheMiddle == 0 { // too late; from the beginning
			b, held = t.TempDir(), 0
		}
		if round == 6 {
			break
		}
	}
	t.Logf("killed %d times in the middle", inTheMiddle)
	if inTheMiddle == 0 {
		t.Error("never killed in the middle")
	}
	run(t, "receiver", signal, b)
	follow(t, "receiver", b).count(all)
	expectSame(t, exported(t, b), want)
	if got := must(t, nil, "verify", "--data", b); !strings.Contains(got, "all good") {
		t.Errorf("verify says %s", got)
	}
}

// TestKilledInImport kills an import 20 times at any moment; then it is let run to its end.
func TestKilledInImport(t *testing.T) {
	const all, kills = 20000, 20
	data, content := t.TempDir(), documents(0, all, "imported")
	rng := rand.New(rand.NewPCG(1, 2))
	held, grew := 0, 0
	for i := range kills {
		cmd := exec.Command(peerBinary, "import", "--data", data, "--durability", []string{"strict", "relaxed"}[i%2])
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The pipe holds little, so the process is about where the writer is.
		if _, err := io.WriteString(in, content[:rng.IntN(len(content))]); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		_ = cmd.Wait() // says that it was killed
		if o := call(t, nil, "verify", "--data", data); o.code != 0 {
			t.Fatalf("after kill %d: %+v", i, o)
		}
		got := strings.Count(exported(t, data), "\n")
		if got < held {
			t.Fatalf("after kill %d there are %d documents, before there were %d", i, got, held)
		}
		if got > held {
			grew++
		}
		held = got
	}
	if grew < 2 || held == all {
		t.Errorf("%d imports stored something, %d documents, which is not the middle of anything", grew, held)
	}
	o := call(t, strings.NewReader(content), "import", "--data", data)
	if want := fmt.Sprintf("stored %d documents, %d were there already", all-held, held); !strings.Contains(o.stderr, want) {
		t.Errorf("%+v, want %s", o, want)
	}
	expectSame(t, exported(t, data), content)
}

// TestDamage has a record damaged on the disk. Verify tells; the peer goes on without it, and gets from the other what was in it.
func TestDamage(t *testing.T) {
	signal, a, b := serve(t), t.TempDir(), t.TempDir()
	must(t, strings.NewReader(documents(0, 3000, "a")), "import", "--data", a)
	pa, pb := run(t, "a", signal, a), run(t, "b", signal, b)
	follow(t, "b", b).count(3000)
	pa.stop(sigterm)
	pb.stop(sigterm)
	want := exported(t, a)
	position := damage(t, b)
	o := call(t, nil, "verify", "--data", b)
	if o.code != 1 || !strings.Contains(o.stdout, ", 1 damaged\n") || !strings.Contains(o.stdout, fmt.Sprintf("record at position %d: ", position)) ||
		!strings.Contains(o.stderr, "shoal-peer run leaves it out and gets") {
		t.Fatalf("verify: %+v", o)
	}
	if again := call(t, nil, "verify", "--data", b); again != o {
		t.Errorf("verify changed something: %+v", again)
	}
	run(t, "a", signal, a)
	pb = run(t, "b", signal, b)
	follow(t, "b", b).count(3000)
	expectSame(t, exported(t, b), want)
	if got := must(t, nil, "verify", "--data", b); !strings.Contains(got, "3000 documents") || !strings.Contains(got, "1 damaged records were left out before") {
		t.Errorf("verify says %s", got)
	}
	pb.stop(sigterm)
	expectSame(t, exported(t, b), want)
}

// damage changes a byte in a record of todos that has many documents, and returns the record's position.
func damage(t *testing.T, data string) store.Position {
	t.Helper()
	db, err := boltlog.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log, err := db.Log(t.Context(), "todos/0")
	if err != nil {
		t.Fatal(err)
	}
	records, err := log.Read(t.Context(), 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Span < 100 || r.First < 100 {
			continue
		}
		bad := append([]byte(nil), r.Data...)
		bad[len(bad)/2] ^= 1
		if err := log.Replace(t.Context(), []store.Record{r}, bad); err != nil {
			t.Fatal(err)
		}
		return r.First
	}
	t.Fatalf("nothing to damage in %d records", len(records))
	return 0
}

// TestCopiedDirectory has a data directory copied, and original and copy written to before they meet.
func TestCopiedDirectory(t *testing.T) {
	signal, a := serve(t), t.TempDir()
	b := filepath.Join(t.TempDir(), "copy")
	must(t, strings.NewReader(documents(0, 100, "a")), "import", "--data", a)
	copyDir(t, b, a)
	must(t, nil, "put", "todos", `{"id":"x","title":"of the original"}`, `{"id":"y"}`, "--data", a)
	must(t, nil, "put", "todos", `{"id":"z","title":"of the copy"}`, "--data", b)
	run(t, "a", signal, a)
	run(t, "b", signal, b)
	fa, fb := follow(t, "a", a), follow(t, "b", b)
	fa.count(103)
	fb.count(103)
	want := exported(t, a)
	expectSame(t, exported(t, b), want)
	for _, part := range []string{"of the original", `{"id":"y"}`, "of the copy"} {
		if !strings.Contains(want, part) {
			t.Errorf("%s is lost", part)
		}
	}
}

// TestNoServer goes on without a signaling server, and begins when there is one.
func TestNoServer(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	s := start(t, "server", serverBinary, "--listen", "127.0.0.1:0")
	address := s.logs(`msg=listening url=http://([^/]+)/`)
	s.kill()
	signal := "ws://" + address + "/signal"
	pa := run(t, "a", signal, a)
	pa.logs("connect to signaling server")
	must(t, nil, "put", "todos", `{"id":"x"}`, "--data", a)
	run(t, "b", signal, b)
	start(t, "server", serverBinary, "--listen", address).logs("msg=listening")
	follow(t, "b", b).count(1)
	pa.stop(sigterm)
}

// TestForRxDB has the signaling server give an RxDB client to the peer that says it replicates with such, and to no other.
func TestForRxDB(t *testing.T) {
	signal := serve(t)
	run(t, "plain", signal, t.TempDir()).logs("signaling connected")
	bridge := run(t, "bridge", signal, t.TempDir(), "--rxdb", "todos")
	client := signaling.New(signal, &signaling.Options{Dialect: protocol.DialectRxDB})
	defer client.Close()
	if err := client.Join(room); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var given []string
	for left := ""; left == ""; {
		e, err := client.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.(type) {
		case signaling.PeerJoined:
			given = append(given, e.Peer)
			bridge.kill() // after which nobody is left
		case signaling.PeerLeft:
			left = e.Peer
		}
	}
	if len(given) != 1 {
		t.Errorf("the client was given %v", given)
	}
	data := t.TempDir()
	if o := call(t, nil, "run", "--signal", signal, "--room", room, "--collections", "todos", "--rxdb", "users", "--data", data); o.code != 2 ||
		!strings.Contains(o.stderr, "it can be one of --collections") {
		t.Errorf("%+v", o)
	}
}
