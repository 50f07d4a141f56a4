package rxdb

import (
	"context"
	"encoding/json"
	"fmt"
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

// play begins a session of r with a script. What comes first was said before the session began: it is there even when the
// session hangs up at once.
func play(r *replica, change func(*Config), first ...string) *script {
	r.t.Helper()
	a, b := pipe()
	s := &script{t: r.t, conn: b}
	for _, text := range first {
		s.say("%s", text)
	}
	r.session(a, change)
	return s
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
