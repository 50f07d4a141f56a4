package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/memnet"
	"github.com/tidwall/gjson"
)

// world is a plan that is being run.
type world struct {
	plan     *plan
	net      *memnet.Net
	replicas []*simReplica
	writes   int
	trace    func(format string, args ...any)
	start    time.Time
	backups  bool // a replica was put back, or copied: dots may name two writes
	damaged  bool // a replica lost writes that maybe nobody else had

	mu      sync.Mutex                      // guards the following fields
	history map[document.Dot]document.Entry // every write there ever was
	acked   []acked
	faults  []string
}

// acked is a write that its writer was told to be stored.
type acked struct {
	id   string
	time document.Time
	by   *simReplica
	life int // of by; a backup ends the lives after it
}

// simReplica is one replica with its tabs, of which the first replicates.
type simReplica struct {
	simConfig
	w      *world
	index  int
	name   string
	disk   *memlog.Disk
	backup *memlog.Disk
	db     *memlog.Database
	tabs   []*collection.Collection
	mesh   *Mesh
	pool   *Pool
	up     bool
	fuse   atomic.Int32 // steps of commits until it crashes; below 0 for never
	opens  int
	life   int
	saved  int // life at the time of the backup
}

func newWorld(p *plan) *world {
	w := &world{
		plan:    p,
		net:     memnet.New(&memnet.Options{Seed: p.seed, MaxDelay: p.maxDelay, Rate: p.rate, HighWater: 4096}),
		trace:   func(string, ...any) {},
		start:   time.Now(),
		history: make(map[document.Dot]document.Entry),
	}
	for i, c := range p.replicas {
		w.replicas = append(w.replicas, &simReplica{simConfig: c, w: w, index: i, name: name(i), disk: memlog.New(&memlog.Options{Latency: c.latency})})
	}
	for i := range p.replicas {
		for j := range i {
			w.net.Sever(name(i), name(j))
		}
	}
	return w
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 5 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
	w.trace("FAULT "+format, args...)
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) > 0
}

func (w *world) run() {
	defer func() {
		for _, r := range w.replicas {
			r.kill()
		}
	}()
	for _, r := range w.replicas {
		r.open()
	}
	for _, s := range w.plan.steps {
		w.trace("%s", s)
		w.step(s)
		time.Sleep(s.then)
		if w.check(); w.failed() {
			return
		}
	}
	w.settle()
}

func (w *world) step(s step) {
	r := w.replicas[s.a]
	switch s.kind {
	case "write", "remove":
		r.write(s.doc, s.n, s.kind == "remove")
	case "burst":
		for i := range s.n {
			r.write((s.doc+i)%w.plan.docs, i, false)
		}
	case "all":
		for _, q := range w.replicas {
			q.write(s.doc, s.n, s.n == 0 && q == r)
		}
	case "mend":
		w.net.Mend(name(s.a), name(s.b))
	case "mend all":
		w.mendAll()
	case "sever":
		w.net.Sever(name(s.a), name(s.b))
	case "fuse":
		if r.up {
			r.fuse.Store(int32(s.n))
		}
	case "restart":
		if r.up && s.n > 1 {
			r.kill()
		}
		if !r.up && s.n > 0 {
			r.open()
		}
	case "backup":
		r.save()
	}
	// Which of two replicas that went by one id wrote what cannot always be told if one of them has lost the record of it; see "What
	// remains" in docs/design.md. So there is only one of the two in a plan.
	switch {
	case s.kind == "restore" && !w.damaged:
		r.putBack()
	case s.kind == "damage" && !w.backups:
		r.damage(s.n)
	case s.kind == "copy" && !w.damaged:
		r.copyTo(w.replicas[(s.a+1+s.n)%len(w.replicas)])
	}
}

func (w *world) mendAll() {
	for _, l := range w.plan.links {
		w.net.Mend(name(l[0]), name(l[1]))
	}
}

