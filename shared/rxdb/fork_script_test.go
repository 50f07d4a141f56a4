package rxdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/tidwall/gjson"
)

func TestForkPulls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer func() { r.close() }()
		small := func(c *Config) { c.Pull, c.Push = &Direction{BatchSize: 2}, &Direction{BatchSize: 2} }
		s := play(r, small)
		s.handshake()
		s.reply(s.expect(`{"method":"masterChangesSince","params":[null,2]}`),
			`{"documents":[{"id":"a","n":1,"_deleted":false},{"id":"b","_deleted":true}],"checkpoint":{"id":"b","lwt":2}}`)
		s.reply(s.expect(`{"method":"masterChangesSince","params":[{"id":"b","lwt":2},2]}`),
			`{"documents":[{"id":"c","n":3,"_deleted":false,"_rev":"1-a","_meta":{"lwt":3}}],"checkpoint":{"id":"c","lwt":3}}`)
		s.quiet() // nothing of it is pushed
		if r.get("a") != `{"id":"a","n":1}` || r.get("b") != "" || r.get("c") != `{"id":"c","n":3}` {
			t.Errorf("held are %s %s %s", r.get("a"), r.get("b"), r.get("c"))
		}

		t.Log("events")
		s.say(`{"id":"masterChangeStream$","result":{"documents":[{"id":"a","n":2,"_deleted":false}],"checkpoint":{"id":"a","lwt":4}}}`)
		s.quiet()
		if r.get("a") != `{"id":"a","n":2}` {
			t.Errorf("held is %s", r.get("a"))
		}
		s.say(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		s.reply(s.expect(`{"method":"masterChangesSince","params":[{"id":"a","lwt":4},2]}`), `{"documents":[],"checkpoint":{"id":"a","lwt":4}}`)
		s.quiet()

		t.Log("the checkpoint survives a restart")
		r.reopen(forkToken, nil)
		s = play(r, small)
		s.handshake()
		s.reply(s.expect(`{"method":"masterChangesSince","params":[{"id":"a","lwt":4},2]}`), `{"documents":[],"checkpoint":null}`)
		s.quiet()
	})
}

func TestForkPushes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer func() { r.close() }()
		empty := `{"documents":[],"checkpoint":null}`
		r.put(`{"id":"a","n":1}`)
		s := play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), empty)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"a","n":1,"_deleted":false}}]]}`), `[]`)
		r.put(`{"id":"a","n":2}`)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":1,"_deleted":false},"newDocumentState":{"id":"a","n":2,"_deleted":false}}]]}`), `[]`)

		t.Log("what the master tells of earlier states is not taken; it is asked instead")
		s.say(`{"id":"masterChangeStream$","result":{"documents":[{"id":"a","n":1,"_deleted":false}],"checkpoint":{"id":"a","lwt":1}}}`)
		s.reply(s.request(methodChangesSince), `{"documents":[{"id":"a","n":2,"_deleted":false}],"checkpoint":{"id":"a","lwt":2}}`)
		s.quiet()
		if r.get("a") != `{"id":"a","n":2}` {
			t.Errorf("held is %s", r.get("a"))
		}

		t.Log("a change while away: the text of what the master has is not known any more, so it is asked for by a write that must fail")
		r.reopen(forkToken, nil)
		r.put(`{"id":"a","n":3}`)
		s = play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), empty)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"a","n":3,"_deleted":false}}]]}`), `[{"id":"a","n":2,"_deleted":false,"_rev":"2-x"}]`)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":2,"_deleted":false},"newDocumentState":{"id":"a","n":3,"_deleted":false}}]]}`), `[]`)
		if n := len(r.clashes()); n != 0 {
			t.Errorf("%d conflicts", n)
		}

		t.Log("a delete keeps the fields that the master has")
		r.remove("a")
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":3,"_deleted":false},"newDocumentState":{"id":"a","n":3,"_deleted":true}}]]}`), `[]`)
		s.quiet()
	})
}

// merge is a conflict handler that adds up a field.
type merge struct{}

