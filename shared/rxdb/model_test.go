package rxdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// rxClient behaves as an RxDB 17 client does, with its default conflict handler: what its storage and its replication protocol do,
// in few words. Clients can be connected to one another, too.
type rxClient struct {
	t        testing.TB
	token    string
	messages *messages

	mu    sync.Mutex // guards the following fields
	docs  map[string]rxDoc
	clock int
	links []*rxLink
	metas map[string]*rxMeta // by the other side's token
}

type rxState map[string]any // a document state

type rxDoc struct {
	state rxState
	lwt   int
}

type rxMeta struct {
	assumed map[string]rxState
	down    any // checkpoint of the master
	up      int // lwt
}

// messages counts what is sent, and fails the test when it does not end.
type messages struct {
	mu    sync.Mutex
	n     int
	limit int
}

func (m *messages) add(t testing.TB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n++; m.n == m.limit {
		t.Errorf("%d messages, and no end of it", m.n)
	}
}

func (m *messages) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n >= m.limit
}

func (m *messages) since(before int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n - before
}

func newClient17(t testing.TB, token string, m *messages) *rxClient {
	return &rxClient{t: t, token: token, messages: m, docs: make(map[string]rxDoc), metas: make(map[string]*rxMeta)}
}

// put writes a document as a user does.
func (c *rxClient) put(id string, fields map[string]any) {
	state := rxState{"id": id, "_deleted": false}
	maps.Copy(state, fields)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write(id, state)
}

func (c *rxClient) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := maps.Clone(c.docs[id].state)
	state["_deleted"] = true
	c.write(id, state)
}

// write stores a state and tells all links; mu is held.
func (c *rxClient) write(id string, state rxState) {
	c.clock++
	c.docs[id] = rxDoc{state, c.clock}
	for _, l := range c.links {
		if l.master {
			l.out <- answer(changeStream, mustJSON(map[string]any{"documents": []rxState{state}, "checkpoint": map[string]any{"id": id, "lwt": c.clock}}))
		}
		signal(l.work)
	}
}

// live returns the documents that are not deleted.
func (c *rxClient) live() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]string)
	for id, d := range c.docs {
		if d.state["_deleted"] != true {
			s := maps.Clone(d.state)
			delete(s, "_deleted")
			all[id] = string(mustJSON(s))
		}
	}
	return all
}

