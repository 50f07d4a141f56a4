package pool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/memnet"
	"github.com/tidwall/gjson"
)

var (
	simSeeds = flag.Int("sim.seeds", 40, "how many seeds the simulation runs")
	simFrom  = flag.Uint64("sim.from", 1, "the first of them")
	simTrace = flag.Bool("sim.trace", false, "print what happens")
)

// TestSimulation lets a few replicas write, lose connections, crash and come back, as a seed says, and checks on every step
// that knowledge is true, and at the end that all hold the same.
func TestSimulation(t *testing.T) {
	for seed := *simFrom; seed < *simFrom+uint64(*simSeeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed)
				defer func() {
					if t.Failed() {
						t.Logf("replay: go test ./shared/pool -run 'TestSimulation/%d$' -sim.from %d -sim.seeds 1 -sim.trace", seed, seed)
					}
				}()
				w.run()
			})
		})
	}
}

// world is one simulation.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	net      *memnet.Net
	replicas []*simReplica
	links    [][2]int // which may be connected
	docs     int
	writes   int
	handler  collection.Handler
	start    time.Time

	mu      sync.Mutex                      // guards the following field
	history map[document.Dot]document.Entry // every write there ever was
}

// simReplica is one replica with its tabs, of which the first replicates.
type simReplica struct {
	w     *world
	name  string
	disk  *memlog.Disk
	db    *memlog.Database
	tabs  []*collection.Collection
	mesh  *Mesh
	pool  *Pool
	up    bool
	fuse  atomic.Int32 // steps of commits until it crashes; below 0 for never
	opens int
}

func newWorld(t *testing.T, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := &world{
		t:       t,
		rng:     rng,
		net:     memnet.New(&memnet.Options{Seed: seed, MaxDelay: time.Duration(1+rng.IntN(100)) * time.Millisecond}),
		docs:    1 + rng.IntN(6),
		history: make(map[document.Dot]document.Entry),
		start:   time.Now(),
	}
	if rng.IntN(2) == 0 {
		w.handler = tangled{}
	}
	n := 2 + rng.IntN(7)
	for i := range n {
		w.replicas = append(w.replicas, &simReplica{
			w:    w,
			name: string(rune('a' + i)),
			disk: memlog.New(&memlog.Options{Latency: time.Duration(rng.IntN(5)) * time.Millisecond}),
		})
	}
	w.shape(n)
	return w
}

// shape lays out who may be connected to whom.
func (w *world) shape(n int) {
	shape := w.rng.IntN(5)
	for i := range n {
		for j := i + 1; j < n; j++ {
			var on bool
			switch shape {
			case 0: // full mesh
				on = true
			case 1: // line
				on = j == i+1
			case 2: // ring
				on = j == i+1 || i == 0 && j == n-1
			case 3: // star
				on = i == 0
			case 4: // partial mesh, connected
				on = j == i+1 || w.rng.IntN(3) == 0
			}
			if on {
				w.links = append(w.links, [2]int{i, j})
			}
			w.net.Sever(w.replicas[i].name, w.replicas[j].name)
		}
	}
	w.trace("shape %d, %d replicas, %d documents, merging %v", shape, n, w.docs, w.handler != nil)
}

