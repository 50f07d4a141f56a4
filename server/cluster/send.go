package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/shoaldb/shoal/server/hub"
)

// op is something for the sender to do, in the order in which it is asked to: a signal must not overtake the news that its
// sender is there.
type op struct {
	kind     opKind
	room     string
	presence hub.Presence
	node     string
	text     []byte
}

type opKind int

const (
	opJoined opKind = iota
	opLeft
	opSignal
	opSync  // tell a node everything
	opBeat  // say that this node is there
	opHello // ask others to do so
)

// sender publishes. What it has published is what other nodes are to know, whether or not it has reached them.
type sender struct {
	*Cluster
	seq     uint64
	members map[string]map[string]hub.Presence // by room and peer, as of seq
	changes []change                           // since seq
}

func newSender(c *Cluster) *sender {
	return &sender{Cluster: c, members: make(map[string]map[string]hub.Presence)}
}

func (s *sender) run(ctx context.Context) {
	beat := time.NewTicker(s.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			s.publish(presenceOf, update{Node: s.node, Seq: s.seq, Bye: true})
			s.nc.FlushTimeout(time.Second) // others notice anyway, later
			return
		case <-beat.C:
			s.beat()
		case <-s.wake:
			for _, o := range s.take() {
				s.do(&o)
			}
			s.flush()
		}
	}
}

func (s *sender) do(o *op) {
	switch o.kind {
	case opJoined:
		s.note(joined(o.room, o.presence), o.presence)
	case opLeft:
		s.note(change{Room: o.room, Peer: o.presence.Peer, Left: true}, o.presence)
	case opSignal:
		s.flush()
		if s.nc.Publish(s.opts.Name+signalTo+o.node, o.text) == nil {
			s.stats.sent.Add(1)
		} else {
			s.stats.lost.Add(1)
		}
	case opSync:
		s.flush()
		s.tell(o.node)
	case opBeat:
		s.flush()
		s.beat()
	case opHello:
		s.publish(helloOf, update{Node: s.node})
		s.beat()
	}
}

// note takes up a change that is to be told.
func (s *sender) note(c change, p hub.Presence) {
	room := s.members[c.Room]
	switch {
	case !c.Left && room == nil:
		s.members[c.Room] = map[string]hub.Presence{c.Peer: p}
	case !c.Left:
		room[c.Peer] = p
	default:
		delete(room, c.Peer)
		if len(room) == 0 {
			delete(s.members, c.Room)
		}
	}
	if s.changes = append(s.changes, c); len(s.changes) == changesMax {
		s.flush()
	}
}

// flush tells what has changed.
func (s *sender) flush() {
	if len(s.changes) == 0 {
		return
	}
	s.seq++
	s.publish(presenceOf, update{Node: s.node, Seq: s.seq, Changes: s.changes})
	s.changes = s.changes[:0]
}

func (s *sender) beat() { s.publish(presenceOf, update{Node: s.node, Seq: s.seq}) }

// tell tells a node everything.
func (s *sender) tell(node string) {
	parts := s.parts()
	for i, part := range parts {
		s.publish(stateTo+node, state{Node: s.node, Seq: s.seq, Part: i, Parts: len(parts), Changes: part})
	}
}

// parts divides everything. It does so in one way for one seq: a node that asked twice may put together parts of both answers.
func (s *sender) parts() [][]change {
	var all []change
	for _, room := range slices.Sorted(maps.Keys(s.members)) {
		for _, peer := range slices.Sorted(maps.Keys(s.members[room])) {
			all = append(all, joined(room, s.members[room][peer]))
		}
	}
	if len(all) == 0 {
		return [][]change{nil}
	}
	return slices.Collect(slices.Chunk(all, changesMax))
}

func (s *sender) publish(subject string, v any) {
	data, err := json.Marshal(v)
	if err == nil {
		err = s.nc.Publish(s.opts.Name+subject, data)
	}
	if err != nil && s.up.Load() {
		s.stats.lost.Add(1)
		s.opts.Logger.Debug("not published", "subject", subject, "err", err)
	}
}
