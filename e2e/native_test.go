package e2e

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalnative"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// TestNative replicates between Chromium and a Go program on pion and bbolt.
func TestNative(t *testing.T) {
	s := shoalserver.Start(t)
	dir := t.TempDir()
	n := shoalnative.Open(t, s, dir, nil)
	for i := range 500 {
		if _, err := n.Insert(t.Context(), fmt.Appendf(nil, `{"id":"n%d","title":"native %d","done":false}`, i, i)); err != nil {
			t.Fatal(err)
		}
	}
	profile := chrome.NewProfile(t)
	browser := profile.Open(t, nil)
	tab := open(browser, s)
	tab.Do(`await todos.insert({ id: 'b', title: 'browser', done: false }); await replicate(); await pool.awaitInSync()`)
	if got := chrome.Eval[int](tab, `todos.count().exec()`); got != 501 {
		t.Errorf("the browser has %d documents, want 501", got)
	}
	n.Title("b", "browser")

	t.Log("live, both ways")
	if _, err := n.Patch(t.Context(), "b", []byte(`{"title":"changed natively"}`)); err != nil {
		t.Fatal(err)
	}
	tab.Do(`for await (const d of todos.findOne('b').$) if (d.title === 'changed natively') break`)
	tab.Do(`await (await todos.findOne('n7').exec()).patch({ title: 'changed in the browser' })`)
	n.Title("n7", "changed in the browser")

	t.Log("the native program restarts; it catches up")
	n.Stop()
	tab.Do(`for await (const peers of pool.peerStates$) if ([...peers.values()].every((p) => p.state !== 'open')) break`)
	tab.Do(`await (await todos.findOne('n8').exec()).patch({ title: 'while you were away' })`)
	n = shoalnative.Open(t, s, dir, nil)
	n.Title("n8", "while you were away")
	if n.Count() != 501 {
		t.Errorf("the native program has %d documents, want 501", n.Count())
	}

	t.Log("the browser restarts; it catches up")
	browser.Close()
	if _, err := n.Patch(t.Context(), "n9", []byte(`{"title":"and while you were"}`)); err != nil {
		t.Fatal(err)
	}
	tab = open(profile.Open(t, nil), s)
	if got := chrome.Eval[string](tab, `todos.findOne('n8').exec().then((d) => d.title)`); got != "while you were away" {
		t.Errorf("after the restart the browser has %q", got)
	}
	tab.Do(`await replicate(); for await (const d of todos.findOne('n9').$) if (d.title === 'and while you were') break`)
}
