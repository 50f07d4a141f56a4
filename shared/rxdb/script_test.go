package rxdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/tidwall/gjson"
)

// script is the other end of a session, which a test plays by hand.
type script struct {
	t    testing.TB
	conn *end
	join joiner
}

// play begins a session of r with a script.
func play(r *replica, change func(*Config)) *script {
	a, b := pipe()
	r.session(a, change)
	return &script{t: r.t, conn: b}
}

func (s *script) say(format string, args ...any) {
	s.t.Helper()
	if err := s.conn.Send(context.Background(), fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

// next returns the next message of the session.
func (s *script) next() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for {
		text, err := s.conn.Receive(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		if m, _, err := s.join.join(text); err != nil {
			s.t.Fatal(err)
		} else if m != nil {
			return string(m)
		}
	}
}

// expect checks the next message, but for ids of requests.
func (s *script) expect(want string) gjson.Result {
	s.t.Helper()
	got := s.next()
	m := gjson.Parse(got)
	var x, y map[string]any
	if err := json.Unmarshal([]byte(got), &x); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &y); err != nil {
		s.t.Fatal(err)
	}
	if y["id"] == nil {
		delete(x, "id")
	}
	if !reflect.DeepEqual(x, y) {
		s.t.Fatalf("the session says\n\t%s\nwant\n\t%s", got, want)
	}
	return m
}

// request waits for a request of that method and returns it; answers and events are skipped.
func (s *script) request(method string) gjson.Result {
	s.t.Helper()
	for {
		if m := gjson.Parse(s.next()); m.Get("method").Str == method {
			return m
		}
	}
}

func (s *script) reply(to gjson.Result, result string) {
	s.t.Helper()
	s.say(`{"id":%s,"result":%s}`, to.Get("id").Raw, result)
}

// quiet checks that the session says nothing.
func (s *script) quiet() {
	s.t.Helper()
	synctest.Wait()
	s.conn.in.mu.Lock()
	defer s.conn.in.mu.Unlock()
	if len(s.conn.in.list) > 0 {
		s.t.Fatalf("the session says %s", s.conn.in.list[0])
	}
}

// handshake tells the peer's token.
func (s *script) handshake() {
	s.t.Helper()
	s.reply(s.expect(`{"method":"token","params":[]}`), `"peer"`)
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestMasterAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		r.put(`{"id":"a","title":"Milk"}`)
		r.put(`{"id":"b","title":"Bread"}`)
		r.put(`{"id":"c","n":1.5}`)
		r.remove("b")
		r.reopen(masterToken, nil)
		r.put(`{"id":"e","n":2}`)
		r.remove("e")
		s := play(r, nil)
		s.request(methodToken)
		s.say(`{"id":"1","method":"token","params":[]}`)
		s.expect(`{"id":"1","result":"` + masterToken + `"}`)

		s.say(`{"method":"masterChangesSince","params":[null,2],"id":"2"}`)
		m := s.next()
		want := `{"id":"2","result":{"documents":[{"id":"a","title":"Milk","_deleted":false},{"id":"c","n":1.5,"_deleted":false}],"checkpoint":`
		if !strings.HasPrefix(m, want) {
			t.Fatalf("got %s\nwant %s…", m, want)
		}
		cp := gjson.Get(m, "result.checkpoint").Raw
		s.say(`{"method":"masterChangesSince","params":[%s,3],"id":"3"}`, cp)
		m = s.next()
		if got := gjson.Get(m, "result.documents").Raw; got != `[{"id":"b","_deleted":true},{"id":"e","n":2,"_deleted":true}]` {
			t.Fatalf("got %s", m)
		}
		for _, foreign := range []string{`{"id":"elsewhere","lwt":3}`, `{"lwt":1.5}`, `{}`, `"x"`} {
			s.say(`{"method":"masterChangesSince","params":[%s,20],"id":"4"}`, foreign)
			if m := s.next(); gjson.Get(m, "result.documents.#").Int() != 4 {
				t.Errorf("a checkpoint of another replica, %s, is answered with %s", foreign, m)
			}
		}
		s.say(`{"id":"5","method":"masterDance","params":[]}`)
		s.quiet()
	})
}

