package e2e

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// setup is what most tests of the library begin with in a page: a database with a collection of todos.
const setup = `
	const shoal = await import('/shoal.js');
	window.db = await shoal.createDatabase({ name: 'app', storage: 'indexeddb' });
	window.schema = { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' }, title: { type: 'string' }, done: { type: 'boolean' } } };
	window.todos = (await db.addCollections({ todos: { schema } })).todos;
	window.errors = [];
	window.replicate = async () => {
		window.pool = await shoal.replicateP2P({
			collection: todos,
			topic: 'my-users-pool',
			connectionHandlerCreator: shoal.getConnectionHandlerSimplePeer('ws://' + location.host + '/signal'),
			pull: {}, push: {},
		});
		pool.error$.subscribe((error) => errors.push(error.code + ': ' + error.message));
	};
	window.titles = async () => (await todos.find().exec()).map((d) => d.id + ' ' + d.title).join(', ');
`

// blank is a page of the server's origin with nothing on it.
const blank = "/healthz"

// open opens a tab with the library in it.
func open(b *chrome.Browser, s *shoalserver.Server) *chrome.Tab {
	tab := b.Tab(s.URL(blank))
	tab.Do(setup)
	return tab
}

// user opens a browser with a profile of its own and the library in it.
func user(t *testing.T, s *shoalserver.Server) *chrome.Tab {
	t.Helper()
	return open(chrome.NewProfile(t).Open(t, nil), s)
}

func TestTwoBrowsers(t *testing.T) {
	s := shoalserver.Start(t)
	a, b := user(t, s), user(t, s)
	a.Do(`await todos.insert({ id: 't1', title: 'Milk', done: false })`)
	a.Do(`await replicate()`)
	b.Do(`await replicate(); await pool.awaitFirstPeer(); await pool.awaitInSync()`)
	if got := chrome.Eval[string](b, `titles()`); got != "t1 Milk" {
		t.Fatalf("b has %q", got)
	}
	b.Do(`await (await todos.findOne('t1').exec()).patch({ title: 'Bread' })`)
	a.Do(`for await (const d of todos.findOne('t1').$) if (d.title === 'Bread') break`)
}
