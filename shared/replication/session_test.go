package replication

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/block"
	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store/memlog"
)

// script is a session whose other side is the test.
type script struct {
	t       *testing.T
	s       *Session
	coll    *collection.Collection
	self    document.ReplicaID
	remote  document.ReplicaID
	known   *document.Knowledge
	now     time.Time
	clashes []collection.Clash
}

type scriptOptions struct {
	latency    time.Duration
	reopened   bool // with Options.FreshID
	before     func(c *collection.Collection)
	known      *document.Knowledge // what the other side tells to know at first
	pull, push *Direction
	remote     protocol.Open // Pulls and Pushes count
}

func full() scriptOptions {
	return scriptOptions{pull: &Direction{}, push: &Direction{}, remote: protocol.Open{Pulls: true, Pushes: true}}
}

// newScript makes a session.
func newScript(t *testing.T, o scriptOptions) *script {
	t.Helper()
	x := &script{t: t, remote: document.ReplicaID{9}, known: &document.Knowledge{}, now: time.Now()}
	disk := memlog.New(&memlog.Options{Latency: o.latency})
	open := func(opts *collection.Options) *collection.Collection {
		log, err := disk.Open(nil).Log(t.Context(), "todos")
		if err != nil {
			t.Fatal(err)
		}
		coll, err := collection.Open(t.Context(), "todos", log, opts)
		if err != nil {
			t.Fatal(err)
		}
		return coll
	}
	x.coll = open(nil)
	if o.reopened {
		x.coll.Close()
		x.coll = open(&collection.Options{FreshID: true})
	}
	t.Cleanup(func() { x.coll.Close() })
	if o.before != nil {
		o.before(x.coll)
	}
	if o.known != nil {
		x.known = o.known
	}
	own := &protocol.Open{Channel: 1, Collection: "todos", Pulls: o.pull != nil, Pushes: o.push != nil}
	x.coll.View(func(v collection.View) { own.Replica, own.Known = v.Replica(), v.Known() })
	x.self = own.Replica
	o.remote.Channel, o.remote.Replica, o.remote.Known = 2, x.remote, x.known.Clone()
	var err error
	x.s, err = New(t.Context(), Config{
		Collection: x.coll, Channel: 1, Own: own, Remote: &o.remote, Pull: o.pull, Push: o.push,
		Turns: &Turns{}, Rand: rand.New(rand.NewPCG(1, 1)), Wake: func() {},
		OnClash: func(c []collection.Clash) { x.clashes = append(x.clashes, c...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.s.Close)
	return x
}

func (x *script) receive(lane Lane, f protocol.Frame) {
	x.t.Helper()
	if err := x.s.Receive(x.t.Context(), x.now, Received{lane, f}); err != nil {
		x.t.Fatalf("%T: %v", f, err)
	}
}

// refused takes a frame that must end the session with a fault, and leave the documents alone.
func (x *script) refused(lane Lane, f protocol.Frame, want protocol.Fault) {
	x.t.Helper()
	before := x.coll.Count()
	err := x.s.Receive(x.t.Context(), x.now, Received{lane, f})
	if !errors.Is(err, &protocol.FaultError{Fault: want}) {
		x.t.Errorf("%T: %v, want fault %q", f, err, want)
	}
	if x.coll.Count() != before {
		x.t.Errorf("%T changed documents", f)
	}
}

// next returns the next frame for a lane, nil if there is none now.
func (x *script) next(lane Lane) protocol.Frame {
	x.t.Helper()
	f, _, err := x.s.Next(x.t.Context(), lane, x.now)
	if err != nil {
		x.t.Fatal(err)
	}
	return f
}

// changes returns the next Changes for a lane, skipping a Pull, and letting the time pass at which it is due.
func (x *script) changes(lane Lane) *protocol.Changes {
	x.t.Helper()
	for range 10 {
		f, at, err := x.s.Next(x.t.Context(), lane, x.now)
		if err != nil {
			x.t.Fatal(err)
		}
		if c, ok := f.(*protocol.Changes); ok {
			return c
		}
		if f == nil && at.IsZero() {
			return nil
		}
		if f == nil {
			x.now = at
		}
	}
	x.t.Fatal("no end of frames")
	return nil
}

// write makes a version of the peer's, or of another replica.
func (x *script) write(by document.ReplicaID, n uint64, id string) block.Placed {
	e := document.Entry{ID: id, Dot: document.Dot{Replica: by, Counter: n}, Time: document.TimeOf(x.now) + document.Time(n), Body: fmt.Appendf(nil, `{"id":%q}`, id)}
	x.known.Add(e.Dot, e.Time)
	return block.Placed{Entry: e}
}

// frame makes a Changes of entries, at positions from 100 on, seen with all that the peer knows.
func (x *script) frame(es ...block.Placed) *protocol.Changes {
	for i := range es {
		es[i].Offset = uint32(i)
	}
	return &protocol.Changes{Channel: 2, Seen: x.known.Clone(), First: 100, Entries: es}
}

func (x *script) knows(by document.ReplicaID, n uint64) (ok bool) {
	x.coll.View(func(v collection.View) { ok = v.Known().Covers(document.Dot{Replica: by, Counter: n}) })
	return ok
}

func ids(c *protocol.Changes) (out []string) {
	if c != nil {
		for _, e := range c.Entries {
			out = append(out, e.ID)
		}
	}
	return out
}

func insert(t *testing.T, c *collection.Collection, id string) {
	t.Helper()
	if _, err := c.Upsert(t.Context(), fmt.Appendf(nil, `{"id":%q,"own":true}`, id)); err != nil {
		t.Error(err)
	}
}

var third = document.ReplicaID{7}

func TestFramesOutOfPlace(t *testing.T) {
	for name, test := range map[string]func(t *testing.T){
		"Hello within a session": func(t *testing.T) {
			newScript(t, full()).refused(Live, &protocol.Hello{}, protocol.FaultFrame)
		},
		"end of a walk that was not asked for": func(t *testing.T) {
			x := newScript(t, full())
			f := x.frame()
			f.End = true
			x.refused(Bulk, f, protocol.FaultFrame)
		},
		"end of a walk on the live lane": func(t *testing.T) {
			x := newScript(t, full())
			x.next(Live) // the Pull
			f := x.frame()
			f.End = true
			x.refused(Live, f, protocol.FaultFrame)
		},
		"entries that are not pulled": func(t *testing.T) {
			o := full()
			o.pull = nil
			x := newScript(t, o)
			x.refused(Live, x.frame(x.write(x.remote, 1, "1")), protocol.FaultFrame)
		},
		"Pull of what is not pushed": func(t *testing.T) {
			o := full()
			o.push = nil
			newScript(t, o).refused(Live, &protocol.Pull{Channel: 2, Known: &document.Knowledge{}}, protocol.FaultFrame)
		},
		"write from the future": func(t *testing.T) {
			x := newScript(t, full())
			e := x.write(x.remote, 1, "1")
			e.Time = document.TimeOf(x.now.Add(time.Hour))
			x.refused(Live, x.frame(e), protocol.FaultClock)
		},
		"document that is none": func(t *testing.T) {
			x := newScript(t, full())
			e := x.write(x.remote, 1, "1")
			e.Body = []byte(`{"id":"2"}`)
			x.refused(Live, x.frame(x.write(x.remote, 2, "2"), e), protocol.FaultDocument)
		},
		"knowledge of too many replicas": func(t *testing.T) {
			x := newScript(t, full())
			for part := range 2 {
				k := &document.Knowledge{}
				for i := range document.MaxReplicas - 10 {
					k.AddUpTo(document.ReplicaID{1, byte(part), byte(i), byte(i >> 8), byte(i >> 16)}, 1)
				}
				f := &protocol.Changes{Channel: 2, Seen: k}
				if part == 0 {
					x.receive(Live, f)
				} else {
					x.refused(Live, f, protocol.FaultLimit)
				}
			}
		},
	} {
		t.Run(name, test)
	}
}

// Repeating frames, and taking those of a walk in another order, leaves the documents right.
func TestRepeatedAndReorderedFrames(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x := newScript(t, full())
		x.next(Live) // the Pull
		var frames []*protocol.Changes
		newest := map[string]document.Dot{}
		for n := range uint64(20) {
			e := x.write(x.remote, n+1, fmt.Sprint("d", rng.IntN(5)))
			newest[e.ID] = e.Dot
			f := x.frame(e)
			f.First = 100 + n
			frames = append(frames, f)
		}
		rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		for _, f := range append(frames, frames[:10]...) {
			x.receive(Lane(rng.IntN(2)), f)
		}
		end := x.frame()
		end.End, end.Claim = true, protocol.ClaimAll
		x.receive(Bulk, end)
		x.coll.View(func(v collection.View) {
			for id, dot := range newest {
				if e, _ := v.Get(id); e == nil || e.Dot != dot {
					t.Fatalf("seed %d: holds %v of %s, want %v", seed, e, id, dot)
				}
			}
			if !v.Known().CoversAll(x.known) {
				t.Fatalf("seed %d: knows %v of %v", seed, v.Known(), x.known)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	claimed := func(x *script, lane Lane, claim protocol.Claim, end bool) bool {
		t.Helper()
		x.known.AddUpTo(third, 5) // beaten writes, which are never sent
		f := x.frame(x.write(x.remote, 1, "1"))
		f.Claim, f.End = claim, end
		x.receive(lane, f)
		return x.knows(third, 5)
	}
	drop := func(_ context.Context, d collection.Document) (collection.Document, bool, error) {
		return d, false, nil
	}
	t.Run("at the end of the walk", func(t *testing.T) {
		x := newScript(t, full())
		x.next(Live)
		if !claimed(x, Bulk, protocol.ClaimAll, true) {
			t.Error("not taken")
		}
	})
	t.Run("during the walk", func(t *testing.T) {
		x := newScript(t, full())
		x.next(Live)
		if claimed(x, Live, protocol.ClaimAll, false) {
			t.Error("taken before the end of the walk")
		}
		end := x.frame()
		end.End = true
		x.receive(Bulk, end)
		if !x.knows(third, 5) {
			t.Error("not taken at the end")
		}
	})
	t.Run("of own writes", func(t *testing.T) {
		x := newScript(t, full())
		x.next(Live)
		x.known.AddUpTo(x.remote, 3)
		if claimed(x, Bulk, protocol.ClaimOwn, true) {
			t.Error("took more than the sender's own")
		}
		if !x.knows(x.remote, 3) {
			t.Error("did not take the sender's own")
		}
	})
	t.Run("with a pull modifier", func(t *testing.T) {
		o := full()
		o.pull = &Direction{Modifier: drop}
		x := newScript(t, o)
		x.next(Live)
		if claimed(x, Bulk, protocol.ClaimAll, true) || x.knows(x.remote, 1) {
			t.Error("claims to know what it dropped")
		}
	})
	t.Run("with a push modifier", func(t *testing.T) {
		o := full()
		o.push = &Direction{Modifier: drop}
		x := newScript(t, o)
		insert(t, x.coll, "1")
		x.receive(Live, &protocol.Pull{Channel: 2, Known: &document.Knowledge{}})
		end := x.changes(Bulk)
		if end == nil || !end.End || end.Claim != protocol.ClaimNone || len(end.Entries) != 0 {
			t.Errorf("end of the walk is %+v", end)
		}
		insert(t, x.coll, "2")
		if f := x.changes(Live); f == nil || f.Claim != protocol.ClaimNone || len(f.Entries) != 0 {
			t.Errorf("live frame is %+v", f)
		}
	})
}

// While a walk has not ended, or own writes are still to be sent, there is nothing to claim.
func TestClaimsWait(t *testing.T) {
	x := newScript(t, full())
	insert(t, x.coll, "1")
	if f := x.changes(Live); !slices.Equal(ids(f), []string{"1"}) || f.Claim != protocol.ClaimNone {
		t.Errorf("before the walk: %v, claim %d", ids(f), f.Claim)
	}
	x.walked()
	var bodies [][]byte
	for i := range 3 {
		bodies = append(bodies, fmt.Appendf(nil, `{"id":"big%d","x":%q}`, i, strings.Repeat("x", block.Target*2/3)))
	}
	x.coll.BulkInsert(t.Context(), bodies)
	var got []protocol.Claim
	for f := x.changes(Live); f != nil; f = x.changes(Live) {
		got = append(got, f.Claim)
	}
	if len(got) < 2 || slices.Contains(got[:len(got)-1], protocol.ClaimAll) || slices.Contains(got[:len(got)-1], protocol.ClaimOwn) || got[len(got)-1] != protocol.ClaimAll {
		t.Errorf("claims %v, want none but in the last of several frames", got)
	}
}

// walked lets the peer pull all there is.
func (x *script) walked() *script {
	x.t.Helper()
	x.receive(Live, &protocol.Pull{Channel: 2, Known: x.known.Clone()})
	for {
		f := x.changes(Bulk)
		if f == nil {
			x.t.Fatal("walk does not end")
		}
		x.known.Merge(f.Seen)
		if f.End {
			return x
		}
	}
}

// The write of a third replica is held back, and claimed for only when it was sent or told.
func TestForwarding(t *testing.T) {
	newThird := func(t *testing.T) *script {
		x := newScript(t, full()).walked()
		e := x.write(third, 1, "3rd").Entry
		if _, err := x.coll.Accept(t.Context(), &collection.Incoming{Entries: []document.Entry{e}, Seen: x.known}); err != nil {
			t.Fatal(err)
		}
		return x
	}
	t.Run("held back, then sent", func(t *testing.T) {
		x := newThird(t)
		insert(t, x.coll, "own")
		first := x.changes(Live)
		if got := ids(first); !slices.Equal(got, []string{"own"}) || first.Claim != protocol.ClaimOwn {
			t.Fatalf("first %v, claim %d", got, first.Claim)
		}
		began := x.now
		second := x.changes(Live)
		if got := ids(second); !slices.Equal(got, []string{"3rd"}) || second.Claim != protocol.ClaimAll {
			t.Fatalf("then %v, claim %d", got, second.Claim)
		}
		if waited := x.now.Sub(began); waited < ForwardAfter || waited > ForwardAfter+ForwardSpread {
			t.Fatalf("after %v", waited)
		}
		if f := x.changes(Live); f != nil {
			t.Fatalf("and then %+v", f)
		}
	})
	t.Run("told meanwhile", func(t *testing.T) {
		x := newThird(t)
		tell := x.frame()
		x.receive(Live, tell)
		for f := x.changes(Live); f != nil; f = x.changes(Live) {
			if len(f.Entries) > 0 {
				t.Fatalf("sent %v, which the peer knows", ids(f))
			}
		}
	})
	t.Run("beaten by another", func(t *testing.T) {
		x := newThird(t)
		x.changes(Live) // knowledge
		e := x.write(third, 2, "3rd").Entry
		if _, err := x.coll.Accept(t.Context(), &collection.Incoming{Entries: []document.Entry{e}, Seen: x.known}); err != nil {
			t.Fatal(err)
		}
		for f := x.changes(Live); f != nil; f = x.changes(Live) {
			if len(f.Entries) == 0 {
				continue
			}
			if f.Entries[0].Dot.Counter != 2 || len(f.Beaten) != 1 || f.Beaten[0].Dot.Counter != 1 {
				t.Fatalf("sent %+v", f)
			}
			return
		}
		t.Fatal("not sent")
	})
	t.Run("beaten by an own write", func(t *testing.T) {
		x := newThird(t)
		insert(t, x.coll, "3rd")
		f := x.changes(Live)
		if !slices.Equal(ids(f), []string{"3rd"}) || f.Entries[0].Dot.Replica == third || f.Claim != protocol.ClaimAll {
			t.Fatalf("sent %+v", f)
		}
	})
}

// An own write that is beaten within the same commit is never in the log. It must not be claimed while what beat it is held back.
func TestOwnWriteBeatenUnseenIsNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := full()
		o.latency = 10 * time.Millisecond
		x := newScript(t, o).walked()
		go insert(t, x.coll, "keeps the log busy")
		synctest.Wait()
		go insert(t, x.coll, "1")
		synctest.Wait()
		theirs := x.write(third, 1, "1").Entry
		theirs.Time = document.TimeOf(x.now.Add(time.Minute))
		go func() {
			if _, err := x.coll.Accept(t.Context(), &collection.Incoming{Entries: []document.Entry{theirs}, Seen: &document.Knowledge{}}); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		var self document.ReplicaID
		x.coll.View(func(v collection.View) {
			self = v.Replica()
			if e, _ := v.Get("1"); e.Dot != theirs.Dot || v.Known().Last(self) != 2 {
				t.Fatalf("holds %v, has made %d writes: not what the test is about", e.Dot, v.Known().Last(self))
			}
		})
		f := x.changes(Live)
		if !slices.Equal(ids(f), []string{"keeps the log busy"}) || f.Claim != protocol.ClaimNone {
			t.Fatalf("sent %v, claim %d", ids(f), f.Claim)
		}
		f = x.changes(Live)
		if !slices.Equal(ids(f), []string{"1"}) || f.Claim != protocol.ClaimAll {
			t.Fatalf("then %v, claim %d", ids(f), f.Claim)
		}
	})
}

// A walk goes on where it was cut, leaves out what is known, and keeps to the batch size.
func TestWalk(t *testing.T) {
	x := newScript(t, full())
	for i := range 100 {
		insert(t, x.coll, fmt.Sprint(i))
	}
	var self document.ReplicaID
	x.coll.View(func(v collection.View) { self = v.Replica() })
	known := &document.Knowledge{}
	for n := uint64(1); n <= 100; n += 2 {
		known.Add(document.Dot{Replica: self, Counter: n}, 0)
	}
	x.receive(Live, &protocol.Pull{Channel: 2, Known: known, MaxBatch: 7})
	var got []string
	for {
		f := x.changes(Bulk)
		if len(f.Entries) > 7 {
			t.Fatalf("%d entries in a frame", len(f.Entries))
		}
		got = append(got, ids(f)...)
		for _, e := range f.Entries {
			known.Add(e.Dot, e.Time)
		}
		if left := 50 - len(got); !f.End && f.Remaining != uint64(left) {
			t.Fatalf("%d remain, said %d", left, f.Remaining)
		}
		if f.End {
			break
		}
		if len(got) == 14 { // as a new session would, after a cut
			x.receive(Live, &protocol.Pull{Channel: 2, Known: known, MaxBatch: 7})
		}
	}
	if len(got) != 50 || got[0] != "1" || got[49] != "99" {
		t.Fatalf("sent %v", got)
	}
}

func TestTurns(t *testing.T) {
	var turns Turns
	now := time.Now()
	woken := 0
	a, b := &Session{}, &Session{cfg: Config{Wake: func() { woken++ }}}
	if _, ok := turns.take(a, now); !ok {
		t.Fatal("a waits for nobody")
	}
	again, ok := turns.take(b, now)
	if ok || !again.Equal(now.Add(StallAfter)) {
		t.Fatalf("b: %v, %v", again, ok)
	}
	turns.progress(a, now.Add(time.Second))
	if _, ok := turns.take(b, now.Add(StallAfter)); ok {
		t.Fatal("b goes though a makes progress")
	}
	turns.leave(a)
	if _, ok := turns.take(b, now); !ok || woken != 1 {
		t.Fatalf("b: %v, woken %d times", ok, woken)
	}
	if _, ok := turns.take(a, now.Add(StallAfter)); !ok {
		t.Fatal("b stalls, and keeps its turn")
	}
	turns.leave(b)
	turns.leave(a)
}

// TestLanes: what the two lanes bring arrives in any order, and each entry is judged by what its sender had told on its own lane.
func TestLanes(t *testing.T) {
	local := func(x *script, id string) document.Entry {
		t.Helper()
		if _, err := x.coll.Upsert(t.Context(), fmt.Appendf(nil, `{"id":%q,"mine":true}`, id)); err != nil {
			t.Fatal(err)
		}
		var e *document.Entry
		x.coll.View(func(v collection.View) { e, _ = v.Get(id) })
		return *e
	}
	t.Run("an entry is made before what the other lane tells", func(t *testing.T) {
		x := newScript(t, full())
		x.next(Live)
		mine := local(x, "1")
		x.now = x.now.Add(time.Minute)
		walked := x.frame(x.write(x.remote, 1, "1"))
		told := x.frame()
		told.Seen = &document.Knowledge{}
		told.Seen.Add(mine.Dot, mine.Time)
		x.receive(Live, told)
		x.receive(Bulk, walked)
		if len(x.clashes) != 1 {
			t.Errorf("%d conflicts, want the one between writes that did not know of each other", len(x.clashes))
		}
	})
	t.Run("a live entry overtakes the one that it replaced", func(t *testing.T) {
		x := newScript(t, full())
		x.next(Live)
		walked := x.frame(x.write(x.remote, 1, "1"))
		live := x.frame(x.write(x.remote, 2, "1"))
		live.First = 101
		live.Seen = &document.Knowledge{} // the rest of it comes on the other lane
		x.receive(Live, live)
		x.receive(Bulk, walked)
		if len(x.clashes) != 0 || !x.knows(x.remote, 1) {
			t.Errorf("conflicts: %v; knows what was overtaken: %t", x.clashes, x.knows(x.remote, 1))
		}
	})
}

// TestSessionEndsWhenIdentitiesChange: what was told before does not go with what is sent afterwards.
func TestSessionEndsWhenIdentitiesChange(t *testing.T) {
	for name, change := range map[string]func(x *script) error{
		"own id": func(x *script) error { return x.coll.Disown(t.Context(), x.self) },
		"own id, by a first write": func(x *script) error {
			_, err := x.coll.Upsert(t.Context(), []byte(`{"id":"1"}`))
			return errors.Join(err, collection.ErrIdentity)
		},
		"a third's id is forked": func(x *script) error {
			k := &document.Knowledge{}
			k.Fork(third)
			return x.coll.Recognise(t.Context(), k)
		},
	} {
		o := full()
		o.reopened = true
		x := newScript(t, o)
		x.next(Live)
		if err := change(x); !errors.Is(err, collection.ErrIdentity) {
			t.Fatalf("%s: %v", name, err)
		}
		for lane := range Lane(lanes) {
			if f, _, err := x.s.Next(t.Context(), lane, x.now); !errors.Is(err, collection.ErrIdentity) {
				t.Errorf("%s, lane %d: %T, %v; want ErrIdentity", name, lane, f, err)
			}
		}
	}
}

// TestPeerThatNamesAnIDTwice ends the session that shows the fork, and the next one does not.
func TestPeerThatNamesAnIDTwice(t *testing.T) {
	x := newScript(t, full())
	x.next(Live)
	x.receive(Live, x.frame(x.write(third, 1, "1")))
	again := x.write(third, 1, "1")
	again.Time += 7
	f := x.frame(again)
	f.Seen = &document.Knowledge{}
	f.Seen.Add(again.Dot, again.Time)
	err := x.s.Receive(t.Context(), x.now, Received{Live, f})
	if !errors.Is(err, collection.ErrIdentity) || x.knows(third, 1) {
		t.Fatalf("%v, and knows the write: %t", err, x.knows(third, 1))
	}
	if _, err := x.coll.Accept(t.Context(), &collection.Incoming{Entries: []document.Entry{again.Entry}, Seen: f.Seen}); err != nil {
		t.Fatal(err)
	}
	x.coll.View(func(v collection.View) {
		if e, _ := v.Get("1"); e.Time != again.Time {
			t.Errorf("holds %v, want the later one of the two", e)
		}
	})
}

// TestForkTheOtherSideDoesNotKnowOf: what it says to know of that id may be another's write.
func TestForkTheOtherSideDoesNotKnowOf(t *testing.T) {
	o := full()
	o.known = &document.Knowledge{}
	o.known.AddUpTo(third, 1)
	o.before = func(c *collection.Collection) {
		seen := &document.Knowledge{}
		seen.Fork(third)
		e := document.Entry{ID: "1", Dot: document.Dot{Replica: third, Counter: 1}, Time: 1, Body: []byte(`{"id":"1"}`)}
		if err := c.Recognise(t.Context(), seen); !errors.Is(err, collection.ErrIdentity) {
			t.Fatal(err)
		}
		if _, err := c.Accept(t.Context(), &collection.Incoming{Entries: []document.Entry{e}, Seen: seen}); err != nil {
			t.Fatal(err)
		}
	}
	x := newScript(t, o)
	x.receive(Live, &protocol.Pull{Channel: 2, Known: x.known})
	if c := x.changes(Bulk); c == nil || len(c.Entries) != 1 {
		t.Errorf("sends %+v", c)
	}
}