func TestMasterWrite(t *testing.T) {
	for name, test := range map[string]struct{ before, row, conflicts, after string }{
		"new document":           {``, `{"newDocumentState":{"id":"a","n":1,"_deleted":false}}`, `[]`, `{"id":"a","n":1}`},
		"RxDB's fields":          {``, `{"newDocumentState":{"id":"a","_rev":"1-x","_meta":{"lwt":1},"_attachments":{},"_deleted":false}}`, `[]`, `{"id":"a"}`},
		"assumed is held":        {`{"id":"a","n":1,"m":2}`, `{"assumedMasterState":{"m":2,"n":1.0,"id":"a","_deleted":false},"newDocumentState":{"id":"a","n":2,"_deleted":false}}`, `[]`, `{"id":"a","n":2}`},
		"assumed is not held":    {`{"id":"a","n":3}`, `{"assumedMasterState":{"id":"a","n":1,"_deleted":false},"newDocumentState":{"id":"a","n":2,"_deleted":false}}`, `[{"id":"a","n":3,"_deleted":false}]`, `{"id":"a","n":3}`},
		"nothing assumed":        {`{"id":"a","n":3}`, `{"newDocumentState":{"id":"a","n":2,"_deleted":false}}`, `[{"id":"a","n":3,"_deleted":false}]`, `{"id":"a","n":3}`},
		"equal, nothing assumed": {`{"id":"a","n":3}`, `{"newDocumentState":{"n":3,"id":"a","_deleted":false}}`, `[]`, `{"id":"a","n":3}`},
		"delete":                 {`{"id":"a","n":3}`, `{"assumedMasterState":{"id":"a","n":3,"_deleted":false},"newDocumentState":{"id":"a","n":3,"_deleted":true}}`, `[]`, ``},
		"last row of a document": {``, `{"newDocumentState":{"id":"a","n":1,"_deleted":false}},{"newDocumentState":{"id":"a","n":2,"_deleted":false}}`, `[]`, `{"id":"a","n":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, masterToken, nil)
				defer r.close()
				if test.before != "" {
					r.put(test.before)
				}
				s := play(r, nil)
				s.handshake()
				s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
				s.say(`{"method":"masterWrite","params":[[%s]],"id":"w"}`, test.row)
				s.expect(`{"id":"w","result":` + test.conflicts + `}`)
				if got := r.get("a"); got != test.after {
					t.Errorf("held is %s, want %s", got, test.after)
				}
			})
		})
	}
}

// TestEqualWritesAreNotWritten: what another bridge has brought already makes no new version.
func TestEqualWritesAreNotWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		version := r.put(`{"id":"a","n":2}`)
		s := play(r, nil)
		s.handshake()
		s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		s.say(`{"method":"masterWrite","params":[[{"assumedMasterState":{"id":"a","n":1,"_deleted":false},"newDocumentState":{"id":"a","n":2,"_deleted":false}}]],"id":"w"}`)
		s.expect(`{"id":"w","result":[]}`)
		if d, _ := r.coll.Get("a"); d.Version != version {
			t.Errorf("the document has a new version: %v", d)
		}
	})
}

func TestMasterStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		r.put(`{"id":"a","n":0}`)
		s.quiet() // the client has not asked yet: an event would take its checkpoint past what it does not have
		s.say(`{"method":"masterChangesSince","params":[null,20],"id":"1"}`)
		cp := gjson.Get(s.next(), "result.checkpoint").Raw
		r.put(`{"id":"a","n":1}`)
		m := s.next()
		if !strings.HasPrefix(m, `{"id":"masterChangeStream$","result":{"documents":[{"id":"a","n":1,"_deleted":false}],"checkpoint":{`) {
			t.Fatalf("got %s", m)
		}
		if gjson.Get(m, "result.checkpoint").Raw == cp {
			t.Error("the event has the checkpoint from before it")
		}

		t.Log("what the client wrote is not told to it")
		s.say(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"b","_deleted":false}}]],"id":"w"}`)
		s.expect(`{"id":"w","result":[]}`)
		s.quiet()

		t.Log("a client that is far behind is told to ask, again when it missed that")
		r.many(maxEventDocs + 1)
		s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		begin := time.Now()
		s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		if waited := time.Since(begin); waited != resyncAfter {
			t.Errorf("told again after %v", waited)
		}
		s.say(`{"method":"masterChangesSince","params":[%s,1000],"id":"2"}`, cp)
		if m := s.next(); gjson.Get(m, "result.documents.#").Int() != maxEventDocs+2 { // "a" with them; "b" is its own
			t.Fatalf("got %d documents", gjson.Get(m, "result.documents.#").Int())
		}
		s.quiet()
		time.Sleep(time.Hour)
		s.quiet()
	})
}

// many writes n documents in one commit.
func (r *replica) many(n int) {
	r.t.Helper()
	writes := make([]collection.Write, n)
	for i := range writes {
		id := fmt.Sprintf("doc%05d", i)
		writes[i] = collection.Write{Kind: collection.WriteUpsert, ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, i)}
	}
	for _, res := range r.coll.Write(context.Background(), writes) {
		if res.Err != nil {
			r.t.Fatal(res.Err)
		}
	}
}

// TestMasterAnswersAreBounded: a client that asks for more than is sent at once takes fewer for the end, so it is told to go on.
func TestMasterAnswersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		for i := range 6 {
			r.put(fmt.Sprintf(`{"id":"%d","text":%q}`, i, strings.Repeat("x", maxAnswer/4)))
		}
		s := play(r, nil)
		s.handshake()
		cp, got := "null", 0
		for got < 6 {
			s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
			s.say(`{"method":"masterChangesSince","params":[%s,1000000],"id":"1"}`, cp)
			m := s.next()
			if len(m) > 2*maxAnswer {
				t.Fatalf("answer of %d bytes", len(m))
			}
			got += int(gjson.Get(m, "result.documents.#").Int())
			cp = gjson.Get(m, "result.checkpoint").Raw
		}
		s.quiet()
	})
}

