package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/replication"
	"github.com/shoaldb/shoal/shared/transport/memnet"
)

// pair runs test with two replicas, a and b, that have these options.
func pair(t *testing.T, ca, cb *collection.Options, pa, pb *Options, test func(t *testing.T, a, b *replica)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		a, b := newReplica(t, n, "a", ca, pa), newReplica(t, n, "b", cb, pb)
		defer b.stop()
		defer a.stop()
		test(t, a, b)
	})
}

func both() *Options { return &Options{Pull: &replication.Direction{}, Push: &replication.Direction{}} }

// faults returns the faults that r was told of.
func (r *replica) faults() (faults []protocol.Fault) {
	for _, e := range r.told() {
		var f *protocol.FaultError
		if failed, ok := e.(Failed); ok && errors.As(failed.Err, &f) {
			faults = append(faults, f.Fault)
		}
	}
	return faults
}

// Whoever is asked: a direction that is off at one side stays off.
func TestDirections(t *testing.T) {
	only := func(pull, push bool) *Options {
		o := &Options{}
		if pull {
			o.Pull = &replication.Direction{}
		}
		if push {
			o.Push = &replication.Direction{}
		}
		return o
	}
	for _, c := range []struct {
		a, b       *Options
		aToB, bToA bool
	}{
		{only(true, true), only(true, true), true, true},
		{only(true, false), only(true, true), false, true},
		{only(false, true), only(true, true), true, false},
		{only(false, true), only(true, false), true, false},
		{only(true, false), only(true, false), false, false},
		{only(false, true), only(false, true), false, false},
		{only(false, false), only(true, true), false, false},
	} {
		name := fmt.Sprint("a pulls ", c.a.Pull != nil, ", pushes ", c.a.Push != nil, "; b pulls ", c.b.Pull != nil, ", pushes ", c.b.Push != nil)
		t.Run(name, func(t *testing.T) {
			pair(t, nil, nil, c.a, c.b, func(t *testing.T, a, b *replica) {
				a.insert(t, "old a", "x")
				b.insert(t, "old b", "x")
				time.Sleep(10 * time.Second)
				a.insert(t, "new a", "x")
				b.insert(t, "new b", "x")
				time.Sleep(10 * time.Second)
				for _, id := range []string{"old a", "new a"} {
					if got := b.text(id) != ""; got != c.aToB {
						t.Errorf("b has %q: %v", id, got)
					}
				}
				for _, id := range []string{"old b", "new b"} {
					if got := a.text(id) != ""; got != c.bToA {
						t.Errorf("a has %q: %v", id, got)
					}
				}
				if f := append(a.faults(), b.faults()...); len(f) > 0 {
					t.Errorf("faults %v", f)
				}
			})
		})
	}
}

// mark marks the text of a document, and stops those that are secret.
func mark(by string) replication.Modifier {
	return func(_ context.Context, d collection.Document) (collection.Document, bool, error) {
		if bytes.Contains(d.Body, []byte("secret")) {
			return d, false, nil
		}
		d.Body = bytes.Replace(d.Body, []byte(`"text":"`), []byte(`"text":"`+by+` `), 1)
		return d, true, nil
	}
}

func TestModifiers(t *testing.T) {
	pa, pb := both(), both()
	pa.Push.Modifier = mark("pushed")
	pb.Pull.Modifier = mark("pulled")
	pair(t, nil, nil, pa, pb, func(t *testing.T, a, b *replica) {
		a.insert(t, "1", "old")
		a.insert(t, "2", "secret")
		time.Sleep(5 * time.Second)
		a.insert(t, "3", "new")
		a.insert(t, "4", "secret")
		b.insert(t, "5", "secret of b, who may tell")
		time.Sleep(5 * time.Second)
		for id, want := range map[string]string{"1": "pulled pushed old", "2": "", "3": "pulled pushed new", "4": ""} {
			if got := b.text(id); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("b has %s as %s, want %s", id, got, want)
			}
		}
		if got := a.text("5"); !strings.Contains(got, "who may tell") {
			t.Errorf("a has 5 as %s", got)
		}
		b.coll.View(func(v collection.View) {
			for _, id := range []string{"2", "4"} {
				dot := docDot(a, id)
				if v.Known().Covers(dot) {
					t.Errorf("b claims to know %s, which was withheld", id)
				}
			}
		})
		// A document that may pass at last does.
		a.insert(t, "2", "not so any more")
		time.Sleep(5 * time.Second)
		if got := b.text("2"); !strings.Contains(got, "not so any more") {
			t.Errorf("b has 2 as %s", got)
		}
	})
}

func docDot(r *replica, id string) (d dot) {
	r.coll.View(func(v collection.View) {
		if e, _ := v.Get(id); e != nil {
			d = e.Dot
		}
	})
	return d
}

func TestModifierThatFails(t *testing.T) {
	pa := both()
	pa.RetryTime = time.Second
	fails := 2
	pa.Push.Modifier = func(_ context.Context, d collection.Document) (collection.Document, bool, error) {
		if fails--; fails >= 0 {
			return d, false, errors.New("modifier is not in the mood")
		}
		return d, true, nil
	}
	pair(t, nil, nil, pa, nil, func(t *testing.T, a, b *replica) {
		a.insert(t, "1", "x")
		time.Sleep(20 * time.Second)
		if b.text("1") == "" {
			t.Errorf("not sent after the modifier recovered; a was told %v, b %v", a.told(), b.told())
		}
		if n := len(a.told()); n < 2 {
			t.Errorf("a was told %d times that its modifier failed", n)
		}
	})
}

