package pool

import (
	"context"
	"testing"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/shared/transport"
)

// busyNetwork tells of something in the middle of Join and Leave, as one does that has a loop of its own.
type busyNetwork struct{ mesh *Mesh }

func (n *busyNetwork) tell() {
	told := make(chan struct{})
	go func() {
		n.mesh.observe(transport.Event{Peer: "p", State: transport.Connecting})
		close(told)
	}()
	<-told
}

func (n *busyNetwork) Join(string) error  { n.tell(); return nil }
func (n *busyNetwork) Leave(string) error { n.tell(); return nil }
func (n *busyNetwork) Close() error       { return nil }

func (n *busyNetwork) Accept(ctx context.Context) (transport.Conn, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestEventsWhilePoolsComeAndGo hangs where the mesh calls the network under the lock that its events need.
func TestEventsWhilePoolsComeAndGo(t *testing.T) {
	db := memlog.New(nil).Open(nil)
	defer db.Close()
	log, err := db.Log(t.Context(), "todos")
	if err != nil {
		t.Fatal(err)
	}
	c, err := collection.Open(t.Context(), "todos", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := newMesh(nil)
	m.start(&busyNetwork{mesh: m})
	p, err := Replicate(t.Context(), m, c, "my-users-pool", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Replicate(t.Context(), m, c, "my-users-pool", nil); err == nil {
		t.Error("the same collection is replicated twice in a topic")
	}
	p.Cancel()
	if _, err := Replicate(t.Context(), m, c, "my-users-pool", nil); err != nil {
		t.Errorf("replicate again: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
