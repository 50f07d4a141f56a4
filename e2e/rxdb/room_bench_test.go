package rxdb

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/internal/child"
	"github.com/tidwall/gjson"
)

const (
	roomClients  = 8
	roomChanges  = 5
	roomPatience = 30_000 // milliseconds
)

// BenchmarkRoom has 8 RxDB clients change one document at once, five times each, and measures how long it takes from then until all hold the
// same and nothing is sent any more: with Shoal's server and a Shoal replica among them, which changes the document too, and with RxDB's own server. It gives up after 30 s
// and then reports -1. The messages are those that the clients send meanwhile.
func BenchmarkRoom(b *testing.B) {
	b.Log(versions(b))
	script := bundle(b)
	tab := page(chrome.NewProfile(b).Open(b, nil), shoalserver.Start(b), script)
	for b.Loop() {
		b.Run("Shoal", func(b *testing.B) {
			s := shoalserver.Start(b)
			n := openNative(b, s, b.TempDir(), "", nil)
			n.put(`{"id":"doc","title":"first","n":0}`)
			storm(b, tab, "ws://127.0.0.1:"+s.Port()+"/", n)
			n.sync()
			d, _ := n.Get("doc")
			if got, want := gjson.GetBytes(d.Body, "title").Str, chrome.Eval[[]string](tab, `rx.titles()`)[0]; got != want {
				b.Errorf("the replica has %q, the clients %q", got, want)
			}
			tab.Do(`await rx.closeRoom()`)
		})
		b.Run("RxDB", func(b *testing.B) {
			storm(b, tab, rxdbServer(b), nil)
			tab.Do(`await rx.closeRoom()`)
		})
	}
}

func storm(b *testing.B, tab *chrome.Tab, url string, n *native) {
	b.Helper()
	tab.Do(fmt.Sprintf(`await rx.room(%d, %q, %q)`, roomClients, url, topic))
	if n == nil {
		tab.Do(`await rx.clients[0].todos.insert({ id: 'doc', title: 'first', n: 0 })`)
	}
	tab.Do(fmt.Sprintf(`await rx.settled(%d)`, roomPatience))
	tab.Do(fmt.Sprintf(`window.storm = rx.storm(%d)`, roomChanges))
	for i := 0; n != nil && i < roomChanges; i++ {
		n.put(fmt.Sprintf(`{"id":"doc","title":"replica, change %d","n":%d}`, i, i))
	}
	tab.Do(`await storm`)
	result := chrome.Eval[[]float64](tab, fmt.Sprintf(`rx.settled(%d)`, roomPatience))
	b.ReportMetric(result[0], "ms-until-settled")
	b.ReportMetric(result[1], "messages")
	b.ReportMetric(0, "ns/op")
}

// rxdbServer starts RxDB's signaling server and returns its address.
func rxdbServer(b *testing.B) string {
	b.Helper()
	cmd := exec.Command("node", "server.mjs")
	child.EndsWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("start RxDB's server: %v", err)
	}
	return "ws://127.0.0.1:" + strings.TrimSpace(port) + "/"
}