// open starts a replica.
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
	seed := uint64(r.opens)<<8 | uint64(r.index)
	for i := range r.simConfig.tabs {
		c, err := r.openTab(rand.New(rand.NewPCG(seed, uint64(i))))
		if err != nil {
			r.w.fault("%s: %v", r.name, err)
			return
		}
		r.tabs = append(r.tabs, c)
	}
	r.mesh = NewMesh(r.w.net.Peer(r.name), &MeshOptions{Rand: rand.New(rand.NewPCG(seed, 99))})
	var err error
	if r.pool, err = Replicate(context.Background(), r.mesh, r.tabs[0], topic, &Options{
		Pull:    &replication.Direction{BatchSize: r.batch},
		Push:    &replication.Direction{},
		OnEvent: r.event,
	}); err != nil {
		r.w.fault("%s: %v", r.name, err)
	}
}

func (r *simReplica) openTab(rng *rand.Rand) (*collection.Collection, error) {
	log, err := r.db.Log(context.Background(), "todos")
	if err != nil {
		return nil, err
	}
	o := &collection.Options{
		Rand:         seededReader{rng},
		FreshID:      r.native,
		CompactAfter: r.compact,
		Now:          func() time.Time { return time.Now().Add(r.skew) },
	}
	if r.w.plan.merging {
		o.Handler = tangled{}
	}
	c, err := collection.Open(context.Background(), "todos", log, o)
	if err != nil {
		return nil, err
	}
	var id document.ReplicaID
	c.View(func(v collection.View) {
		id = v.Replica()
		r.w.note(v)
	})
	c.Subscribe(func(changes []collection.Change) {
		for _, ch := range changes {
			r.w.trace("%s holds %v of %s", r.name, ch.After.Dot, ch.After.ID)
		}
		c.View(func(v collection.View) {
			r.w.note(v)
			if v.Replica() != id {
				r.w.trace("%s was %v, is %v", r.name, id, v.Replica())
				id = v.Replica()
			}
		})
	})
	return c, nil
}

// event takes what the pool tells. Sessions fail when the other side crashes, and when a clock is off; nothing else is expected.
func (r *simReplica) event(e Event) {
	f, ok := e.(Failed)
	if !ok {
		return
	}
	r.w.trace("%s with %s: %v", r.name, f.Peer, f.Err)
	var fault *protocol.FaultError
	switch {
	case errors.Is(f.Err, memlog.ErrCrashed):
	case errors.As(f.Err, &fault) && fault.Fault == protocol.FaultStorage && fault.Remote:
	case errors.As(f.Err, &fault) && fault.Fault == protocol.FaultClock && r.w.skewed():
	default:
		r.w.fault("%s: session with %s: %v", r.name, f.Peer, f.Err)
	}
}

