package pool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/memnet"
)

const topic = "test-topic"

// replica is one replica with one pool.
type replica struct {
	disk *memlog.Disk
	coll *collection.Collection
	mesh *Mesh
	pool *Pool

	secret string // of the mesh

	mu     sync.Mutex // guards the following field
	events []Event
}

// told returns what the pool told, but for changes of its peers.
func (r *replica) told() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(e Event) bool { _, ok := e.(PeersChanged); return ok })
}

type dot = document.Dot

// seededReader gives replica ids that follow from a seed.
type seededReader struct{ *rand.Rand }

func (r seededReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

func newReplica(t *testing.T, n *memnet.Net, id string, copts *collection.Options, popts *Options) *replica {
	t.Helper()
	r := &replica{disk: memlog.New(nil)}
	r.start(t, n, id, copts, popts)
	return r
}

func (r *replica) start(t *testing.T, n *memnet.Net, id string, copts *collection.Options, popts *Options) {
	t.Helper()
	var co collection.Options
	if copts != nil {
		co = *copts
	}
	co.Rand = seededReader{rand.New(rand.NewPCG(uint64(len(id)), uint64(id[0])))}
	mesh := NewMesh(n.Peer(id), &MeshOptions{Rand: rand.New(rand.NewPCG(1, uint64(id[0]))), Secret: r.secret})
	r.startOn(t, mesh, &co, popts)
}

// startOn opens the collection and replicates it on a mesh, in both directions unless popts says otherwise.
func (r *replica) startOn(t *testing.T, mesh *Mesh, copts *collection.Options, popts *Options) {
	t.Helper()
	r.mesh = mesh
	log, err := r.disk.Open(nil).Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	if r.coll, err = collection.Open(t.Context(), "todos", log, copts); err != nil {
		t.Fatal(err)
	}
	po := Options{Pull: &replication.Direction{}, Push: &replication.Direction{}}
	if popts != nil {
		po = *popts
	}
	po.OnEvent = func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	if r.pool, err = Replicate(t.Context(), r.mesh, r.coll, topic, &po); err != nil {
		t.Fatal(err)
	}
}

func (r *replica) stop() {
	r.mesh.Close()
	r.coll.Close()
}

func (r *replica) insert(t *testing.T, id, text string) collection.Document {
	t.Helper()
	return r.write(t, fmt.Sprintf(`{"id":%q,"text":%q}`, id, text))
}

func (r *replica) write(t *testing.T, body string) collection.Document {
	t.Helper()
	d, err := r.coll.Upsert(t.Context(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (r *replica) text(id string) string {
	d, _ := r.coll.Get(id)
	return string(d.Body)
}

func TestTwoReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		a := newReplica(t, n, "a", nil, nil)
		a.insert(t, "1", "before")
		b := newReplica(t, n, "b", nil, nil)
		defer b.stop()
		defer a.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.pool.AwaitInSync(ctx); err != nil {
			t.Fatal(err, b.pool.Peers(), b.told())
		}
		if got := b.text("1"); got != `{"id":"1","text":"before"}` {
			t.Fatalf("got %s", got)
		}
		d := b.insert(t, "2", "live")
		if err := b.pool.AwaitReplicated(ctx, d.Version, 1); err != nil {
			t.Fatal(err)
		}
		if got := a.text("2"); got != `{"id":"2","text":"live"}` {
			t.Fatalf("got %s", got)
		}
		if err := a.pool.AwaitInSync(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
