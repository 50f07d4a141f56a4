package rxdb

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store"
)

// What RxDB's own tests of its replication protocol check, between a replica and the model of a client, with the replica in either part.
// docs/rxdb.md says which of them are here.

// pair is a replica and a client.
type pairing struct {
	*replica
	client *rxClient
	link   *rxLink
}

// scenario runs f with the replica as master and as fork.
func scenario(t *testing.T, handler func(t *testing.T) collection.Handler, f func(t *testing.T, p *pairing)) {
	t.Helper()
	for name, token := range map[string]string{"master": masterToken, "fork": forkToken} {
		t.Run("replica is "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				opts := &collection.Options{}
				if handler != nil {
					opts.Handler = handler(t)
				}
				p := &pairing{newReplica(t, token, opts), newClient17(t, "peer", &messages{limit: 5000}), nil}
				defer p.close()
				f(t, p)
				if p.link != nil {
					p.link.close()
				}
			})
		})
	}
}

func (p *pairing) start() {
	p.link = join(p.client, p.replica)
	settle()
}

// equal checks that both have the same n documents.
func (p *pairing) equal(n int) {
	p.t.Helper()
	settle()
	a, b := p.live(), p.client.live()
	if !reflect.DeepEqual(a, b) || len(a) != n {
		p.t.Fatalf("the replica has %v, the client %v, want %d documents", a, b, n)
	}
}

func fields(n int) map[string]any { return map[string]any{"n": float64(n)} }

// throwing is a conflict handler that must not be asked.
type throwing struct{ t *testing.T }

func (h throwing) Equal(_ context.Context, a, b collection.Content) (bool, error) {
	return collection.EqualContent(a, b), nil
}

func (h throwing) Resolve(_ context.Context, c collection.Conflict) (collection.Content, error) {
	h.t.Errorf("the conflict handler is asked about %s and %s", c.Real.Body, c.New.Body)
	return c.Real, nil
}

func throws(t *testing.T) collection.Handler { return throwing{t} }

// higher is a conflict handler by which the greater n wins.
type higher struct{}

func (higher) Equal(_ context.Context, a, b collection.Content) (bool, error) {
	return collection.EqualContent(a, b), nil
}

func (higher) Resolve(_ context.Context, c collection.Conflict) (collection.Content, error) {
	if string(c.New.Body) > string(c.Real.Body) {
		return c.New, nil
	}
	return c.Real, nil
}

func TestInitialDataAndOngoingInsertFromTheClient(t *testing.T) {
	scenario(t, throws, func(_ *testing.T, p *pairing) {
		p.client.put("first", fields(1))
		p.start()
		p.equal(1)
		p.client.put("second", fields(2))
		p.equal(2)
	})
}

func TestInitialDataAndOngoingInsertFromTheReplica(t *testing.T) {
	scenario(t, throws, func(_ *testing.T, p *pairing) {
		p.put(`{"id":"first","n":1}`)
		p.start()
		p.equal(1)
		p.put(`{"id":"second","n":2}`)
		p.equal(2)
	})
}

func TestInsertUpdateAndDelete(t *testing.T) {
	scenario(t, throws, func(_ *testing.T, p *pairing) {
		p.start()
		p.client.put("c", fields(1))
		p.put(`{"id":"r","n":1}`)
		p.equal(2)
		p.client.put("c", fields(2))
		p.put(`{"id":"r","n":2}`)
		p.equal(2)
		p.client.put("r", fields(3))
		p.put(`{"id":"c","n":3}`)
		p.equal(2)
		p.client.remove("c")
		p.remove("r")
		p.equal(0)
		p.client.put("c", fields(4))
		p.put(`{"id":"r","n":4}`)
		p.equal(2)
	})
}

// TestWritesReachOtherClients: A->Master<-B.
func TestWritesReachOtherClients(t *testing.T) {
	scenario(t, throws, func(t *testing.T, p *pairing) {
		p.start()
		other := newClient17(t, "another", p.client.messages)
		defer join(other, p.replica).close()
		p.client.put("a", fields(1))
		p.equal(1)
		other.put("b", fields(2))
		p.equal(2)
		if !reflect.DeepEqual(other.live(), p.live()) {
			t.Errorf("the other client has %v", other.live())
		}
	})
}

// TestWritesReachTheEndOfAChain: A->B->C->Master, with the replica at one end.
func TestWritesReachTheEndOfAChain(t *testing.T) {
	scenario(t, throws, func(t *testing.T, p *pairing) {
		p.start()
		b, c := newClient17(t, "b", p.client.messages), newClient17(t, "c", p.client.messages)
		x, y := pipe()
		defer p.client.connect(x).close()
		defer b.connect(y).close()
		x, y = pipe()
		defer b.connect(x).close()
		defer c.connect(y).close()
		p.put(`{"id":"r","n":1}`)
		c.put("c", fields(2))
		p.equal(2)
		if !reflect.DeepEqual(b.live(), p.live()) || !reflect.DeepEqual(c.live(), p.live()) {
			t.Errorf("the others have %v and %v", b.live(), c.live())
		}
	})
}