func (w *world) skewed() bool {
	return slices.ContainsFunc(w.plan.replicas, func(c simConfig) bool { return c.skew > 0 })
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

// save makes a backup.
func (r *simReplica) save() {
	r.backup, r.saved = r.disk.Copy(), r.life
	r.life++
}

// putBack puts the replica back to its backup.
func (r *simReplica) putBack() {
	if r.backup == nil {
		return
	}
	r.w.backups = true
	r.kill()
	r.disk.Restore(r.backup)
	r.life++
	r.w.forget(r)
	r.open()
}

// copyTo makes another replica one with the same data, and the same id, in the place of what it was.
func (r *simReplica) copyTo(q *simReplica) {
	if q == r {
		return
	}
	r.w.backups = true
	q.kill()
	q.disk.Restore(r.disk.Copy())
	q.native, q.simConfig.tabs = r.native, r.simConfig.tabs // a data directory does not become a browser's storage, nor the other way round
	q.backup = nil
	q.life++
	q.saved = -1
	r.w.forget(q)
	q.open()
}

// damage turns a bit of the replica's log while it is down.
func (r *simReplica) damage(n int) {
	r.kill()
	if r.disk.Flip("todos", store.Position(1+n*7), 100+n*13) {
		r.w.damaged = true
		r.saved = -1
		r.life++
		r.w.forget(r)
	}
	r.open()
}

// forget takes out of acked what r wrote after its backup, unless another replica has it: it is lost for good.
func (w *world) forget(r *simReplica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = slices.DeleteFunc(w.acked, func(a acked) bool { return a.by == r && a.life > r.saved })
}

func (r *simReplica) write(doc, tab int, remove bool) {
	if !r.up {
		return
	}
	w := r.w
	w.writes++
	c := r.tabs[tab%len(r.tabs)]
	id := fmt.Sprint("d", doc)
	var err error
	var d collection.Document
	if remove {
		d, err = c.Remove(context.Background(), id)
	} else {
		d, err = c.Upsert(context.Background(), fmt.Appendf(nil, `{"id":%q,"v":"%s%d"}`, id, r.name, w.writes))
	}
	switch {
	case errors.Is(err, memlog.ErrCrashed):
		r.kill()
	case err == nil:
		w.ack(r, c, d)
	case !errors.Is(err, collection.ErrNotFound):
		w.fault("%s: write: %v", r.name, err)
	}
}

func (w *world) ack(r *simReplica, c *collection.Collection, d collection.Document) {
	var t document.Time
	c.View(func(v collection.View) {
		if e, _ := v.Get(d.ID); e != nil {
			t = e.Time // of d, or of what has come in its place
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, acked{d.ID, t, r, r.life})
}

// check asserts that what each replica claims to know is true: of every write that it covers it holds that version or a greater one.
func (w *world) check() {
	if w.backups {
		return // a dot may name two writes
	}
	synctest.Wait()
	w.mu.Lock()
	history := make(map[document.Dot]document.Entry, len(w.history))
	for d, e := range w.history {
		history[d] = e
	}
	w.mu.Unlock()
	for _, r := range w.replicas {
		for _, c := range r.tabs {
			c.View(func(v collection.View) {
				for dot, e := range history {
					if !v.Known().Covers(dot) {
						continue
					}
					if held, _ := v.Get(e.ID); held == nil || held.Compare(&e) < 0 {
						w.fault("%s knows %v of %q and holds %+v", r.name, dot, e.ID, held)
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
	w.mendAll()
	for wait := time.Second; wait < 15*time.Minute; wait += wait / 4 {
		time.Sleep(wait)
		if w.check(); w.failed() {
			return
		}
		if w.differ() == "" && w.inSync() {
			w.checkLost()
			w.trace("settled")
			return
		}
	}
	w.fault("not settled: %s, in sync %v", w.differ(), w.inSync())
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
	first := state(w.replicas[0].tabs[0])
	for _, r := range w.replicas {
		for _, c := range r.tabs {
			if got := state(c); got != first {
				return fmt.Sprintf("a has\n%s\n%s has\n%s", first, r.name, got)
			}
		}
	}
	return ""
}

// checkLost asserts that what all hold is, of each document, the greatest write there was, and that every write that was acknowledged is
// it or was beaten by it.
func (w *world) checkLost() {
	w.mu.Lock()
	history, ackeds := w.history, w.acked
	w.mu.Unlock()
	w.replicas[0].tabs[0].View(func(v collection.View) {
		for _, a := range ackeds {
			if e, _ := v.Get(a.id); e == nil || e.Time < a.time {
				w.fault("a write of %s to %q at %d is lost: all hold %+v", a.by.name, a.id, a.time, e)
			}
		}
		if w.backups || w.damaged {
			return
		}
		for d, h := range history {
			if e, _ := v.Get(h.ID); e == nil || e.Compare(&h) < 0 {
				w.fault("%v of %q was written, all hold %+v", d, h.ID, e)
			}
		}
	})
}

func state(c *collection.Collection) string {
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

// tangled merges two versions into a text that says in which order, so that merging is neither commutative nor associative; now and then it
// picks one of them, the later or the earlier, or deletes the document.
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