// TestCheckpointsSurviveRestarts: also those of earlier runs; but not those beyond what an older copy of the log holds.
func TestCheckpointsSurviveRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer func() { r.close() }()
		ask := func(cp string) (ids, next string) {
			s := play(r, nil)
			s.handshake()
			s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
			s.say(`{"method":"masterChangesSince","params":[%s,20],"id":"1"}`, cp)
			m := s.next()
			return gjson.Get(m, "result.documents.#.id").Raw, gjson.Get(m, "result.checkpoint").Raw
		}
		check := func(cp, want string) string {
			t.Helper()
			got, next := ask(cp)
			if got != want {
				t.Errorf("after %s come %s, want %s", cp, got, want)
			}
			return next
		}
		r.put(`{"id":"a"}`)
		first := check("null", `["a"]`)
		r.reopen(masterToken, nil)
		check(first, `[]`)
		r.put(`{"id":"b"}`)
		second := check(first, `["b"]`)
		r.reopen(masterToken, nil)
		check(first, `["b"]`)
		check(second, `[]`)

		t.Log("the data directory is put back to an older state")
		r.close()
		backup := r.disk.Copy()
		r.open(masterToken, nil)
		r.put(`{"id":"c"}`)
		third := check(second, `["c"]`)
		r.close()
		r.disk = backup
		r.open(masterToken, nil)
		r.put(`{"id":"d"}`)
		check(third, `["a","b","d"]`)
		check(second, `["d"]`)
	})
}

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

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		token  string
		want   error
	}{
		"not valid":  {func(c *Config) { c.Valid = func(context.Context) (bool, error) { return false, nil } }, `"peer"`, ErrRefused},
		"own token":  {nil, `"` + masterToken + `"`, ErrSelf},
		"no token":   {nil, `null`, ErrMessage},
		"long token": {nil, `"` + strings.Repeat("x", maxIDText+1) + `"`, ErrMessage},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, masterToken, nil)
				defer r.close()
				r.put(`{"id":"secret"}`)
				s := play(r, test.change)
				s.say(`{"method":"masterChangesSince","params":[null,20],"id":"1"}`)
				s.say(`{"method":"token","params":[],"id":"2"}`)
				if test.change == nil {
					s.reply(s.request(methodToken), test.token)
				}
				synctest.Wait()
				if err := r.hangUp(); !errors.Is(err, test.want) {
					t.Errorf("the session ended with %v, want %v", err, test.want)
				}
				for _, text := range s.conn.in.list {
					if test.change != nil && strings.Contains(string(text), "secret") {
						t.Errorf("a peer that is not valid is told %s", text)
					}
				}
			})
		})
	}
}

