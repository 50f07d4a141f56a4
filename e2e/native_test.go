package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/store/boltlog"
)

// native is a Go program that takes part: a collection in a file, and a pool.
type native struct {
	*collection.Collection
	pool *pool.Pool
	stop func()
}

func openNative(t *testing.T, s *shoalserver.Server, dir string) *native {
	t.Helper()
	db, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := db.Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	c, err := collection.Open(t.Context(), "todos", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	mesh, err := pool.Connect(s.Signal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pool.Replicate(t.Context(), mesh, c, "my-users-pool", &pool.Options{
		Pull: &replication.Direction{}, Push: &replication.Direction{},
		OnEvent: func(e pool.Event) {
			if f, ok := e.(pool.Failed); ok {
				t.Logf("native: %s: %v", f.Peer, f.Err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &native{Collection: c, pool: p}
	closed := false
	n.stop = func() {
		if closed {
			return
		}
		closed = true
		for _, err := range []error{mesh.Close(), c.Close(), db.Close()} {
			if err != nil {
				t.Errorf("close native replica: %v", err)
			}
		}
	}
	t.Cleanup(n.stop)
	return n
}

// patience bounds waits. What takes so long does not come.
const patience = time.Minute

// title waits until a document has a title.
func (n *native) title(t *testing.T, id, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	defer n.Subscribe(func([]collection.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		var got struct{ Title string }
		if d, ok := n.Get(id); ok {
			if err := json.Unmarshal(d.Body, &got); err != nil {
				t.Fatal(err)
			}
		}
		if got.Title == want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s has the title %q, want %q", id, got.Title, want)
		}
	}
}

// TestNative replicates between Chromium and a Go program on pion and bbolt.
func TestNative(t *testing.T) {
	s := shoalserver.Start(t)
	dir := t.TempDir()
	n := openNative(t, s, dir)
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
	n.title(t, "b", "browser")

	t.Log("live, both ways")
	if _, err := n.Patch(t.Context(), "b", []byte(`{"title":"changed natively"}`)); err != nil {
		t.Fatal(err)
	}
	tab.Do(`for await (const d of todos.findOne('b').$) if (d.title === 'changed natively') break`)
	tab.Do(`await (await todos.findOne('n7').exec()).patch({ title: 'changed in the browser' })`)
	n.title(t, "n7", "changed in the browser")

	t.Log("the native program restarts; it catches up")
	n.stop()
	tab.Do(`for await (const peers of pool.peerStates$) if ([...peers.values()].every((p) => p.state !== 'open')) break`)
	tab.Do(`await (await todos.findOne('n8').exec()).patch({ title: 'while you were away' })`)
	n = openNative(t, s, dir)
	n.title(t, "n8", "while you were away")
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
