package rxdb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/tidwall/gjson"
)

// TestManyDocuments: 5,000 documents each way, and as many changes.
func TestManyDocuments(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	for _, storage := range []string{"memory", "dexie"} {
		for _, role := range roles {
			t.Run(strings.Join([]string{name, storage, role.name}, ","), func(t *testing.T) {
				s := shoalserver.Start(t)
				tab := page(chrome.NewProfile(t).Open(t, nil), s, script)
				token := tokenFor(chrome.Eval[string](tab, fmt.Sprintf(`rx.open({ storage: %q })`, storage)), role.master)
				n := openNative(t, s, t.TempDir(), token, nil)
				n.many("n", 5000, "native")
				tab.Do(`await rx.todos.bulkInsert(Array.from({ length: 5000 }, (_, i) => ({ id: 'r' + i, title: 'rxdb ' + i, n: i })))`)
				tab.Do(fmt.Sprintf(`await rx.replicate(%q, undefined, { pull: { batchSize: 100 }, push: { batchSize: 100 } })`, "ws://127.0.0.1:"+s.Port()+"/"))
				checkRole(t, tab, role.master)
				n.until("10,000 documents", func() bool { return n.Count() == 10_000 })
				if got := same(t, n, tab); len(got) != 10_000 {
					t.Fatalf("%d documents", len(got))
				}
				t.Log("all changed at once, on either side")
				n.many("n", 5000, "changed")
				tab.Do(`await rx.todos.bulkUpsert(Array.from({ length: 5000 }, (_, i) => ({ id: 'r' + i, title: 'changed ' + i, n: i })))`)
				n.until("the last change", func() bool {
					d, _ := n.Get("r4999")
					return gjson.GetBytes(d.Body, "title").Str == "changed 4999"
				})
				got := same(t, n, tab)
				if got["n4999"]["title"] != "changed 4999" || got["r4999"]["title"] != "changed 4999" {
					t.Errorf("the last are %v and %v", got["n4999"], got["r4999"])
				}
			})
		}
	}
}

func (n *native) many(prefix string, count int, title string) {
	n.t.Helper()
	bodies := make([][]byte, count)
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, `{"id":"%s%d","title":"%s %d","n":%d}`, prefix, i, title, i, i)
	}
	for _, r := range n.BulkUpsert(n.t.Context(), bodies) {
		if r.Err != nil {
			n.t.Fatal(r.Err)
		}
	}
}

// adding is a conflict handler that adds up what each side has added to n, as the one of client.mjs does.
type adding struct{}

func (adding) Equal(_ context.Context, a, b collection.Content) (bool, error) {
	return collection.EqualContent(a, b), nil
}

func (adding) Resolve(_ context.Context, c collection.Conflict) (collection.Content, error) {
	n := gjson.GetBytes(c.Real.Body, "n").Int() + gjson.GetBytes(c.New.Body, "n").Int()
	if c.Assumed != nil {
		n -= gjson.GetBytes(c.Assumed.Body, "n").Int()
	}
	return collection.Content{Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, c.ID, n)}, nil
}

// TestConflicts: both change one document while apart, and its handlers merge; afterwards both hold the same, with both changes.
func TestConflicts(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	for _, role := range roles {
		t.Run(strings.Join([]string{name, role.name}, ","), func(t *testing.T) {
			s := shoalserver.Start(t)
			tab := page(chrome.NewProfile(t).Open(t, nil), s, script)
			token := tokenFor(chrome.Eval[string](tab, `rx.open({ merge: true })`), role.master)
			n := openNative(t, s, t.TempDir(), token, adding{})
			n.put(`{"id":"sum","n":1000}`)
			goOnline(tab, s)
			checkRole(t, tab, role.master)
			same(t, n, tab)
			for round := range 5 {
				setOffline(tab)
				n.put(fmt.Sprintf(`{"id":"sum","n":%d}`, 1000+110*round+10))
				tab.Do(fmt.Sprintf(`await (await rx.todos.findOne('sum').exec()).patch({ n: %d })`, 1000+110*round+100))
				goOnline(tab, s)
				want := float64(1000 + 110*(round+1))
				n.until(fmt.Sprintf("the sum %v", want), func() bool {
					d, _ := n.Get("sum")
					return gjson.GetBytes(d.Body, "n").Num == want
				})
				if got := same(t, n, tab); got["sum"]["n"] != want {
					t.Fatalf("round %d: the sum is %v, want %v", round, got["sum"]["n"], want)
				}
			}
			quiet(t, n, tab)
		})
	}
}

// TestTwoReplicas: what an RxDB client writes reaches a Shoal replica that it has no connection to, and the other way round; nothing is sent
// round and round.
func TestTwoReplicas(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	t.Run(name, func(t *testing.T) {
		s := shoalserver.Start(t)
		browser := chrome.NewProfile(t).Open(t, nil)
		first, second := page(browser, s, script), page(chrome.NewProfile(t).Open(t, nil), s, script)
		a, b := openNative(t, s, t.TempDir(), "", nil), openNative(t, s, t.TempDir(), "", nil)
		for i, tab := range []*chrome.Tab{first, second} {
			chrome.Eval[string](tab, `rx.open()`)
			tab.Do(fmt.Sprintf(`await rx.todos.insert({ id: 'rx%d', title: 'mine' })`, i))
			goOnline(tab, s)
			tab.Do(`await rx.pool.awaitFirstPeer()`)
		}
		for _, n := range []*native{a, b} {
			n.title("rx0", "mine")
			n.title("rx1", "mine")
		}
		for round := range 10 {
			title := fmt.Sprintf("round %d", round)
			a.put(fmt.Sprintf(`{"id":"rx1","title":"a, %s"}`, title))
			first.Do(`await rx.until(async () => (await rx.get('rx1'))?.title === "a, ` + title + `")`)
			second.Do(`await rx.until(async () => (await rx.get('rx1'))?.title === "a, ` + title + `")`)
			first.Do(`await (await rx.todos.findOne('rx1').exec()).patch({ title: "first, ` + title + `" })`)
			second.Do(`await rx.until(async () => (await rx.get('rx1'))?.title === "first, ` + title + `")`)
			b.title("rx1", "first, "+title)
		}
		same(t, a, first)
		same(t, b, second)
		quiet(t, a, first)
		quiet(t, b, second)
	})
}
