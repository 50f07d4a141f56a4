package e2e

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/shared/signaling"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

// connect has a tab replicate with other options of the connection handler and the pool, as JavaScript.
func connect(tab *chrome.Tab, handler, pool string) {
	tab.Do(`
		const shoal = await import('/shoal.js');
		window.pool = await shoal.replicateP2P({
			collection: todos,
			topic: 'my-users-pool',
			connectionHandlerCreator: shoal.getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://' + location.host + '/signal', ` + handler + ` }),
			pull: {}, push: {}, ` + pool + `
		});
		pool.error$.subscribe((error) => errors.push(error.code + ': ' + error.message));
		window.paths = () => [...pool.peerStates$.value.values()].map(({ path }) => path && [path.localCandidate, path.remoteCandidate, path.relayed].join(' ')).join(', ');
	`)
}

// exchangeTodos has two tabs replicate in both directions.
func exchangeTodos(a, b *chrome.Tab) {
	a.Do(`await todos.insert({ id: 'a', title: 'of a', done: false })`)
	b.Do(`await todos.insert({ id: 'b', title: 'of b', done: false })`)
	a.Do(`for await (const d of todos.findOne('b').$) if (d) break`)
	b.Do(`for await (const d of todos.findOne('a').$) if (d) break`)
}

// noDirectPath is an ICE policy by which browsers connect through a TURN server, or not at all.
const noDirectPath = `config: { iceTransportPolicy: 'relay' }`

// TestTURN: two browsers that may not connect directly replicate over the server's TURN, and the server does not relay in any other way.
func TestTURN(t *testing.T) {
	s := shoalserver.Start(t, "--turn", "--turn-listen", "127.0.0.1:0", "--no-relay")
	a, b := user(t, s), user(t, s)
	connect(a, noDirectPath, "")
	connect(b, noDirectPath, "")
	exchangeTodos(a, b)
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Wait(`paths() === 'relay relay true'`)
		if errors := chrome.Eval[string](tab, `errors.join('; ')`); errors != "" {
			t.Errorf("errors: %s", errors)
		}
	}
	stats := chrome.Eval[string](a, `pool.stats([...pool.peerStates$.value.keys()][0]).then((s) => JSON.stringify(s))`)
	if !strings.Contains(stats, `"localCandidate":"relay"`) || !strings.Contains(stats, `"relayed":true`) {
		t.Errorf("statistics %s", stats)
	}
}

// TestServerRelay: where there is no TURN either, two browsers replicate through the signaling server. They go on when it comes back.
func TestServerRelay(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	connect(a, noDirectPath, "")
	connect(b, noDirectPath, "secret: 'correct horse'")
	b.Wait(`errors.some((e) => e.startsWith('secret: '))`)
	a.Wait(`errors.some((e) => e.startsWith('secret: '))`)
	b.Do(`await pool.cancel()`)
	connect(b, noDirectPath, "")
	exchangeTodos(a, b)
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Wait(`paths().includes('server server true')`)
	}
	a.Do(`await todos.bulkInsert(Array.from({ length: 2000 }, (_, i) => ({ id: 'n' + i, title: 'x'.repeat(100), done: false })))`)
	b.Do(`for await (const n of todos.count().$) if (n === 2002) break`)

	t.Log("the server restarts")
	a.AllowErrors()
	b.AllowErrors()
	s.Kill()
	a.Do(`await todos.insert({ id: 'late', title: 'meanwhile', done: false })`)
	s.Restart()
	b.Do(`for await (const d of todos.findOne('late').$) if (d) break`)
}

// TestRelayOff: who does not want to be relayed is not, and learns why there is no connection.
func TestRelayOff(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	connect(a, noDirectPath, "")
	connect(b, noDirectPath+", relay: false", "")
	const told = `errors.some((e) => e.startsWith('relay: ') || e.startsWith('timeout: ') && e.includes('candidates here: none'))`
	a.Wait(told)
	if n := chrome.Eval[int](a, `[...pool.peerStates$.value.values()].filter(({ state }) => state === 'open').length`); n != 0 {
		t.Errorf("%d peers", n)
	}
	b.Do(`await pool.cancel()`)
}

