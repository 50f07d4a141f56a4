package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestCluster: browsers on two servers that share their rooms by NATS replicate. When one server is killed, its browser is in the
// room again by the other, its connections stay, and who comes then finds it.
func TestCluster(t *testing.T) {
	broker, err := nats.NewServer(&nats.Options{Host: "127.0.0.1", Port: nats.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	go broker.Start() // ends with Shutdown
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS does not start")
	}
	flags := []string{"--nats", broker.ClientURL(), "--secret", strings.Repeat("s", 32)}
	one, two := shoalserver.Start(t, flags...), shoalserver.Start(t, append(flags, "--listen", "127.0.0.2:0")...)
	a, b := user(t, one), user(t, two)
	begin := func(tab *chrome.Tab, first, then *shoalserver.Server) {
		tab.Do(fmt.Sprintf(`
			const shoal = await import('/shoal.js');
			window.pool = await shoal.replicateP2P({
				collection: todos, topic: 'my-users-pool', pull: {}, push: {},
				connectionHandlerCreator: shoal.getConnectionHandlerWebRTC({ signalingServerUrl: %q, fallbackServerUrls: [%q] }),
			});
			window.ways = [];
			pool.signaling$.subscribe(({ state }) => ways.push(state));`, first.Signal(), then.Signal()))
	}
	begin(a, one, two)
	begin(b, two, one)
	a.Do(`await todos.insert({ id: 'a', title: 'of a', done: false })`)
	b.Do(`for await (const d of todos.findOne('a').$) if (d) break`)

	a.Wait(`pool.peerStates$.value.size === 1`) // a moment after its documents came
	a.AllowErrors()
	a.Do(`ways.length = 0; window.lost = 0; pool.peerStates$.subscribe((peers) => { if (peers.size === 0) lost++; })`)
	one.Kill()
	killed := time.Now()
	a.Wait(`ways.some((w) => w !== 'open') && pool.signaling$.value.state === 'open'`)
	t.Logf("back by the other server after %s", time.Since(killed))
	if n := chrome.Eval[int](a, `lost`); n != 0 {
		t.Errorf("the connection to the other browser broke %d times", n)
	}
	b.Do(`await todos.insert({ id: 'b', title: 'of b', done: false })`)
	a.Do(`for await (const d of todos.findOne('b').$) if (d) break`)

	c := user(t, two)
	begin(c, two, one)
	a.Wait(`pool.peerStates$.value.size === 2`)
	c.Do(`for await (const n of todos.count().$) if (n === 2) break`)
}
