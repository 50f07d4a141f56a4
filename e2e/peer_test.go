package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalpeer"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestAlwaysOn has browsers write and leave, and others come when they have gone: they get everything from the peer without a browser.
func TestAlwaysOn(t *testing.T) {
	s := shoalserver.Start(t)
	p := shoalpeer.New(t)
	p.Run(s)
	a, b := chrome.NewProfile(t).Open(t, nil), chrome.NewProfile(t).Open(t, nil)
	tabA, tabB := open(a, s), open(b, s)
	for i, tab := range []*chrome.Tab{tabA, tabB} {
		tab.Do(`await replicate(); await pool.awaitFirstPeer()`)
		tab.Do(fmt.Sprintf(`await todos.bulkInsert(Array.from({ length: 1000 }, (_, i) => ({ id: '%d-' + i, title: 'of browser %d \ud83d\ude00', done: false })))`, i, i))
	}
	p.Await(2000)
	for _, tab := range []*chrome.Tab{tabA, tabB} {
		tab.Do(`for await (const n of todos.count().$) if (n === 2000) break`)
	}
	tabB.Do(`await (await todos.findOne('0-0').exec()).remove(); await pool.awaitInSync()`)
	want := chrome.Eval[string](tabB, digest)
	a.Close()
	b.Close()

	t.Log("all have left; the peer restarts")
	p.Stop()
	if got := p.Call("get", "todos", "1-7"); !strings.Contains(got, "of browser 1") {
		t.Errorf("the peer has %s", got)
	}
	p.Call("put", "todos", `{"id":"note","title":"from the command line","done":true}`)
	p.Run(s)

	c := user(t, s)
	c.Do(`await replicate(); for await (const n of todos.count().$) if (n === 2000) break; await pool.awaitInSync()`)
	c.Do(`for await (const d of todos.findOne('note').$) if (d && d.title === 'from the command line') break`)
	c.Do(`await (await todos.findOne('note').exec()).remove()`)
	if got := chrome.Eval[string](c, digest); got != want {
		t.Errorf("the new browser has %s, want %s", got, want)
	}
	if got := chrome.Eval[[]string](c, `errors`); len(got) > 0 {
		t.Errorf("errors: %q", got)
	}
}

// TestPeerKilledInFirstSync kills the peer while it takes what a browser has, and starts it again.
func TestPeerKilledInFirstSync(t *testing.T) {
	s := shoalserver.Start(t)
	p := shoalpeer.New(t)
	tab := user(t, s)
	tab.Do(insertMany)
	tab.Do(`await replicate()`)
	for _, n := range []int{1, 3000, 6000} {
		p.Run(s)
		p.Await(n)
		p.Kill()
		t.Logf("killed with %s", strings.TrimSpace(p.Call("ls")))
	}
	p.Run(s)
	p.Await(10000)
	tab.Do(`await pool.awaitInSync()`)
	want := chrome.Eval[string](tab, digest)
	tab.Close()

	other := user(t, s)
	other.Do(`await replicate(); for await (const n of todos.count().$) if (n === 10000) break`)
	if got := chrome.Eval[string](other, digest); got != want {
		t.Errorf("a browser that has met the peer alone has %s, want %s", got, want)
	}
	if got := p.Call("verify"); !strings.Contains(got, "10000 documents") || !strings.Contains(got, "all good") {
		t.Errorf("verify says %s", got)
	}
}