func (w *world) trace(format string, args ...any) {
	if *simTrace {
		fmt.Fprintf(os.Stderr, "%8.3f  %s\n", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (w *world) run() {
	for _, r := range w.replicas {
		r.open()
	}
	defer func() {
		for _, r := range w.replicas {
			r.kill()
		}
	}()
	for range 80 {
		w.step()
		time.Sleep(time.Duration(w.rng.IntN(300)) * time.Millisecond)
		w.check()
		if w.t.Failed() {
			return
		}
	}
	w.settle()
}

// step lets something happen.
func (w *world) step() {
	r := w.replicas[w.rng.IntN(len(w.replicas))]
	l := w.links[w.rng.IntN(len(w.links))]
	a, b := w.replicas[l[0]].name, w.replicas[l[1]].name
	switch w.rng.IntN(12) {
	case 0, 1, 2, 3, 4:
		r.write()
	case 5:
		for range 1 + w.rng.IntN(4) {
			w.replicas[w.rng.IntN(len(w.replicas))].write()
		}
	case 6, 7, 8:
		w.trace("mend %s-%s", a, b)
		w.net.Mend(a, b)
	case 9:
		w.trace("sever %s-%s", a, b)
		w.net.Sever(a, b)
	case 10:
		if w.rng.IntN(3) == 0 && r.up {
			steps := w.rng.Int32N(6)
			r.fuse.Store(steps)
			w.trace("%s crashes %d steps of commits from now", r.name, steps)
		}
	case 11:
		r.restart()
	}
}

func (r *simReplica) open() {
	r.opens++
	r.fuse.Store(-1)
	r.up = true
	r.db = r.disk.Open(func(memlog.Step) error {
		if r.fuse.Load() >= 0 && r.fuse.Add(-1) < 0 {
			r.fuse.Store(0) // every step from now on
			return memlog.ErrCrashed
		}
		return nil
	})
	seed := uint64(r.opens)<<8 | uint64(r.name[0])
	for i := range 1 + r.w.rng.IntN(2) {
		log, err := r.db.Log(context.Background(), "todos")
		if err != nil {
			r.w.t.Fatal(err)
		}
		c, err := collection.Open(context.Background(), "todos", log, &collection.Options{
			Handler: r.w.handler,
			Rand:    seededReader{rand.New(rand.NewPCG(seed, uint64(i)))},
		})
		if err != nil {
			r.w.t.Fatal(err)
		}
		c.View(r.w.note)
		c.Subscribe(func([]collection.Change) { c.View(r.w.note) })
		r.tabs = append(r.tabs, c)
	}
	r.mesh = NewMesh(r.w.net.Peer(r.name), &MeshOptions{Rand: rand.New(rand.NewPCG(seed, 99))})
	var err error
	r.pool, err = Replicate(context.Background(), r.mesh, r.tabs[0], topic, &Options{
		Pull: &replication.Direction{BatchSize: r.w.rng.IntN(4)},
		Push: &replication.Direction{},
		OnEvent: func(e Event) {
			if f, ok := e.(Failed); ok {
				r.w.trace("%s: %s: %v", r.name, f.Peer, f.Err)
				if !errors.Is(f.Err, memlog.ErrCrashed) && !strings.Contains(f.Err.Error(), "(storage)") {
					r.w.t.Errorf("%s: session with %s: %v", r.name, f.Peer, f.Err)
				}
			}
		},
	})
	if err != nil {
		r.w.t.Fatal(err)
	}
}

// note records the writes that a replica has made.
func (w *world) note(v collection.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range v.Since(1) {
		if p.Dot.Replica == v.Replica() {
			w.history[p.Dot] = *p.Entry
		}
	}
}

// kill ends the replica as a power cut would, but for what the disk has.
func (r *simReplica) kill() {
	if !r.up {
		return
	}
	r.up = false
	r.db.Crash()
	r.mesh.Close()
	for _, c := range r.tabs {
		c.Close()
	}
	r.db.Close()
	r.tabs = nil
}

func (r *simReplica) restart() {
	if !r.up {
		r.w.trace("%s comes back", r.name)
		r.open()
	} else if r.w.rng.IntN(3) == 0 {
		r.w.trace("%s goes down", r.name)
		r.kill()
	}
}

func (r *simReplica) write() {
	if !r.up {
		return
	}
	w := r.w
	c := r.tabs[w.rng.IntN(len(r.tabs))]
	id := fmt.Sprint("d", w.rng.IntN(w.docs))
	w.writes++
	var err error
	var doc collection.Document
	if w.rng.IntN(6) == 0 {
		doc, err = c.Remove(context.Background(), id)
	} else {
		doc, err = c.Upsert(context.Background(), fmt.Appendf(nil, `{"id":%q,"v":"%s%d"}`, id, r.name, w.writes))
	}
	w.trace("%s writes %v %s: %v", r.name, doc.Version, doc.Body, err)
	if errors.Is(err, memlog.ErrCrashed) {
		r.kill()
	} else if err != nil && !errors.Is(err, collection.ErrNotFound) {
		w.t.Errorf("%s: write: %v", r.name, err)
	}
}

// check asserts that what each replica claims to know is true: of every write that it covers it holds that version or a greater one.
func (w *world) check() {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.replicas {
		for _, c := range r.tabs {
			c.View(func(v collection.View) {
				for dot, e := range w.history {
					if !v.Known().Covers(dot) {
						continue
					}
					if held, _ := v.Get(e.ID); held == nil || held.Compare(&e) < 0 {
						w.t.Errorf("%s knows %v of %q and holds %+v", r.name, dot, e.ID, held)
					}
				}
			})
		}
	}
}

// settle mends everything and waits until all replicas hold the same.
func (w *world) settle() {
	w.trace("settle")
	for _, r := range w.replicas {
		if r.up && r.fuse.Load() >= 0 {
			r.kill()
		}
		if !r.up {
			r.open()
		}
	}
	for _, l := range w.links {
		w.net.Mend(w.replicas[l[0]].name, w.replicas[l[1]].name)
	}
	for range 120 {
		time.Sleep(time.Second)
		w.check()
		if w.t.Failed() {
			return
		}
		if w.differ() == "" && w.inSync() {
			w.trace("settled")
			return
		}
	}
	w.t.Errorf("not settled after two minutes: %s, in sync %v", w.differ(), w.inSync())
}

func (w *world) inSync() bool {
	for _, r := range w.replicas {
		for _, p := range r.pool.Peers() {
			if !p.Progress.InSync {
				w.trace("%s is not in sync with %s: %+v", r.name, p.ID, p.Progress)
				return false
			}
		}
	}
	return true
}

// differ says what two replicas have different, "" if there is nothing.
func (w *world) differ() string {
	first := w.state(w.replicas[0].tabs[0])
	for _, r := range w.replicas {
		for _, c := range r.tabs {
			if got := w.state(c); got != first {
				return fmt.Sprintf("a has\n%s\n%s has\n%s", first, r.name, got)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// What they hold is the greatest of all writes.
	greatest := map[string]document.Entry{}
	for _, e := range w.history {
		if g, ok := greatest[e.ID]; !ok || e.Compare(&g) > 0 {
			greatest[e.ID] = e
		}
	}
	var out string
	w.replicas[0].tabs[0].View(func(v collection.View) {
		for id, g := range greatest {
			if e, _ := v.Get(id); e == nil || e.Dot != g.Dot {
				out = fmt.Sprintf("a holds %+v of %q, but %v was written", e, id, g.Dot)
			}
		}
	})
	return out
}

func (w *world) state(c *collection.Collection) string {
	var lines []string
	c.View(func(v collection.View) {
		for p := range v.Since(1) {
			if !p.Beaten {
				lines = append(lines, fmt.Sprintf("%s %v %v %s", p.ID, p.Dot, p.Deleted, p.Body))
			}
		}
		lines = append(lines, v.Known().String())
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// tangled merges two versions into a text that says in which order, so that merging is neither commutative nor associative.
type tangled struct{}

func (tangled) Equal(_ context.Context, a, b collection.Content) (bool, error) {
	return collection.EqualContent(a, b), nil
}

func (tangled) Resolve(_ context.Context, c collection.Conflict) (collection.Content, error) {
	text := func(v collection.Content) string {
		if v.Deleted {
			return "-"
		}
		return gjson.GetBytes(v.Body, "v").Str
	}
	a, b := text(c.Real), text(c.New)
	switch (len(a) + 2*len(b)) % 5 {
	case 0:
		return c.New, nil
	case 1:
		return c.Real, nil
	case 2:
		return collection.Content{Deleted: true}, nil
	}
	merged := "(" + a + "+" + b + ")"
	if len(merged) > 60 {
		merged = merged[:60]
	}
	return collection.Content{Body: fmt.Appendf(nil, `{"id":%q,"v":%q}`, c.ID, merged)}, nil
}
