package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

const (
	// askAgain is how long the answer of a node that was asked for everything may take.
	askAgain = time.Second
	// maxBacklog is how many updates are kept while the answer is awaited.
	maxBacklog = 1000
	// maxParts bounds the parts of an answer: 50 million members.
	maxParts = 100_000
	// maxName is the longest name of a node in bytes.
	maxName = 64
)

// receiver handles what other nodes say.
type receiver struct {
	*Cluster
	hub   *hub.Hub
	nodes map[string]*node
	env   protocol.Envelope
}

// node is what is known of another one.
type node struct {
	name    string
	heard   time.Time
	seq     uint64    // of the last update that was taken
	known   bool      // members are those that it had at seq
	asked   time.Time // for everything; zero where it was not
	backlog []update  // that came since
	parts   map[int][]change
	at      uint64 // seq of parts
	members map[memberKey]*hub.Remote
}

type memberKey struct{ room, peer string }

func newReceiver(c *Cluster, h *hub.Hub) *receiver {
	return &receiver{Cluster: c, hub: h, nodes: make(map[string]*node)}
}

func (r *receiver) run(ctx context.Context) {
	t := time.NewTicker(r.opts.Heartbeat / 2)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-r.in:
			r.handle(m, time.Now())
		case <-t.C:
			now := time.Now()
			if late := now.Sub(last) - r.opts.Heartbeat; late > 0 { // this process was not running: its clock says nothing of others
				for _, n := range r.nodes {
					n.heard = n.heard.Add(late)
				}
			}
			last = now
			r.sweep(now)
		}
	}
}

func (r *receiver) handle(m *nats.Msg, now time.Time) {
	subject := strings.TrimPrefix(m.Subject, r.opts.Name)
	switch {
	case subject == presenceOf:
		var u update
		if r.read(m, &u) && r.another(m, u.Node) {
			r.update(&u, now)
		}
	case subject == helloOf:
		r.put(op{kind: opBeat})
	case strings.HasPrefix(subject, signalTo):
		r.stats.received.Add(1)
		if err := r.env.Scan(m.Data); err != nil {
			r.bad(m, err)
			return
		}
		r.hub.Deliver(&r.env)
	case strings.HasPrefix(subject, syncTo):
		if node := string(m.Data); r.another(m, node) {
			r.put(op{kind: opSync, node: node})
		}
	case strings.HasPrefix(subject, stateTo):
		var s state
		if !r.read(m, &s) {
			return
		}
		if n := r.nodes[s.Node]; n != nil {
			r.state(n, &s)
		}
	}
}

func (r *receiver) read(m *nats.Msg, v any) bool {
	if err := json.Unmarshal(m.Data, v); err != nil {
		r.bad(m, err)
		return false
	}
	return true
}

// another reports whether that can be the name of another node, and of a subject's part.
func (r *receiver) another(m *nats.Msg, node string) bool {
	ok := node != "" && len(node) <= maxName && strings.IndexFunc(node, func(c rune) bool {
		return c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z'
	}) < 0
	if !ok {
		r.bad(m, errBadName)
	}
	return ok && node != r.node
}

var errBadName = errors.New("no name of a node")

func (r *receiver) bad(m *nats.Msg, err error) {
	r.stats.lost.Add(1)
	r.opts.Logger.Warn("bad message of another node", "subject", m.Subject, "err", err)
}

// update takes what a node says of itself.
func (r *receiver) update(u *update, now time.Time) {
	n := r.nodes[u.Node]
	switch {
	case u.Bye:
		if n != nil {
			r.drop(n, "stopped")
		}
		return
	case n == nil:
		n = &node{name: u.Node, members: make(map[memberKey]*hub.Remote)}
		r.nodes[u.Node] = n
		r.stats.nodes.Store(int64(len(r.nodes)))
		r.opts.Logger.Info("node is there", "node", u.Node)
	}
	n.heard = now
	switch {
	case !n.known:
		if len(u.Changes) > 0 {
			n.backlog = append(n.backlog, *u)
		}
		if now.Sub(n.asked) >= askAgain || len(n.backlog) > maxBacklog {
			r.ask(n, now)
		}
	case len(u.Changes) == 0 && u.Seq != n.seq:
		r.ask(n, now)
	case len(u.Changes) > 0 && u.Seq == n.seq+1:
		r.apply(n, u)
	case len(u.Changes) > 0 && u.Seq > n.seq:
		r.ask(n, now)
		n.backlog = append(n.backlog, *u)
	}
}

// ask asks a node for everything.
func (r *receiver) ask(n *node, now time.Time) {
	n.known, n.asked, n.backlog, n.parts = false, now, nil, nil
	r.stats.syncs.Add(1)
	if err := r.nc.Publish(r.opts.Name+syncTo+n.name, []byte(r.node)); err != nil {
		r.stats.lost.Add(1) // asked again when the node says something
	}
}

// state takes a part of the answer.
func (r *receiver) state(n *node, s *state) {
	if n.known || s.Parts < 1 || s.Parts > maxParts || s.Part < 0 || s.Part >= s.Parts {
		return
	}
	if n.parts == nil || n.at != s.Seq {
		n.parts, n.at = make(map[int][]change), s.Seq
	}
	n.parts[s.Part] = s.Changes
	if len(n.parts) < s.Parts {
		return
	}
	there := make(map[memberKey]bool)
	for _, part := range n.parts {
		for _, c := range part {
			there[memberKey{c.Room, c.Peer}] = true
			r.change(n, &c)
		}
	}
	for key := range n.members {
		if !there[key] {
			r.change(n, &change{Room: key.room, Peer: key.peer, Left: true})
		}
	}
	n.seq, n.known, n.parts, n.asked = s.Seq, true, nil, time.Time{}
	backlog := n.backlog
	n.backlog = nil
	for _, u := range backlog {
		if u.Seq > n.seq {
			r.update(&u, n.heard)
		}
	}
}

func (r *receiver) apply(n *node, u *update) {
	for _, c := range u.Changes {
		r.change(n, &c)
	}
	n.seq = u.Seq
}

// change takes what is true of a peer. What is true already is passed over.
func (r *receiver) change(n *node, c *change) {
	key := memberKey{c.Room, c.Peer}
	old := n.members[key]
	switch {
	case !c.valid():
		r.stats.lost.Add(1)
	case c.Left && old != nil:
		delete(n.members, key)
		r.stats.peers.Add(-1)
		r.hub.RemoteLeft(c.Room, old)
	case !c.Left && (old == nil || old.Presence() != c.presence()):
		if old == nil {
			r.stats.peers.Add(1)
		}
		p := r.hub.NewRemote(n.name, c.presence())
		n.members[key] = p
		r.hub.RemoteJoined(c.Room, p)
	}
}

// sweep gives up nodes that are not heard any more, and asks those again that did not answer.
func (r *receiver) sweep(now time.Time) {
	for _, n := range r.nodes {
		switch {
		case now.Sub(n.heard) > r.opts.Timeout:
			r.drop(n, "silent")
		case !n.known && now.Sub(n.asked) >= askAgain:
			r.ask(n, now)
		}
	}
}

// drop has all peers of a node leave.
func (r *receiver) drop(n *node, why string) {
	delete(r.nodes, n.name)
	r.stats.nodes.Store(int64(len(r.nodes)))
	r.opts.Logger.Info("node is gone", "node", n.name, "reason", why, "peers", len(n.members))
	for key, p := range n.members {
		r.stats.peers.Add(-1)
		r.hub.RemoteLeft(key.room, p)
	}
}
