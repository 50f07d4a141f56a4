package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoaldb/shoal/shared/protocol"
)

// world is a topology with the edges of the peers' lists, and those that its clients have made and keep.
type world struct {
	*topology
	edges map[[2]string]bool
}

func (w *world) clear(id string) {
	for e := range w.edges {
		if e[0] == id || e[1] == id {
			delete(w.edges, e)
		}
	}
}

// connect has the clients connect to all whom they are named, as they do, and the bridges close what is not theirs. It checks
// that the lists of two name each other, and that a client was told where its list changed.
func (w *world) connect(known map[string][]string) error {
	lists := make(map[string][]string)
	bridges := make(map[string]bool)
	for _, b := range w.bridges {
		bridges[b.id] = true
	}
	for _, p := range w.clients {
		lists[p.id] = w.list(p)
		if !slices.IsSorted(lists[p.id]) || !slices.Contains(lists[p.id], p.id) {
			return fmt.Errorf("list of %s is %v", p.id, lists[p.id])
		}
		if !p.stale && !slices.Equal(known[p.id], lists[p.id]) || p.stale && !w.stale {
			return fmt.Errorf("%s believes %v and should be told %v", p.id, known[p.id], lists[p.id])
		}
		p.stale, known[p.id] = false, lists[p.id]
	}
	w.stale = false
	for id, list := range lists {
		for _, other := range list {
			if other == id {
				continue
			}
			if !bridges[other] && !slices.Contains(lists[other], id) {
				return fmt.Errorf("%s is named %s, and not the other way round", id, other)
			}
			w.edges[[2]string{min(id, other), max(id, other)}] = true
		}
	}
	return nil
}

// tree checks that the clients and, as one, the bridges are a tree.
func (w *world) tree() error {
	nodes := len(w.clients)
	group := make(map[string]string)
	find := func(id string) string {
		for group[id] != "" {
			id = group[id]
		}
		return id
	}
	for _, b := range w.bridges {
		group[b.id] = "bridges"
	}
	if len(w.bridges) > 0 {
		nodes++
	}
	for e := range w.edges {
		a, b := find(e[0]), find(e[1])
		if a == b {
			return fmt.Errorf("%v closes a cycle", e)
		}
		group[a] = b
	}
	if nodes > 0 && len(w.edges) != nodes-1 {
		return fmt.Errorf("%d edges between %d nodes", len(w.edges), nodes)
	}
	return nil
}

// TestTopology has clients and bridges come and go at random. Clients keep what connections they have made, and after each
// change all that are there are one tree, in which nobody has many neighbours, and Shoal peers were told of each bridge that changed.
func TestTopology(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := &world{topology: &topology{}, edges: make(map[[2]string]bool)}
		known := make(map[string][]string)
		told := make(map[string]string)
		wantBridges := rng.IntN(4)
		for step := range 200 {
			switch n := rng.IntN(10); {
			case n == 0 && len(w.bridges) < wantBridges:
				w.setRole(fmt.Sprintf("bridge%02d", step), protocol.Role{RxDB: true, AlwaysOn: rng.IntN(2) == 0})
			case n == 1 && len(w.bridges) > 0:
				id := w.bridges[rng.IntN(len(w.bridges))].id
				w.clear(id)
				w.setRole(id, protocol.Role{AlwaysOn: true})
			case n < 6 || len(w.clients) == 0:
				w.add(fmt.Sprintf("c%03d", rng.IntN(10)*1000+step))
			default:
				p := w.clients[rng.IntN(len(w.clients))]
				w.clear(p.id)
				delete(known, p.id)
				w.remove(p)
			}
			for _, p := range w.takeMoved() {
				told[p.id] = w.info(p).ServedBy
			}
			err := w.connect(known)
			if err == nil {
				err = w.tree()
			}
			for _, p := range w.clients {
				if len(known[p.id]) > 1+maxChildren+1 {
					err = fmt.Errorf("%s has neighbours %v", p.id, known[p.id])
				}
				if told[p.id] != w.info(p).ServedBy {
					err = fmt.Errorf("%s is with %q, and Shoal peers believe %q", p.id, w.info(p).ServedBy, told[p.id])
				}
			}
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
		}
	}
}

// TestTopologyPrefers gives clients to bridges that are always on, each about as many, and keeps the tree flat without.
func TestTopologyPrefers(t *testing.T) {
	top := &topology{}
	for i := range 40 {
		top.add(fmt.Sprintf("c%02d", i))
	}
	depth := func(p *place) (n int) {
		for ; p.parent != nil; p = p.parent {
			n++
		}
		return n
	}
	for _, p := range top.clients {
		if depth(p) > 3 { // 1 + 3 + 9 + 27 are 40
			t.Errorf("%s is %d deep", p.id, depth(p))
		}
	}
	first := top.clients[0]
	top.setRole("tab", protocol.Role{RxDB: true})
	if first.bridge == nil || top.root != nil || len(top.bridges[0].children) != 1 {
		t.Errorf("the root is not with the bridge: %+v", first)
	}
	top.setRole("server1", protocol.Role{RxDB: true, AlwaysOn: true})
	top.setRole("server2", protocol.Role{RxDB: true, AlwaysOn: true})
	for i := range 10 {
		top.add(fmt.Sprintf("d%02d", i))
	}
	for _, b := range top.bridges {
		if want := map[string]int{"tab": 1, "server1": 5, "server2": 5}[b.id]; len(b.children) != want {
			t.Errorf("%s has %d clients, want %d", b.id, len(b.children), want)
		}
	}
	if i := slices.IndexFunc(top.clients, func(p *place) bool { return top.info(p).ServedBy == "tab" }); i != 0 {
		t.Errorf("client %d is with the tab", i)
	}
}

func TestTopologyMesh(t *testing.T) {
	top := &topology{mesh: true}
	for _, id := range []string{"b", "a"} {
		top.add(id)
	}
	for _, p := range top.clients {
		p.stale = false
	}
	top.setRole("s", protocol.Role{RxDB: true})
	for _, p := range top.clients {
		if got := top.list(p); !p.stale || !slices.Equal(got, []string{"a", "b", "s"}) || top.info(p).ServedBy != protocol.ServedByAll {
			t.Errorf("%s has %v, %+v", p.id, got, top.info(p))
		}
	}
	top.remove(top.clients[0])
	top.setRole("s", protocol.Role{})
	if got := top.list(top.clients[0]); !slices.Equal(got, []string{"a"}) {
		t.Errorf("at the end %v", got)
	}
}