func (merge) Equal(_ context.Context, a, b collection.Content) (bool, error) {
	return collection.EqualContent(a, b), nil
}

func (merge) Resolve(_ context.Context, c collection.Conflict) (collection.Content, error) {
	n := gjson.GetBytes(c.Real.Body, "n").Int() + gjson.GetBytes(c.New.Body, "n").Int()
	if c.Assumed != nil {
		n -= gjson.GetBytes(c.Assumed.Body, "n").Int()
	}
	return collection.Content{Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, c.ID, n)}, nil
}

func TestForkConflicts(t *testing.T) {
	for name, test := range map[string]struct {
		handler collection.Handler
		again   string
		result  string
	}{
		"master wins": {nil, ``, `{"id":"a","n":10}`},
		"merged":      {merge{}, `{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":10,"_deleted":false},"newDocumentState":{"id":"a","n":11,"_deleted":false}}]]}`, `{"id":"a","n":11}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, forkToken, &collection.Options{Handler: test.handler})
				defer r.close()
				s := play(r, nil)
				s.handshake()
				s.reply(s.request(methodChangesSince), `{"documents":[{"id":"a","n":1,"_deleted":false}],"checkpoint":{"lwt":1}}`)
				synctest.Wait()
				r.put(`{"id":"a","n":2}`)
				m := s.expect(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":1,"_deleted":false},"newDocumentState":{"id":"a","n":2,"_deleted":false}}]]}`)
				s.reply(m, `[{"id":"a","n":10,"_deleted":false}]`)
				if test.again != "" {
					s.reply(s.expect(test.again), `[]`)
				}
				s.quiet()
				if got := r.get("a"); got != test.result {
					t.Errorf("held is %s, want %s", got, test.result)
				}
				if n := len(r.clashes()); n != 1 {
					t.Errorf("%d conflicts were told of", n)
				}
			})
		})
	}
}

// TestForkConflictAfterRestart: the handler is given what both were made from, also when that was long ago.
func TestForkConflictAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		opts := &collection.Options{Handler: merge{}}
		r := newReplica(t, forkToken, opts)
		defer func() { r.close() }()
		s := play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), `{"documents":[{"id":"a","n":1000,"_deleted":false}],"checkpoint":{"lwt":1}}`)
		s.quiet()
		r.reopen(forkToken, opts)
		r.put(`{"id":"a","n":1005}`)
		r.put(`{"id":"a","n":1010}`)
		r.reopen(forkToken, opts)
		s = play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), `{"documents":[{"id":"a","n":1100,"_deleted":false}],"checkpoint":{"lwt":2}}`)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"a","n":1010,"_deleted":false}}]]}`), `[{"id":"a","n":1100,"_deleted":false}]`)
		s.reply(s.expect(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":1100,"_deleted":false},"newDocumentState":{"id":"a","n":1110,"_deleted":false}}]]}`), `[]`)
		s.quiet()
		if n := len(r.meta.state.bases); n != 0 || r.meta.state.bytes != 0 {
			t.Errorf("%d bases are kept, %d bytes", n, r.meta.state.bytes)
		}
	})
}

func TestTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		begin := time.Now()
		first := s.request(methodChangesSince)
		second := s.request(methodChangesSince)
		if waited := time.Since(begin); waited != DefaultRequestTimeout+DefaultRetryTime {
			t.Errorf("asked again after %v", waited)
		}
		s.reply(first, `{"documents":[{"id":"late","_deleted":false}],"checkpoint":null}`)
		s.reply(second, `{"documents":[],"checkpoint":null}`)
		s.quiet()
		if errs := r.errors(); len(errs) != 1 || !errors.Is(errs[0], ErrTimeout) {
			t.Errorf("told errors %v", errs)
		}
		if r.get("late") != "" {
			t.Error("an answer that came too late was taken")
		}

		t.Log("the token is asked for once")
		s = play(r, nil)
		s.request(methodToken)
		time.Sleep(DefaultRequestTimeout + time.Second)
		if err := r.hangUp(); !errors.Is(err, ErrTimeout) {
			t.Errorf("the session ended with %v", err)
		}
	})
}

func TestRemoteErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		for _, id := range []string{"a", "b", "c", "d"} {
			r.put(`{"id":"` + id + `"}`)
		}
		s := play(r, nil)
		s.handshake()
		s.reply(s.request(methodChangesSince), `{"documents":[],"checkpoint":null}`)
		taken := map[string]bool{}
		begin := time.Now()
		for taken["c"] == false {
			m := s.request(methodWrite)
			ids := m.Get("params.0.#.newDocumentState.id").Raw
			if strings.Contains(ids, `"c"`) && time.Since(begin) < DefaultRetryTime {
				s.say(`{"id":%s,"result":null,"error":{"name":"RxError","message":"schema"}}`, m.Get("id").Raw)
				continue
			}
			for _, id := range m.Get("params.0.#.newDocumentState.id").Array() {
				taken[id.Str] = true
			}
			s.reply(m, `[]`)
		}
		s.quiet()
		if len(taken) != 4 {
			t.Errorf("taken were %v", taken)
		}
		errs := r.errors()
		if len(errs) != 1 || !errors.Is(errs[0], ErrRemote) || !errors.Is(errs[0], ErrDocument) || !strings.Contains(errs[0].Error(), `"c"`) {
			t.Errorf("told errors %v", errs)
		}
		if waited := time.Since(begin); waited != DefaultRetryTime {
			t.Errorf("tried again after %v", waited)
		}
	})
}

// TestTooLong: an event that is longer than is taken is made up for by asking, and an answer by asking for less.
func TestTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		m := s.request(methodChangesSince)
		if n := m.Get("params.1").Int(); n != defaultBatch {
			t.Errorf("asked for %d documents", n)
		}
		s.say(`{"chunk":{"id":"c","index":0,"total":100000,"data":"x"}}`)
		m = s.request(methodChangesSince)
		if n := m.Get("params.1").Int(); n != defaultBatch/4 {
			t.Errorf("asked for %d documents", n)
		}
		s.say(`{"chunk":{"id":"c","index":1,"total":100000,"data":"x"}}`)
		s.reply(m, `{"documents":[],"checkpoint":null}`)
		s.reply(s.request(methodChangesSince), `{"documents":[],"checkpoint":null}`) // it may have been an event
		s.quiet()
		s.say(`{"chunk":{"id":"d","index":0,"total":100000,"data":"x"}}`)
		s.reply(s.request(methodChangesSince), `{"documents":[],"checkpoint":null}`)
		s.quiet()
	})
}

// TestEventsDuringAPull: what was told before the answer came is part of it, and may be older.
func TestEventsDuringAPull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		m := s.request(methodChangesSince)
		s.say(`{"id":"masterChangeStream$","result":{"documents":[{"id":"a","n":1,"_deleted":false}],"checkpoint":{"lwt":1}}}`)
		s.reply(m, `{"documents":[{"id":"a","n":2,"_deleted":false}],"checkpoint":{"lwt":2}}`)
		s.quiet()
		if r.get("a") != `{"id":"a","n":2}` {
			t.Errorf("held is %s", r.get("a"))
		}
		if down, _ := r.meta.marks("room-1|peer"); string(down) != `{"lwt":2}` {
			t.Errorf("the checkpoint is %s", down)
		}
	})
}

// TestFloodOfEvents: events that wait while a conflict handler takes its time are bounded.
func TestFloodOfEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		m := s.request(methodChangesSince)
		event := `{"id":"masterChangeStream$","result":{"documents":[{"id":"a","text":"` + strings.Repeat("x", 10_000) + `","_deleted":false}],"checkpoint":{"lwt":1}}}`
		for range 2 * maxEventBytes / len(event) {
			s.say("%s", event)
		}
		s.reply(m, `{"documents":[],"checkpoint":null}`)
		s.reply(s.request(methodChangesSince), `{"documents":[{"id":"a","n":1,"_deleted":false}],"checkpoint":{"lwt":2}}`)
		s.quiet()
		if r.get("a") != `{"id":"a","n":1}` {
			t.Errorf("held is %.50s", r.get("a"))
		}
	})
}
