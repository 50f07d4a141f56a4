package rxdb

import (
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalpeer"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestAlwaysOn has RxDB clients write and leave, and others come when they have gone: they get everything from bin/shoal-peer.
func TestAlwaysOn(t *testing.T) {
	t.Log(versions(t))
	script := bundle(t)
	s := shoalserver.Start(t)
	p := shoalpeer.New(t)
	p.Run(s, "--rxdb", "todos")
	a, b := chrome.NewProfile(t).Open(t, nil), chrome.NewProfile(t).Open(t, nil)
	tabA, tabB := page(a, s, script), page(b, s, script)
	for _, tab := range []*chrome.Tab{tabA, tabB} {
		tab.Do(`await rx.open({ storage: 'dexie' })`)
		goOnline(tab, s)
	}
	tabA.Do(`await rx.todos.bulkInsert(Array.from({ length: 500 }, (_, i) => ({ id: 'a' + i, title: 'of a \ud83d\ude00', n: i })))`)
	tabB.Do(`await rx.until(async () => Object.keys(await rx.all()).length === 500)`)
	tabB.Do(`await (await rx.todos.findOne('a0').exec()).remove()`)
	tabB.Do(`await (await rx.todos.findOne('a1').exec()).patch({ title: 'changed by b' })`)
	tabA.Do(`await rx.until(async () => (await rx.get('a1')).title === 'changed by b' && (await rx.get('a0')) === null)`)
	want := chrome.Eval[string](tabB, `rx.text()`)
	if got := chrome.Eval[string](tabA, `rx.text()`); got != want {
		t.Fatalf("the two have\n%.300s\n%.300s", got, want)
	}
	a.Close()
	b.Close()

	t.Log("all have left; the peer is killed, and starts again")
	p.Kill()
	p.Run(s, "--rxdb", "todos")
	c := page(chrome.NewProfile(t).Open(t, nil), s, script)
	c.Do(`await rx.open({ storage: 'memory' })`)
	goOnline(c, s)
	c.Do(`await rx.until(async () => Object.keys(await rx.all()).length === 499)`)
	if got := chrome.Eval[string](c, `rx.text()`); got != want {
		t.Errorf("the new client has\n%.300s, want\n%.300s", got, want)
	}
	p.Call("put", "todos", `{"id":"note","title":"from the command line"}`)
	c.Do(`await rx.until(async () => (await rx.get('note'))?.title === 'from the command line')`)
}