// TestDirections: a direction that is off stays off whatever the peer asks for.
func TestDirections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		r.put(`{"id":"a"}`)
		s := play(r, func(c *Config) { c.Push, c.Pull = nil, nil })
		s.handshake()
		s.say(`{"method":"masterChangesSince","params":[null,20],"id":"1"}`)
		s.expect(`{"id":"1","result":{"documents":[],"checkpoint":null}}`)
		s.say(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"b","_deleted":false}}]],"id":"2"}`)
		s.expect(`{"id":"2","result":null,"error":{"name":"Error","message":"this replica takes no writes"}}`)
		if r.get("b") != "" {
			t.Error("a write was taken")
		}
	})
}

// TestModifiers change what goes out and comes in; what they stop stays where it is.
func TestModifiers(t *testing.T) {
	set := func(name, value string) func(context.Context, collection.Document) (collection.Document, bool, error) {
		return func(_ context.Context, d collection.Document) (collection.Document, bool, error) {
			if d.Deleted {
				return d, true, nil
			}
			d.Body = []byte(strings.Replace(string(d.Body), `"`+name+`"`, `"`+value+`"`, 1))
			return d, d.ID != "mine" && d.ID != "yours", nil
		}
	}
	for name, token := range map[string]string{"master": masterToken, "fork": forkToken} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, token, nil)
				defer r.close()
				r.put(`{"id":"a","inner":1}`)
				r.put(`{"id":"mine","inner":1}`)
				r.put(`{"id":"gone","inner":1}`)
				r.remove("gone")
				c := newClient17(t, "peer", &messages{limit: 1000})
				c.put("b", map[string]any{"outer": 1.0})
				c.put("yours", map[string]any{"outer": 1.0})
				a, b := pipe()
				r.session(a, func(cfg *Config) {
					cfg.Push, cfg.Pull = &Direction{Modifier: set("inner", "outer")}, &Direction{Modifier: set("outer", "inner")}
				})
				defer c.connect(b).close()
				settle()
				r.put(`{"id":"b","inner":2}`)
				settle()
				c.put("a", map[string]any{"outer": 3.0})
				settle()
				if got := fmt.Sprint(r.live()); got != `map[a:{"id":"a","inner":3} b:{"id":"b","inner":2} mine:{"id":"mine","inner":1}]` {
					t.Errorf("the replica has %s", got)
				}
				if got := fmt.Sprint(c.live()); got != `map[a:{"id":"a","outer":3} b:{"id":"b","outer":2} yours:{"id":"yours","outer":1}]` {
					t.Errorf("the client has %s", got)
				}
				if s := c.docs["gone"].state; len(s) != 2 {
					t.Errorf("the tombstone has fields that the modifier has not seen: %v", s)
				}
			})
		})
	}
}

// TestHostile: what a peer must not say ends the session, and nothing else.
func TestHostile(t *testing.T) {
	big := strings.Repeat("x", MaxText)
	for name, test := range map[string]struct {
		say  []string
		want error
	}{
		"no JSON":                  {[]string{`hello`}, ErrMessage},
		"no object":                {[]string{`[1]`}, ErrMessage},
		"no id":                    {[]string{`{"result":1}`}, ErrMessage},
		"id is a number":           {[]string{`{"id":1,"result":1}`}, ErrMessage},
		"deeply nested":            {[]string{strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000)}, ErrMessage},
		"text too long":            {[]string{`{"id":"` + big + `"}`}, ErrLimit},
		"chunk without data":       {[]string{`{"chunk":{"id":"c","index":0,"total":2}}`}, ErrMessage},
		"chunk is a text":          {[]string{`{"chunk":"c"}`}, ErrMessage},
		"chunk index too big":      {[]string{`{"chunk":{"id":"c","index":2,"total":2,"data":"x"}}`}, ErrMessage},
		"chunk index negative":     {[]string{`{"chunk":{"id":"c","index":-1,"total":2,"data":"x"}}`}, ErrMessage},
		"chunk index no integer":   {[]string{`{"chunk":{"id":"c","index":0.5,"total":2,"data":"x"}}`}, ErrMessage},
		"chunks change their mind": {[]string{`{"chunk":{"id":"c","index":0,"total":2,"data":"x"}}`, `{"chunk":{"id":"c","index":1,"total":3,"data":"x"}}`}, ErrMessage},
		"chunks of no JSON":        {[]string{`{"chunk":{"id":"c","index":0,"total":1,"data":"x"}}`}, ErrMessage},
		"rows are no array":        {[]string{`{"id":"1","method":"masterWrite","params":[{}]}`}, ErrMessage},
		"row is a number":          {[]string{`{"id":"1","method":"masterWrite","params":[[1]]}`}, ErrMessage},
		"batch size is a text":     {[]string{`{"id":"1","method":"masterChangesSince","params":[null,"x"]}`}, ErrMessage},
		"batch size is 0":          {[]string{`{"id":"1","method":"masterChangesSince","params":[null,0]}`}, ErrMessage},
		"params are missing":       {[]string{`{"id":"1","method":"masterWrite"}`}, ErrMessage},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, masterToken, nil)
				defer r.close()
				s := play(r, nil)
				s.handshake()
				for _, text := range test.say {
					s.say("%s", text)
				}
				synctest.Wait()
				if err := r.hangUp(); !errors.Is(err, test.want) {
					t.Errorf("the session ended with %v, want %v", err, test.want)
				}
			})
		})
	}
	for name, reply := range map[string]string{
		"documents missing":    `{"checkpoint":null}`,
		"result is a number":   `7`,
		"document is a number": `{"documents":[7],"checkpoint":null}`,
		"checkpoint too long":  `{"documents":[],"checkpoint":{"id":"` + strings.Repeat("x", maxCheckpoint) + `"}}`,
		"more than asked for":  `{"documents":[{"id":"1"},{"id":"2"},{"id":"3"}],"checkpoint":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newReplica(t, forkToken, nil)
				defer r.close()
				s := play(r, func(c *Config) { c.Pull = &Direction{BatchSize: 2} })
				s.handshake()
				s.reply(s.request(methodChangesSince), reply)
				synctest.Wait()
				if err := r.hangUp(); !errors.Is(err, ErrMessage) {
					t.Errorf("the session ended with %v", err)
				}
			})
		})
	}
}

