package rxdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
)

// join connects a client with a replica.
func join(c *rxClient, r *replica) *rxLink {
	a, b := pipe()
	r.session(a, nil)
	return c.connect(b)
}

// settle waits until nothing is under way any more.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// TestModel replicates with a model of an RxDB client, through everything that may happen to a connection.
func TestModel(t *testing.T) {
	for name, token := range map[string]string{"master": masterToken, "fork": forkToken} {
		for _, handler := range []collection.Handler{nil, merge{}} {
			t.Run(fmt.Sprintf("%s %T", name, handler), func(t *testing.T) {
				for seed := range uint64(20) {
					bubble(t, func(t *testing.T) { testModel(t, seed, token, &collection.Options{Handler: handler}) })
				}
			})
		}
	}
}

func testModel(t *testing.T, seed uint64, token string, opts *collection.Options) {
	rng := rand.New(rand.NewPCG(seed, 7))
	count := &messages{limit: 5000}
	r, c := newReplica(t, token, opts), newClient17(t, "peer", count)
	defer func() { r.close() }()
	var link *rxLink
	id := func() string { return fmt.Sprintf("doc%d", rng.IntN(8)) }
	for range 60 {
		switch rng.IntN(12) {
		case 0:
			if link == nil {
				link = join(c, r)
			}
		case 1:
			if link != nil {
				link.close()
				link = nil
			}
		case 2:
			if link != nil {
				link.close()
				link = nil
			}
			r.reopen(token, opts)
		case 3:
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		case 4:
			if id := id(); r.get(id) != "" {
				r.remove(id)
			}
		case 5:
			if id := id(); c.live()[id] != "" {
				c.remove(id)
			}
		case 6, 7, 8:
			r.put(fmt.Sprintf(`{"id":%q,"n":%d}`, id(), rng.IntN(1000)))
		default:
			c.put(id(), map[string]any{"n": float64(rng.IntN(1000))})
		}
	}
	if link == nil {
		link = join(c, r)
	}
	settle()
	if got, want := r.live(), c.live(); !reflect.DeepEqual(got, want) {
		t.Errorf("seed %d: the replica has %v, the client %v", seed, got, want)
	}
	before, tail := count.since(0), tailOf(r.coll)
	time.Sleep(time.Hour)
	if n := count.since(before); n > 0 || tailOf(r.coll) != tail {
		t.Errorf("seed %d: %d more messages, the log goes on from %d to %d", seed, n, tail, tailOf(r.coll))
	}
	link.close()
}

// TestStar: many clients of one replica edit the same document at once; all settle on one version, soon.
func TestStar(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			count := &messages{limit: 20_000}
			r := newReplica(t, "replica", nil)
			defer r.close()
			var clients []*rxClient
			for i := range 8 {
				c := newClient17(t, fmt.Sprintf("client%d-%d", i, seed), count)
				clients = append(clients, c)
				defer join(c, r).close()
			}
			settle()
			before := count.since(0)
			for range 5 {
				for i, c := range clients {
					c.put("doc", map[string]any{"n": float64(rng.IntN(1000)), "by": float64(i)})
				}
				r.put(fmt.Sprintf(`{"id":"doc","n":%d}`, rng.IntN(1000)))
				time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
			}
			settle()
			want := r.live()
			for i, c := range clients {
				if got := c.live(); !reflect.DeepEqual(got, want) {
					t.Errorf("seed %d: client %d has %v, the replica %v", seed, i, got, want)
				}
			}
			if n := count.since(before); n > 1500 {
				t.Errorf("seed %d: %d messages for 45 edits", seed, n)
			}
		})
	}
}

// TestLine: a replica at one end of a line of clients, and one in the middle.
func TestLine(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			count := &messages{limit: 20_000}
			token := func(what string) string { return fmt.Sprintf("%s-%d", what, seed) }
			r := newReplica(t, token("replica"), nil)
			defer r.close()
			clients := []*rxClient{newClient17(t, token("a"), count), newClient17(t, token("b"), count), newClient17(t, token("c"), count)}
			x, y := pipe()
			defer clients[0].connect(x).close()
			defer clients[1].connect(y).close()
			defer join(clients[1], r).close()
			defer join(clients[2], r).close()
			for range 20 {
				clients[rng.IntN(3)].put(fmt.Sprintf("doc%d", rng.IntN(3)), map[string]any{"n": float64(rng.IntN(1000))})
				if rng.IntN(3) == 0 {
					r.put(fmt.Sprintf(`{"id":"doc%d","n":%d}`, rng.IntN(3), rng.IntN(1000)))
				}
				time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond)
			}
			settle()
			want := r.live()
			for i, c := range clients {
				if got := c.live(); !reflect.DeepEqual(got, want) {
					t.Errorf("seed %d: client %d has %v, the replica %v", seed, i, got, want)
				}
			}
		})
	}
}

// pump brings what is written to one replica to another, as a Shoal session does, until stop.
func pump(from, to *replica) (stop func()) {
	queue := make(chan *document.Entry, 10_000)
	unsubscribe := from.coll.Subscribe(func(changes []collection.Change) {
		for _, c := range changes {
			queue <- c.After
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case e := <-queue:
				in := &collection.Incoming{Entries: []document.Entry{*e}}
				from.coll.View(func(v collection.View) { in.Seen = v.Known() })
				if _, err := to.coll.Accept(ctx, in); err != nil && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
					to.t.Error(err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		unsubscribe()
		cancel()
		wg.Wait()
	}
}

// TestTwoBridges: two replicas that are connected to each other serve one client, which is a cycle: nothing goes round and round.
func TestTwoBridges(t *testing.T) {
	for seed := range uint64(10) {
		bubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 10))
			count := &messages{limit: 5000}
			a, b := newReplica(t, fmt.Sprintf("a-%d", seed), nil), newReplica(t, fmt.Sprintf("b-%d", seed), nil)
			defer a.close()
			defer b.close()
			defer pump(a, b)()
			defer pump(b, a)()
			c := newClient17(t, "client", count)
			defer join(c, a).close()
			defer join(c, b).close()
			settle()
			for round := range 10 {
				before := count.since(0)
				switch rng.IntN(3) {
				case 0:
					a.put(fmt.Sprintf(`{"id":"doc","n":%d}`, round))
				case 1:
					b.put(fmt.Sprintf(`{"id":"doc","n":%d}`, round))
				default:
					c.put("doc", map[string]any{"n": float64(round)})
				}
				settle()
				if x, y, z := a.live(), b.live(), c.live(); !reflect.DeepEqual(x, y) || !reflect.DeepEqual(x, z) || len(x) != 1 {
					t.Fatalf("seed %d: a has %v, b %v, the client %v", seed, x, y, z)
				}
				if n := count.since(before); n > 20 {
					t.Errorf("seed %d: the client sends %d messages for one change", seed, n)
				}
			}
		})
	}
}
