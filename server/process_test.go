package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/shoaldb/shoal/internal/child"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/signaling"
)

// process runs a server in a process of its own and returns that and the server's URL.
func process(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, exec.Command(exe, args...))
}

// launch starts a command that becomes a server.
func launch(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, string) {
	t.Helper()
	cmd.Env = append(os.Environ(), asServer+"=1")
	child.EndsWithParent(cmd)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	found := regexp.MustCompile(`msg=listening url=http(\S+)/`)
	for lines.Scan() {
		if m := found.FindStringSubmatch(lines.Text()); m != nil {
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				io.Copy(io.Discard, out)
			}()
			t.Cleanup(func() {
				cmd.Process.Kill()
				<-drained
			})
			return cmd, "ws" + m[1] + "/signal"
		}
		t.Log(lines.Text())
	}
	t.Fatal("the server ended")
	return nil, ""
}

// someone is a client in a room.
func someone(t *testing.T, urls ...string) *signaling.Client {
	t.Helper()
	c := signaling.New(urls[0], &signaling.Options{Fallbacks: urls[1:]})
	t.Cleanup(func() { c.Close() })
	if err := c.Join(testRoom); err != nil {
		t.Fatal(err)
	}
	return c
}

// until returns the first event of a client that is of type T and right.
func until[T signaling.Event](t *testing.T, c *signaling.Client, right func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := c.Next(ctx)
		if err != nil {
			var want T
			t.Fatalf("waiting for %T: %v", want, err)
		}
		if got, ok := e.(T); ok && right(got) {
			return got
		}
	}
}

func always[T any](T) bool { return true }

// TestNoDescriptorLeft has a server run out of file descriptors: it goes on when there are some again.
func TestNoDescriptorLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("how many there are is read from /proc")
	}
	const most = 40
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limited := fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, most)
	cmd, url := launch(t, exec.Command("sh", "-c", limited, exe, "--listen", "127.0.0.1:0"))
	address := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/signal")
	var conns []net.Conn
	for range 2 * most { // the system answers for the server
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for used := 0; used < most; <-tick.C {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", cmd.Process.Pid))
		if err != nil || ctx.Err() != nil {
			t.Fatalf("%d descriptors in use, then: %v", used, err)
		}
		used = len(open)
	}
	for _, conn := range conns {
		conn.Close()
	}
	if status, _ := get(t, client(nil), "http://"+address+"/healthz"); status != 200 {
		t.Errorf("healthz afterwards: %d", status)
	}
}

// TestKilledNode kills one of two nodes; its client is back in the room by the other one, as the same peer.
func TestKilledNode(t *testing.T) {
	if ln, err := net.Listen("tcp", "127.0.0.2:0"); err != nil {
		t.Skip("127.0.0.2 is not there: ", err)
	} else {
		ln.Close()
	}
	broker, err := nats.NewServer(&nats.Options{Host: "127.0.0.1", Port: nats.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go broker.Start() // ends with Shutdown
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	args := []string{"--nats", broker.ClientURL(), "--secret", testSecret, "--listen"}
	one, urlOne := process(t, append(args, "127.0.0.1:0")...)
	_, urlTwo := process(t, append(args, "127.0.0.2:0")...)
	if !strings.Contains(urlTwo, "127.0.0.2") {
		t.Fatal(urlTwo)
	}
	a, b := someone(t, urlOne, urlTwo), someone(t, urlTwo, urlOne)
	aID := until(t, a, always[signaling.Connected]).Self
	bID := until(t, b, always[signaling.Connected]).Self
	until(t, a, func(e signaling.PeerJoined) bool { return e.Peer == bID })
	until(t, b, func(e signaling.PeerJoined) bool { return e.Peer == aID })
	send := func(from, to *signaling.Client, id string) {
		t.Helper()
		if err := from.Send(t.Context(), testRoom, id, json.RawMessage(`"hello"`)); err != nil {
			t.Fatal(err)
		}
		until(t, to, always[signaling.Signal])
	}
	send(a, b, bID)
	send(b, a, aID)
	metrics := "http" + strings.TrimSuffix(strings.TrimPrefix(urlTwo, "ws"), "/signal")
	for name, want := range map[string]float64{
		"shoal_cluster_connected": 1, "shoal_cluster_nodes": 1, "shoal_cluster_members": 1, "shoal_cluster_sent_total": 1,
		"shoal_cluster_received_total": 1, "shoal_cluster_lost_total": 0, "shoal_room_members": 2, "shoal_peers": 1,
	} {
		if got := figure(t, metrics, name); got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	if err := one.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	until(t, a, always[signaling.Disconnected])
	if got := until(t, a, always[signaling.Connected]).Self; got != aID {
		t.Errorf("%s came back as %s", aID, got)
	}
	until(t, a, always[signaling.Joined])
	t.Logf("back in the room after %s", time.Since(killed))
	send(b, a, aID)
	send(a, b, bID)
}

// TestElsewhere has a server that stops send its clients to another one.
func TestElsewhere(t *testing.T) {
	one, urlOne := process(t, "--listen", "127.0.0.1:0")
	_, urlTwo := process(t, "--listen", "127.0.0.1:0")
	a := someone(t, urlOne, urlTwo)
	until(t, a, always[signaling.Joined])
	if err := one.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := until(t, a, always[signaling.Disconnected]).Err; protocol.CodeOf(err) != protocol.CodeGoingAway {
		t.Errorf("told %v", err)
	}
	until(t, a, always[signaling.Joined])
}