// TestTokens: a server with keys lets those in who have a token, which a function gets for the room; who has none is told.
func TestTokens(t *testing.T) {
	key := strings.Repeat("k", 32)
	s := shoalserver.Start(t, "--auth-key", key)
	token := strings.TrimSpace(s.Run("token", "--auth-key", key, "--room", "my-users-pool", "--ttl", "1h"))
	other := strings.TrimSpace(s.Run("token", "--auth-key", key, "--room", "another-pool", "--ttl", "1h"))
	a, b, c := user(t, s), user(t, s), user(t, s)
	connect(a, `token: async (topic) => { if (topic !== 'my-users-pool') throw new Error(topic); return '`+token+`'; }`, "")
	connect(b, `token: '`+token+`'`, "")
	connect(c, `token: () => '`+other+`'`, "")
	exchangeTodos(a, b)
	c.Wait(`errors.some((e) => e.startsWith('unauthorized: '))`)
	b.Do(`await pool.cancel()`)
	connect(b, `token: async () => { throw new Error('the login has ended'); }`, "")
	b.Wait(`errors.some((e) => e.startsWith('callback: ') && e.includes('the login has ended'))`)
}

// TestHostileServer: a signaling server that gives each of two browsers a certificate of its own, and so sits between them, reads everything
// where there is no secret, and nothing where there is one.
func TestHostileServer(t *testing.T) {
	for name, secret := range map[string]string{"no secret": "", "secret": "secret: 'correct horse'"} {
		t.Run(name, func(t *testing.T) {
			left, right := shoalserver.Start(t), shoalserver.Start(t)
			t.Cleanup(rtctest.Middle(evil(t, left), evil(t, right))) // to the browsers, both servers and it are one hostile server
			a, b := user(t, left), user(t, right)
			connect(a, "", secret)
			connect(b, "", secret)
			if secret == "" {
				exchangeTodos(a, b) // so what stands between them works
				return
			}
			a.Do(`await todos.insert({ id: 'a', title: 'of a', done: false })`)
			for _, tab := range []*chrome.Tab{a, b} {
				tab.Wait(`errors.some((e) => e.startsWith('secret: '))`)
				tab.Wait(`[...pool.peerStates$.value.values()].every(({ state }) => state !== 'open')`)
			}
			if titles := chrome.Eval[string](b, `titles()`); titles != "" {
				t.Errorf("b has %q", titles)
			}
		})
	}
}

func evil(t *testing.T, s *shoalserver.Server) *rtc.Network {
	t.Helper()
	n, err := rtc.New(&introducer{client: signaling.New(s.Signal(), nil)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Join("my-users-pool"); err != nil {
		t.Fatal(err)
	}
	return n
}

// introducer is a signaling client as package rtc needs it, without what only matters in the long run.
type introducer struct{ client *signaling.Client }

func (i *introducer) Next(ctx context.Context) (rtc.SignalerEvent, error) {
	for {
		e, err := i.client.Next(ctx)
		if err != nil {
			return nil, err
		}
		switch e := e.(type) {
		case signaling.Connected:
			return rtc.Connected{Self: e.Self}, nil
		case signaling.PeerJoined:
			return rtc.PeerJoined{Room: e.Room, Peer: e.Peer}, nil
		case signaling.PeerLeft:
			return rtc.PeerLeft{Room: e.Room, Peer: e.Peer}, nil
		case signaling.Signal:
			return rtc.Signal{Room: e.Room, Peer: e.Peer, Data: e.Data}, nil
		case signaling.Disconnected:
			return rtc.Disconnected{Err: net.ErrClosed}, nil
		}
	}
}

func (i *introducer) Join(room string) error  { return i.client.Join(room) }
func (i *introducer) Leave(room string) error { return i.client.Leave(room) }
func (i *introducer) Wake()                   { i.client.Wake() }
func (i *introducer) Close() error            { return i.client.Close() }

func (i *introducer) Send(ctx context.Context, room, peer string, data []byte) error {
	return i.client.Send(ctx, room, peer, data)
}