// TestSameDocumentInsertedByBoth: equal content is no conflict, and nothing is written.
func TestSameDocumentInsertedByBoth(t *testing.T) {
	scenario(t, throws, func(t *testing.T, p *pairing) {
		version := p.put(`{"id":"a","n":1}`)
		p.client.put("a", fields(1))
		p.start()
		p.equal(1)
		if d, _ := p.coll.Get("a"); d.Version != version {
			t.Error("the replica has a new version")
		}
		if p.client.docs["a"].lwt != 1 {
			t.Error("the client has written it again")
		}
	})
}

func TestDifferentDocumentsInsertedUnderOneKey(t *testing.T) {
	scenario(t, func(*testing.T) collection.Handler { return higher{} }, func(_ *testing.T, p *pairing) {
		p.put(`{"id":"a","n":1}`)
		p.client.put("a", fields(2))
		p.start()
		p.equal(1)
	})
}

func TestBothUpdatedADocumentApart(t *testing.T) {
	scenario(t, func(*testing.T) collection.Handler { return higher{} }, func(_ *testing.T, p *pairing) {
		p.put(`{"id":"a","n":1}`)
		p.start()
		p.link.close()
		for i := range 3 {
			p.put(fmt.Sprintf(`{"id":"a","n":%d}`, 10+i))
			p.client.put("a", fields(20+i))
		}
		p.start()
		p.equal(1)
	})
}

// TestOneDeletedWhatTheOtherUpdated, apart.
func TestOneDeletedWhatTheOtherUpdated(t *testing.T) {
	scenario(t, nil, func(t *testing.T, p *pairing) {
		p.put(`{"id":"a","n":1}`)
		p.put(`{"id":"b","n":1}`)
		p.start()
		p.link.close()
		p.remove("a")
		p.client.put("a", fields(2))
		p.put(`{"id":"b","n":3}`)
		p.client.remove("b")
		p.start()
		settle()
		if a, b := p.live(), p.client.live(); !reflect.DeepEqual(a, b) || len(a) != 1 {
			t.Errorf("the replica has %v, the client %v", a, b)
		}
	})
}

// TestManyWritesMakeFewRequests: what is written again before it was sent is sent once.
func TestManyWritesMakeFewRequests(t *testing.T) {
	scenario(t, throws, func(t *testing.T, p *pairing) {
		p.start()
		before := p.client.messages.since(0)
		for i := range 100 {
			p.put(fmt.Sprintf(`{"id":"a","n":%d}`, i))
		}
		p.equal(1)
		if n := p.client.messages.since(before); n > 20 {
			t.Errorf("the client answers %d times", n)
		}
	})
}

func TestManyWritesWhileReplicating(t *testing.T) {
	scenario(t, func(*testing.T) collection.Handler { return higher{} }, func(_ *testing.T, p *pairing) {
		p.start()
		for i := range 30 {
			p.put(fmt.Sprintf(`{"id":"a","n":%d}`, 2*i))
			p.client.put("a", fields(2*i+1))
			if i%3 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		p.equal(1)
	})
}

// TestManyDocumentsAtFirst: more than a batch, both ways.
func TestManyDocumentsAtFirst(t *testing.T) {
	scenario(t, throws, func(t *testing.T, p *pairing) {
		p.many(450)
		for i := range 450 {
			p.client.put(fmt.Sprintf("client%d", i), fields(i))
		}
		p.start()
		p.equal(900)
	})
}

// TestCheckpointIsNotStoredTwice (RxDB's pull request 3627).
func TestCheckpointIsNotStoredTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), `{"documents":[],"checkpoint":{"id":"a","lwt":1}}`)
		s.quiet()
		stored := func() store.Position {
			r.meta.mu.Lock()
			defer r.meta.mu.Unlock()
			return r.meta.next
		}
		before := stored()
		for range 5 {
			s.say(`{"id":"masterChangeStream$","result":"RESYNC"}`)
			s.reply(s.request(methodChangesSince), `{"documents":[],"checkpoint":{"id":"a","lwt":1}}`)
			synctest.Wait()
		}
		if after := stored(); after != before {
			t.Errorf("stored %d times", after-before)
		}
	})
}

// TestExactlyOneIsMaster, for any two tokens.
func TestExactlyOneIsMaster(t *testing.T) {
	rng := newRand()
	for range 1000 {
		a, b := RandomToken(rng), RandomToken(rng)
		if IsMaster(a, b) == IsMaster(b, a) {
			t.Errorf("%s and %s", a, b)
		}
	}
	for pair, want := range map[[2]string]bool{ // computed with RxDB 17.6.0
		{"aaaaaaaaaa", "bbbbbbbbbb"}: true,
		{"bbbbbbbbbb", "aaaaaaaaaa"}: false,
		{"shoal", "peer"}:            true,
		{"ähm", "x"}:                 true,
		{"kpfzzgmnrc", "wlqkvhtmsd"}: false,
	} {
		if IsMaster(pair[0], pair[1]) != want {
			t.Errorf("%q: RxDB says %v", pair, want)
		}
	}
}