// TestRowsThatCannotBeStored: the peer is told, nothing is written, and the session goes on.
func TestRowsThatCannotBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, masterToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		s.expect(`{"id":"masterChangeStream$","result":"RESYNC"}`)
		for _, row := range []string{
			`{"newDocumentState":{"_deleted":false}}`,
			`{"newDocumentState":{"id":7,"_deleted":false}}`,
			`{"newDocumentState":{"id":"` + strings.Repeat("k", 5000) + `","_deleted":false}}`,
			`{"newDocumentState":{"id":"a","_attachments":{"x":{"digest":"d"}},"_deleted":false}}`,
		} {
			s.say(`{"method":"masterWrite","params":[[{"newDocumentState":{"id":"ok","_deleted":false}},%s]],"id":"1"}`, row)
			if m := s.next(); !strings.Contains(gjson.Get(m, "error.message").Str, ErrDocument.Error()) {
				t.Errorf("%.60s is answered with %s", row, m)
			}
		}
		if r.coll.Count() != 0 {
			t.Errorf("%d documents were written", r.coll.Count())
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

func TestPeerGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newReplica(t, forkToken, nil)
		defer r.close()
		s := play(r, nil)
		s.handshake()
		s.request(methodChangesSince)
		s.conn.Close()
		synctest.Wait()
		if err := r.hangUp(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the session ended with %v", err)
		}
	})
}
