package pool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport/memnet"
)

// secretly makes two replicas with these secrets and calls test when they have had the time to meet. Tap sees what they say.
func secretly(t *testing.T, secretA, secretB string, tap func(memnet.Message), test func(t *testing.T, a, b *replica)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		n.Tap(tap)
		a := &replica{disk: memlog.New(nil), secret: secretA}
		a.start(t, n, "a", nil, nil)
		defer a.stop()
		b := &replica{disk: memlog.New(nil), secret: secretB}
		b.start(t, n, "b", nil, nil)
		defer b.stop()
		a.insert(t, "1", "of a")
		b.insert(t, "2", "of b")
		time.Sleep(30 * time.Second)
		test(t, a, b)
	})
}

func TestSecretShared(t *testing.T) {
	var mu sync.Mutex
	kinds := make(map[string][]string)
	tap := func(m memnet.Message) {
		mu.Lock()
		defer mu.Unlock()
		if f, err := protocol.Decode(m.Data); err == nil && len(kinds[m.From]) < 3 {
			kinds[m.From] = append(kinds[m.From], fmt.Sprintf("%T", f))
		}
	}
	secretly(t, "correct horse", "correct horse", tap, func(t *testing.T, a, b *replica) {
		if a.text("2") == "" || b.text("1") == "" {
			t.Error("they have not replicated")
		}
		for _, r := range []*replica{a, b} {
			if f := r.faults(); len(f) > 0 {
				t.Errorf("faults %v", f)
			}
		}
	})
	for peer, got := range kinds {
		if want := []string{"*protocol.Share", "*protocol.Confirm", "*protocol.Hello"}; !slices.Equal(got, want) {
			t.Errorf("%s began with %v, want %v", peer, got, want)
		}
	}
}

// TestSecretWrong: whatever one side has instead of the secret, the other tells it nothing and takes nothing, and both tell why.
func TestSecretWrong(t *testing.T) {
	for name, other := range map[string]string{"another": "incorrect horse", "longer": "correct horse ", "none": ""} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			connections := 0
			tap := func(m memnet.Message) {
				mu.Lock()
				defer mu.Unlock()
				f, err := protocol.Decode(m.Data)
				if err != nil {
					t.Errorf("%s sent what is no frame: %v", m.From, err)
				}
				switch f.(type) {
				case *protocol.Share:
					connections++
				case *protocol.Confirm, *protocol.Close:
				default:
					if m.From == "a" {
						t.Errorf("a said %T", f)
					}
				}
			}
			secretly(t, "correct horse", other, tap, func(t *testing.T, a, b *replica) {
				if a.text("2") != "" || b.text("1") != "" {
					t.Error("documents have moved")
				}
				for id, r := range map[string]*replica{"a": a, "b": b} {
					if f := r.faults(); len(f) == 0 || f[0] != protocol.FaultSecret {
						t.Errorf("%s was told of the faults %v, want %s", id, f, protocol.FaultSecret)
					}
					if n := len(r.pool.Peers()); n > 0 {
						t.Errorf("%s has %d peers", id, n)
					}
				}
			})
			if connections == 0 {
				t.Error("they never met")
			}
		})
	}
}

// TestSecretRxDB: RxDB's clients know no secrets, so a pool is for the one or for the other.
func TestSecretRxDB(t *testing.T) {
	n := memnet.New(nil)
	a := &replica{disk: memlog.New(nil), secret: "correct horse"}
	a.start(t, n, "a", nil, nil)
	defer a.stop()
	if _, err := Replicate(t.Context(), a.mesh, a.coll, "another-topic", &Options{RxDB: &RxDBOptions{}}); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// TestSecretSilent: a peer that says nothing is given up.
func TestSecretSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		a := &replica{disk: memlog.New(nil), secret: "correct horse"}
		a.start(t, n, "a", nil, nil)
		defer a.stop()
		mute := n.Peer("b")
		defer mute.Close()
		if err := mute.Join(topic); err != nil {
			t.Fatal(err)
		}
		conn, err := mute.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for err == nil {
			_, _, err = conn.Receive(ctx)
		}
		synctest.Wait() // The connection ends before a tells why.
		if waited := time.Since(began); waited < proofWait/2 || waited > proofWait+2*partWait {
			t.Errorf("given up after %v: %v", waited, err)
		}
		if f := a.faults(); len(f) != 1 || f[0] != protocol.FaultSecret {
			t.Errorf("faults %v", f)
		}
	})
}
