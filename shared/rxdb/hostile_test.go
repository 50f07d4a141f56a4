package rxdb

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tidwall/gjson"
)

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
				s := play(r, test.change,
					`{"method":"masterChangesSince","params":[null,20],"id":"1"}`,
					`{"method":"token","params":[],"id":"2"}`)
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
