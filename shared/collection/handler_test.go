package collection

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

func TestFieldMerge(t *testing.T) {
	body := func(s string) Content { return Content{Body: []byte(s)} }
	gone := Content{Deleted: true}
	for _, c := range []struct {
		name                 string
		base                 *Content
		later, earlier, want Content
	}{
		{"each another field", ptr(body(`{"id":"1","a":1,"b":1}`)), body(`{"id":"1","a":2,"b":1}`), body(`{"id":"1","a":1,"b":2}`), body(`{"id":"1","a":2,"b":2}`)},
		{"both the same field", ptr(body(`{"id":"1","a":1}`)), body(`{"id":"1","a":2}`), body(`{"id":"1","a":3}`), body(`{"id":"1","a":2}`)},
		{"later side adds", ptr(body(`{"id":"1"}`)), body(`{"id":"1","a":2}`), body(`{"id":"1"}`), body(`{"id":"1","a":2}`)},
		{"earlier side adds", ptr(body(`{"id":"1"}`)), body(`{"id":"1"}`), body(`{"id":"1","a":2}`), body(`{"id":"1","a":2}`)},
		{"later side takes out", ptr(body(`{"id":"1","a":1}`)), body(`{"id":"1"}`), body(`{"id":"1","a":1}`), body(`{"id":"1"}`)},
		{"earlier side takes out", ptr(body(`{"id":"1","a":1}`)), body(`{"id":"1","a":1}`), body(`{"id":"1"}`), body(`{"id":"1"}`)},
		{"earlier takes out what later changes", ptr(body(`{"id":"1","a":1}`)), body(`{"id":"1","a":2}`), body(`{"id":"1"}`), body(`{"id":"1","a":2}`)},
		{"later takes out what earlier changes", ptr(body(`{"id":"1","a":1}`)), body(`{"id":"1"}`), body(`{"id":"1","a":2}`), body(`{"id":"1","a":2}`)},
		{"equal values in another form", ptr(body(`{"id":"1","a":{"x":1,"y":2}}`)), body(`{"id":"1","a":{"y":2.0,"x":1}}`), body(`{"id":"1","a":5}`), body(`{"id":"1","a":5}`)},
		{"no base", nil, body(`{"id":"1","a":1}`), body(`{"id":"1","a":2,"b":3}`), body(`{"id":"1","a":1,"b":3}`)},
		{"deleted base", &gone, body(`{"id":"1","a":1}`), body(`{"id":"1","b":3}`), body(`{"id":"1","a":1,"b":3}`)},
		{"later deletes", ptr(body(`{"id":"1"}`)), gone, body(`{"id":"1","a":1}`), gone},
		{"earlier deletes", ptr(body(`{"id":"1"}`)), body(`{"id":"1","a":1}`), gone, body(`{"id":"1","a":1}`)},
	} {
		var base []Content
		if c.base != nil {
			base = append(base, *c.base)
		}
		got, err := FieldMerge{}.Resolve(t.Context(), Conflict{ID: "1", Real: c.later, New: c.earlier, Bases: base})
		if err != nil || got.Deleted != c.want.Deleted || string(got.Body) != string(c.want.Body) {
			t.Errorf("%s: %s %v, %v, want %s", c.name, got.Body, got.Deleted, err, c.want.Body)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// peer makes the writes of another replica.
type peer struct {
	id      document.ReplicaID
	counter uint64
	known   *document.Knowledge
}

func newPeer(b byte) *peer { return &peer{id: document.ReplicaID{b}, known: &document.Knowledge{}} }

// write makes a version of document id over base, which may be nil.
func (p *peer) write(id, field string, base *document.Entry, at document.Time) document.Entry {
	p.counter++
	e := document.Entry{ID: id, Dot: document.Dot{Replica: p.id, Counter: p.counter}, Time: at, Body: fmt.Appendf(nil, `{"id":%q,%q:1}`, id, field)}
	if base != nil {
		e.Base = base.Dot
		e.Body = append(append(append([]byte{}, base.Body[:len(base.Body)-1]...), fmt.Sprintf(`,%q:1`, field)...), '}')
	}
	p.known.Add(e.Dot, e.Time)
	return e
}

func (p *peer) frame(es ...document.Entry) *Incoming {
	return &Incoming{Entries: es, Seen: p.known.Clone()}
}

func entryOf(c *Collection, id string) *document.Entry {
	var e *document.Entry
	c.View(func(v View) { e, _ = v.Get(id) })
	return e
}

// recorder is a handler that says what it was asked.
type recorder struct {
	asked []Conflict
	FieldMerge
}

func (r *recorder) Resolve(ctx context.Context, c Conflict) (Content, error) {
	r.asked = append(r.asked, c)
	return r.FieldMerge.Resolve(ctx, c)
}

// A replica that was away comes back with a change of the version that it had when it left. That version is kept for it, and dropped
// once it is no longer needed, also over a restart.
func TestBaseOfAConflictIsKeptWhileNeeded(t *testing.T) {
	disk := memlog.New(nil)
	h := &recorder{}
	c := open(t, disk, &Options{Handler: h})
	ctx := t.Context()
	stop, err := c.Share(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Insert(ctx, []byte(`{"id":"1","a":0,"b":0}`)); err != nil {
		t.Fatal(err)
	}
	p := newPeer(7)
	first := entryOf(c, "1")
	p.known.Add(first.Dot, first.Time)
	c.Part(p.id, p.known.Clone())
	for _, patch := range []string{`{"a":1}`, `{"a":2}`, `{"a":3}`} {
		if _, err := c.Patch(ctx, "1", []byte(patch)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	c.Close()
	c = open(t, disk, &Options{Handler: h})
	theirs := document.Entry{ID: "1", Dot: document.Dot{Replica: p.id, Counter: 1}, Base: first.Dot, Time: first.Time + 1, Body: []byte(`{"id":"1","a":0,"b":5}`)}
	p.known.Add(theirs.Dot, theirs.Time)
	got, err := c.Accept(ctx, p.frame(theirs))
	if err != nil || len(got.Clashes) != 1 || len(got.Clashes[0].Bases) != 1 || got.Clashes[0].Bases[0].Dot != first.Dot {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(h.asked) != 1 || h.asked[0].Assumed == nil || string(h.asked[0].Assumed.Body) != `{"id":"1","a":0,"b":0}` {
		t.Fatalf("asked %+v", h.asked)
	}
	if d, _ := c.Get("1"); string(d.Body) != `{"id":"1","a":3,"b":5}` {
		t.Fatalf("merged to %s", d.Body)
	}
	if n := len(c.mem.replaced); n != 1 {
		t.Fatalf("replaced versions of %d documents are kept, want those of 1", n)
	}
	c.View(func(v View) { p.known.Merge(v.Known()) })
	c.Hear(p.id, p.known)
	if _, err := c.Insert(ctx, []byte(`{"id":"2"}`)); err != nil {
		t.Fatal(err)
	}
	if n := len(c.mem.replaced); n != 0 || c.mem.docs["1"].past != nil {
		t.Fatalf("replaced versions of %d documents are kept, though all know the new ones", n)
	}
}

// While nobody has been told of an own version, the next one names as its base what both sides had.
func TestBaseSkipsWhatNobodyWasTold(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	ctx := t.Context()
	p := newPeer(7)
	if _, err := c.Accept(ctx, p.frame(p.write("1", "x", nil, 5))); err != nil {
		t.Fatal(err)
	}
	patch := func() document.Dot {
		t.Helper()
		if _, err := c.Patch(ctx, "1", []byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		return entryOf(c, "1").Base
	}
	theirs := document.Dot{Replica: p.id, Counter: 1}
	for range 2 {
		if got := patch(); got != theirs {
			t.Fatalf("base %v, want %v", got, theirs)
		}
	}
	stop, err := c.Share(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := patch(); got != theirs {
		t.Fatalf("shared, but not sent: base %v, want %v", got, theirs)
	}
	for range 2 {
		c.View(func(v View) { v.Sent("1") })
		if own, got := entryOf(c, "1").Dot, patch(); got != own {
			t.Fatalf("sent: base %v, want %v", got, own)
		}
	}
	stop()
	shared := entryOf(c, "1").Dot
	for range 2 {
		if got := patch(); got != shared {
			t.Fatalf("after sharing: base %v, want %v", got, shared)
		}
	}
}

// failing is a handler that fails as often as it is told to.
type failing struct {
	FieldMerge
	left int
}

var errHandler = errors.New("handler is not in the mood")

func (f *failing) Resolve(ctx context.Context, c Conflict) (Content, error) {
	if f.left--; f.left >= 0 {
		return Content{}, errHandler
	}
	return f.FieldMerge.Resolve(ctx, c)
}

func TestHandlerThatFails(t *testing.T) {
	c := open(t, memlog.New(nil), &Options{Handler: &failing{left: 1}})
	ctx := t.Context()
	p := newPeer(7)
	if _, err := c.Insert(ctx, []byte(`{"id":"2","mine":1}`)); err != nil {
		t.Fatal(err)
	}
	in := p.frame(p.write("1", "x", nil, 5), p.write("2", "x", nil, 6), p.write("3", "x", nil, 7))
	in.Claim = p.known.Clone()
	if _, err := c.Accept(ctx, in); !errors.Is(err, errHandler) {
		t.Fatal(err)
	}
	c.View(func(v View) {
		if v.Known().Covers(document.Dot{Replica: p.id, Counter: 2}) {
			t.Fatalf("knows %v, though a conflict is open", v.Known())
		}
	})
	if got, err := c.Accept(ctx, in); err != nil || len(got.Clashes) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	c.View(func(v View) {
		if !v.Known().CoversAll(p.known) {
			t.Fatalf("knows %v", v.Known())
		}
	})
	if d, _ := c.Get("2"); string(d.Body) != `{"id":"2","mine":1,"x":1}` {
		t.Fatalf("merged to %s", d.Body)
	}
}

// TestMergesAreBounded: after so many merges without a user's write between them, the greater version is kept.
func TestMergesAreBounded(t *testing.T) {
	for merges, merged := range map[uint8]bool{document.MaxMerges - 1: true, document.MaxMerges: false} {
		c := open(t, memlog.New(nil), &Options{Handler: FieldMerge{}})
		if _, err := c.Insert(t.Context(), []byte(`{"id":"1","mine":1}`)); err != nil {
			t.Fatal(err)
		}
		p := newPeer(7)
		e := p.write("1", "x", nil, entryOf(c, "1").Time+1)
		e.Merges = merges
		got, err := c.Accept(t.Context(), p.frame(e))
		if err != nil || len(got.Clashes) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if held := entryOf(c, "1"); (held.Dot != e.Dot) != merged || merged && held.Merges != merges+1 {
			t.Errorf("after %d merges holds %+v", merges, held)
		}
	}
}

// slow is a handler that writes to the collection while it works: a write of the same document makes its answer useless.
type slow struct {
	FieldMerge
	c     *Collection
	tries int
}

func (s *slow) Resolve(ctx context.Context, c Conflict) (Content, error) {
	if s.tries++; s.tries == 1 {
		if _, err := s.c.Patch(ctx, c.ID, []byte(`{"late":1}`)); err != nil {
			return Content{}, err
		}
	}
	return s.FieldMerge.Resolve(ctx, c)
}

func TestHandlerThatTakesItsTime(t *testing.T) {
	h := &slow{}
	c := open(t, memlog.New(nil), &Options{Handler: h})
	h.c = c
	p := newPeer(7)
	if _, err := c.Insert(t.Context(), []byte(`{"id":"1","mine":1}`)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Accept(t.Context(), p.frame(p.write("1", "x", nil, 5))); err != nil || len(got.Clashes) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if d, _ := c.Get("1"); string(d.Body) != `{"id":"1","mine":1,"late":1,"x":1}` || h.tries != 2 {
		t.Fatalf("merged to %s after %d tries", d.Body, h.tries)
	}
}

// invalid is a handler whose result is no document.
type invalid struct{ FieldMerge }

func (invalid) Resolve(context.Context, Conflict) (Content, error) {
	return Content{Body: []byte(`{"id":"other"}`)}, nil
}

func TestHandlerWithAnInvalidResult(t *testing.T) {
	c := open(t, memlog.New(nil), &Options{Handler: invalid{}})
	p := newPeer(7)
	if _, err := c.Insert(t.Context(), []byte(`{"id":"1","mine":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Accept(t.Context(), p.frame(p.write("1", "x", nil, 5))); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	mustContent(t, c, map[string]string{"1": `{"id":"1","mine":1}`})
}

func TestAcceptRefuses(t *testing.T) {
	c := open(t, memlog.New(nil), nil)
	p := newPeer(7)
	good := p.write("1", "x", nil, 5)
	for name, change := range map[string]func(e *document.Entry){
		"body is no JSON":     func(e *document.Entry) { e.Body = []byte(`{"id":"1"`) },
		"body is no object":   func(e *document.Entry) { e.Body = []byte(`["1"]`) },
		"another key in body": func(e *document.Entry) { e.Body = []byte(`{"id":"2"}`) },
		"no key in body":      func(e *document.Entry) { e.Body = []byte(`{"x":1}`) },
		"empty key":           func(e *document.Entry) { e.ID, e.Body = "", []byte(`{"id":""}`) },
	} {
		bad := good
		change(&bad)
		if _, err := c.Accept(t.Context(), p.frame(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	future := good
	future.Time = document.TimeOf(c.Now().Add(2 * document.MaxSkew))
	if _, err := c.Accept(t.Context(), p.frame(future)); !errors.Is(err, ErrClockSkew) {
		t.Errorf("from the future: %v", err)
	}
	mustContent(t, c, map[string]string{})
	if got, err := c.Accept(t.Context(), p.frame(good)); err != nil || got.Taken != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// What was judged is known, whatever became of it.
func TestDroppedVersionsAreKnown(t *testing.T) {
	disk := memlog.New(nil)
	c := open(t, disk, nil)
	p := newPeer(7)
	old := p.write("1", "x", nil, 5)
	newer := p.write("1", "y", &old, 6)
	for _, e := range []document.Entry{newer, old} { // old is the base of newer, and so was seen
		if _, err := c.Accept(t.Context(), p.frame(e)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*Collection{c, open(t, disk, nil)} {
		c.View(func(v View) {
			if e, _ := v.Get("1"); e.Dot != newer.Dot || !v.Known().CoversAll(p.known) {
				t.Fatalf("holds %v, knows %v", e.Dot, v.Known())
			}
		})
	}
}