func TestSchemasThatDiffer(t *testing.T) {
	pair(t, &collection.Options{SchemaVersion: 1}, &collection.Options{SchemaVersion: 2}, nil, nil, func(t *testing.T, a, b *replica) {
		a.insert(t, "1", "x")
		time.Sleep(10 * time.Second)
		if b.text("1") != "" {
			t.Error("a document moved")
		}
		for _, r := range []*replica{a, b} {
			if !slices.Contains(r.faults(), protocol.FaultSchema) {
				t.Errorf("told %v", r.told())
			}
		}
	})
}

func TestPeerThatIsRefused(t *testing.T) {
	pa := both()
	var asked []Peer
	var mu sync.Mutex
	pa.Valid = func(_ context.Context, p Peer) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, p)
		return false, nil
	}
	pair(t, nil, nil, pa, nil, func(t *testing.T, a, b *replica) {
		b.insert(t, "1", "x")
		a.insert(t, "2", "x")
		time.Sleep(20 * time.Second)
		if a.text("1") != "" || b.text("2") != "" {
			t.Error("a document moved")
		}
		mu.Lock()
		defer mu.Unlock()
		if len(asked) != 1 || asked[0].ID != "b" {
			t.Errorf("asked about %v, want once about b", asked)
		}
		if !slices.Contains(b.faults(), protocol.FaultRefused) {
			t.Errorf("b was told %v", b.told())
		}
	})
}

// Both change different fields of a document at once, connected and apart: all changes are in the result.
func TestFieldMergeBetweenReplicas(t *testing.T) {
	o := &collection.Options{Handler: collection.FieldMerge{}}
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		a, b := newReplica(t, n, "a", o, nil), newReplica(t, n, "b", o, nil)
		defer b.stop()
		defer a.stop()
		rs := []*replica{a, b}
		a.write(t, `{"id":"1","x":0,"y":0,"z":0}`)
		quiet(t, rs)
		patch := func(r *replica, p string) {
			if _, err := r.coll.Patch(t.Context(), "1", []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			patch(a, fmt.Sprintf(`{"x":%d}`, i+1))
			patch(b, fmt.Sprintf(`{"y":%d}`, i+1))
		}
		quiet(t, rs)
		if want := `{"id":"1","x":5,"y":5,"z":0}`; a.text("1") != want || b.text("1") != want {
			t.Errorf("connected: %s, %s", a.text("1"), b.text("1"))
		}
		n.Sever("a", "b")
		for i := range 5 {
			patch(a, fmt.Sprintf(`{"x":%d}`, i+10))
			patch(b, fmt.Sprintf(`{"y":%d}`, i+10))
		}
		patch(b, `{"z":1}`)
		n.Mend("a", "b")
		quiet(t, rs)
		if want := `{"id":"1","x":14,"y":14,"z":1}`; a.text("1") != want || b.text("1") != want {
			t.Errorf("apart: %s, %s", a.text("1"), b.text("1"))
		}
		if !slices.ContainsFunc(append(a.told(), b.told()...), func(e Event) bool { _, ok := e.(Clashed); return ok }) {
			t.Error("nobody was told of a conflict")
		}
	})
}

func TestSeveralCollectionsAndTopicsOnOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Seed: 1})
		a, b := newReplica(t, n, "a", nil, nil), newReplica(t, n, "b", nil, nil)
		defer b.stop()
		defer a.stop()
		var notes []*collection.Collection
		var pools []*Pool
		for _, r := range []*replica{a, b} {
			log, err := r.disk.Open(nil).Log(t.Context(), "notes")
			if err != nil {
				t.Fatal(err)
			}
			c, err := collection.Open(t.Context(), "notes", log, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p, err := Replicate(t.Context(), r.mesh, c, "another-topic", both())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Cancel()
			notes, pools = append(notes, c), append(pools, p)
		}
		if _, err := Replicate(t.Context(), a.mesh, notes[0], "another-topic", both()); err == nil {
			t.Error("replicated twice in one topic")
		}
		a.insert(t, "1", "todo")
		if _, err := notes[0].Insert(t.Context(), []byte(`{"id":"n"}`)); err != nil {
			t.Fatal(err)
		}
		quiet(t, []*replica{a, b})
		if b.text("1") == "" || notes[1].Count() != 1 || b.coll.Count() != 1 {
			t.Error("a collection did not arrive, or in the wrong place")
		}
		if len(a.mesh.links) != 1 {
			t.Errorf("%d connections", len(a.mesh.links))
		}
		pools[0].Cancel()
		if _, err := notes[0].Insert(t.Context(), []byte(`{"id":"m"}`)); err != nil {
			t.Fatal(err)
		}
		a.insert(t, "2", "todo")
		time.Sleep(5 * time.Second)
		if b.text("2") == "" || notes[1].Count() != 1 || len(pools[1].Peers()) != 0 {
			t.Error("cancelling one pool does more, or less, than it should")
		}
	})
}

func TestReplicateRefusesBadTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(nil)
		a := newReplica(t, n, "a", nil, nil)
		defer a.stop()
		for _, topic := range []string{"", "short", strings.Repeat("long", 25)} {
			if _, err := Replicate(t.Context(), a.mesh, a.coll, topic, nil); err == nil || !strings.Contains(err.Error(), "6 to 99") {
				t.Errorf("%q: %v", topic, err)
			}
		}
	})
}