func (r *replica) live() map[string]string {
	all := make(map[string]string)
	for d := range r.coll.All() {
		all[d.ID] = string(canonical(d.Body))
	}
	return all
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// rxLink is one connection of a client.
type rxLink struct {
	*rxClient
	conn   *end
	out    chan []byte // messages to be sent
	work   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	// The following fields are guarded by rxClient.mu.
	master  bool
	waiting map[string]chan message
	events  []message
	asked   int
}

// connect begins to replicate over conn.
func (c *rxClient) connect(conn *end) *rxLink {
	l := &rxLink{rxClient: c, conn: conn, out: make(chan []byte, 100_000), work: make(chan struct{}, 1), waiting: make(map[string]chan message)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.done.Go(l.send)
	l.done.Go(l.read)
	l.done.Go(l.run)
	return l
}

func (l *rxLink) close() {
	l.cancel()
	l.conn.Close()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links = slices.DeleteFunc(l.links, func(o *rxLink) bool { return o == l })
}

func (l *rxLink) send() {
	rng := newRand()
	for {
		select {
		case m := <-l.out:
			l.messages.add(l.t)
			time.Sleep(time.Millisecond) // a network, in the bubble's time
			for _, text := range split(m, rng) {
				if l.conn.Send(l.ctx, text) != nil {
					return
				}
			}
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *rxLink) read() {
	var j joiner
	for {
		text, err := l.conn.Receive(l.ctx)
		if err != nil {
			l.cancel()
			return
		}
		joined, _, err := j.join(text)
		if err != nil {
			l.t.Errorf("client is sent %.100s: %v", text, err)
			return
		}
		if joined == nil {
			continue
		}
		m, err := parse(joined)
		if err != nil {
			l.t.Errorf("client is sent %.100s: %v", joined, err)
			return
		}
		l.mu.Lock()
		l.take(m)
		l.mu.Unlock()
	}
}

// take deals with a message; mu is held.
func (l *rxLink) take(m message) {
	switch m.method {
	case "":
		if c := l.waiting[m.id]; c != nil {
			delete(l.waiting, m.id)
			c <- m
		} else if m.id == changeStream {
			l.events = append(l.events, m)
			signal(l.work)
		}
	case methodToken:
		l.out <- answer(m.id, quote(l.token))
	case methodChangesSince:
		l.out <- answer(m.id, mustJSON(l.changesSince(int(m.param(0).Get("lwt").Int()), int(m.param(1).Int()))))
	case methodWrite:
		l.out <- answer(m.id, mustJSON(l.masterWrite(m)))
	}
}

func (l *rxLink) changesSince(lwt, limit int) map[string]any {
	docs := slices.SortedFunc(maps.Values(l.docs), func(a, b rxDoc) int { return a.lwt - b.lwt })
	docs = slices.DeleteFunc(docs, func(d rxDoc) bool { return d.lwt <= lwt })
	docs = docs[:min(limit, len(docs))]
	states := []rxState{}
	for _, d := range docs {
		states = append(states, d.state)
		lwt = d.lwt
	}
	return map[string]any{"documents": states, "checkpoint": map[string]any{"id": "x", "lwt": lwt}}
}

func (l *rxLink) masterWrite(m message) []rxState {
	conflicts := []rxState{}
	for _, row := range m.param(0).Array() {
		state := stateOf(l.t, []byte(row.Get("newDocumentState").Raw))
		id := state["id"].(string)
		held, ok := l.docs[id]
		if a := row.Get("assumedMasterState"); ok && (!a.IsObject() || !reflect.DeepEqual(stateOf(l.t, []byte(a.Raw)), held.state)) {
			conflicts = append(conflicts, held.state)
			continue
		}
		l.write(id, state)
	}
	return conflicts
}

func stateOf(t testing.TB, raw []byte) rxState {
	var s rxState
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Errorf("state %s: %v", raw, err)
	}
	return s
}

var errLinkClosed = errors.New("link closed")

func (l *rxLink) ask(method string, params ...any) (message, error) {
	l.mu.Lock()
	l.asked++
	id := fmt.Sprintf("%s|%d", l.token, l.asked)
	c := make(chan message, 1)
	l.waiting[id] = c
	raw := make([][]byte, len(params))
	for i, p := range params {
		raw[i] = mustJSON(p)
	}
	l.out <- request(id, method, raw...)
	l.mu.Unlock()
	select {
	case m := <-c:
		if m.failed() {
			return m, m.remoteError()
		}
		return m, nil
	case <-l.ctx.Done():
		return message{}, errLinkClosed
	}
}

func (l *rxLink) run() {
	m, err := l.ask(methodToken)
	if err != nil {
		return
	}
	peer := m.result.Str
	l.mu.Lock()
	l.master = IsMaster(l.token, peer)
	l.links = append(l.links, l)
	meta := l.metas[peer]
	if meta == nil {
		meta = &rxMeta{assumed: make(map[string]rxState)}
		l.metas[peer] = meta
	}
	if l.master {
		l.out <- answer(changeStream, quote(resync))
	}
	l.mu.Unlock()
	if l.master {
		return
	}
	for err := l.pull(meta); ; {
		if err == nil {
			err = l.push(meta)
		}
		if err != nil || l.messages.over() {
			if !errors.Is(err, errLinkClosed) && err != nil {
				l.t.Errorf("client: %v", err)
			}
			return
		}
		select {
		case <-l.work:
		case <-l.ctx.Done():
			return
		}
		err = l.takeEvents(meta)
	}
}

func (l *rxLink) pull(meta *rxMeta) error {
	for {
		m, err := l.ask(methodChangesSince, meta.down, 20)
		if err != nil {
			return err
		}
		docs := m.result.Get("documents").Array()
		l.mu.Lock()
		for _, d := range docs {
			l.fromMaster(meta, stateOf(l.t, []byte(d.Raw)))
		}
		if cp := m.result.Get("checkpoint"); cp.IsObject() {
			meta.down = cp.Value()
		}
		l.mu.Unlock()
		if len(docs) < 20 {
			return nil
		}
	}
}

// fromMaster takes a state of the master; mu is held.
func (l *rxLink) fromMaster(meta *rxMeta, state rxState) {
	id := state["id"].(string)
	held, ok := l.docs[id]
	assumed, known := meta.assumed[id]
	if ok && (!known || !reflect.DeepEqual(assumed, held.state)) {
		return // there is something to push
	}
	if !ok || !reflect.DeepEqual(held.state, state) {
		l.write(id, state)
	}
	meta.assumed[id] = state
}

func (l *rxLink) takeEvents(meta *rxMeta) error {
	l.mu.Lock()
	events := l.events
	l.events = nil
	for _, e := range events {
		if e.result.Str == resync {
			l.mu.Unlock()
			return l.pull(meta)
		}
		for _, d := range e.result.Get("documents").Array() {
			l.fromMaster(meta, stateOf(l.t, []byte(d.Raw)))
		}
		meta.down = e.result.Get("checkpoint").Value()
	}
	l.mu.Unlock()
	return nil
}

func (l *rxLink) push(meta *rxMeta) error {
	for !l.messages.over() {
		rows, up := []map[string]any{}, 0
		l.mu.Lock()
		docs := slices.SortedFunc(maps.Values(l.docs), func(a, b rxDoc) int { return a.lwt - b.lwt })
		for _, d := range docs {
			if d.lwt <= meta.up || len(rows) == 20 {
				continue
			}
			up = d.lwt
			id := d.state["id"].(string)
			assumed, known := meta.assumed[id]
			if known && reflect.DeepEqual(assumed, d.state) {
				continue
			}
			row := map[string]any{"newDocumentState": d.state}
			if known {
				row["assumedMasterState"] = assumed
			}
			rows = append(rows, row)
		}
		l.mu.Unlock()
		if up == 0 {
			return nil
		}
		if len(rows) > 0 {
			m, err := l.ask(methodWrite, rows)
			if err != nil {
				return err
			}
			l.pushed(meta, rows, m)
		}
		meta.up = up
	}
	return nil
}

// pushed notes what became of rows. The master wins conflicts.
func (l *rxLink) pushed(meta *rxMeta, rows []map[string]any, m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conflicts := make(map[string]rxState)
	for _, c := range m.result.Array() {
		s := stateOf(l.t, []byte(c.Raw))
		conflicts[s["id"].(string)] = s
	}
	for _, r := range rows {
		sent := r["newDocumentState"].(rxState)
		id := sent["id"].(string)
		real, conflict := conflicts[id]
		switch {
		case !conflict:
			meta.assumed[id] = sent
		case reflect.DeepEqual(l.docs[id].state, sent):
			meta.assumed[id] = real
			l.write(id, real)
		}
	}
}
