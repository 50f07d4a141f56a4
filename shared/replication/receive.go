package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/store"
)

// receiver is what a session has taken from its peer.
type receiver struct {
	seen [lanes]*document.Knowledge // what the peer told on each lane; never changed, only replaced

	pulling   bool                      // a Pull was sent, the end of the walk has not come
	complete  bool                      // a walk has reached the end: claims count
	live      map[string]store.Position // documents that came on the live lane while pulling, with their positions
	early     *document.Knowledge       // claimed by live frames that overtook the end of the walk; good once that comes
	received  uint64
	remaining uint64
}

func newReceiver(s *Session) receiver {
	k := s.send.told
	return receiver{seen: [lanes]*document.Knowledge{k, k}}
}

// Received is a frame and the lane on which it came.
type Received struct {
	Lane  Lane
	Frame protocol.Frame
}

// Receive takes frames, in the order in which they came, and blocks until what they brought is stored. Several at once are stored
// together. An error is the peer's fault if it matches protocol.FaultError or protocol.ErrFrame. If it matches
// collection.ErrIdentity both sides have to open anew.
func (s *Session) Receive(ctx context.Context, now time.Time, frames ...Received) error {
	for len(frames) > 0 {
		n := 0
		for n < len(frames) && isChanges(frames[n].Frame) {
			n++
		}
		if n > 0 {
			if err := s.takeChanges(ctx, now, frames[:n]); err != nil {
				return err
			}
			frames = frames[n:]
			continue
		}
		p, ok := frames[0].Frame.(*protocol.Pull)
		if !ok {
			return protocol.Faultf(protocol.FaultFrame, "frame %T within a session", frames[0].Frame)
		}
		if err := s.takePull(ctx, p); err != nil {
			return err
		}
		frames = frames[1:]
	}
	return nil
}

func isChanges(f protocol.Frame) bool {
	_, ok := f.(*protocol.Changes)
	return ok
}

func (s *Session) takePull(ctx context.Context, f *protocol.Pull) error {
	if err := s.coll.Recognise(ctx, f.Known); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.send.on {
		return protocol.Faultf(protocol.FaultFrame, "Pull of what this side does not push")
	}
	if err := s.hear(f.Known); err != nil {
		return err
	}
	s.coll.View(func(v collection.View) { s.send.begin(v, f) })
	s.cfg.Wake()
	return nil
}

// hear takes in what the peer tells to know. Callers hold mu.
func (s *Session) hear(k *document.Knowledge) error {
	if k.IsEmpty() {
		return nil
	}
	told := s.send.told.Clone()
	told.Merge(k)
	s.send.told, s.send.swept = told, false
	s.coll.Hear(s.remote, told)
	if s.send.told.Len() > document.MaxReplicas {
		return protocol.Faultf(protocol.FaultLimit, "knowledge of more than %d replicas", document.MaxReplicas)
	}
	return nil
}

// takeChanges stores what frames, all of them Changes, bring.
func (s *Session) takeChanges(ctx context.Context, now time.Time, frames []Received) error {
	ins := make([]*collection.Incoming, 0, len(frames))
	ended := false
	for _, r := range frames {
		f := r.Frame.(*protocol.Changes)
		in, err := s.incoming(r.Lane, f)
		if err != nil {
			return err
		}
		ended = ended || f.End
		if err := s.modifyIncoming(ctx, in); err != nil {
			return err
		}
		ins = append(ins, in)
	}
	accepted, err := s.coll.Accept(ctx, ins...)
	if len(accepted.Clashes) > 0 && s.cfg.OnClash != nil {
		s.cfg.OnClash(accepted.Clashes)
	}
	switch {
	case errors.Is(err, collection.ErrClockSkew):
		return protocol.Faultf(protocol.FaultClock, "%v", err)
	case errors.Is(err, collection.ErrInvalid):
		return protocol.Faultf(protocol.FaultDocument, "%v", err)
	case err != nil:
		return err
	}
	if ended {
		s.cfg.Turns.leave(s)
	} else {
		s.cfg.Turns.progress(s, now)
	}
	s.cfg.Wake()
	return nil
}

// incoming turns a frame into what the collection is to accept.
func (s *Session) incoming(lane Lane, f *protocol.Changes) (*collection.Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rcv := &s.recv
	switch {
	case s.cfg.Pull == nil && len(f.Entries) > 0:
		return nil, protocol.Faultf(protocol.FaultFrame, "entries, which this side does not pull")
	case f.End && (lane != Bulk || !rcv.pulling):
		return nil, protocol.Faultf(protocol.FaultFrame, "end of a walk that nobody asked for")
	}
	if err := s.hear(f.Seen); err != nil {
		return nil, err
	}
	if !f.Seen.IsEmpty() {
		k := rcv.seen[lane].Clone()
		k.Merge(f.Seen)
		rcv.seen[lane] = k
	}
	in := &collection.Incoming{Beaten: f.Beaten, Seen: rcv.seen[lane]}
	if lane == Bulk {
		rcv.takeBulk(f, in)
	} else {
		rcv.takeLive(f, in)
	}
	if s.cfg.Pull != nil && s.cfg.Pull.Modifier == nil {
		in.Claim = rcv.claim(f, lane, s.remote)
	}
	return in, nil
}

// takeBulk takes a frame of the walk. What came live meanwhile is not replaced by what stands further up in the sender's log.
func (rcv *receiver) takeBulk(f *protocol.Changes, in *collection.Incoming) {
	for i := range f.Entries {
		e := &f.Entries[i]
		if rcv.live[e.ID] > store.Position(f.First)+store.Position(e.Offset) {
			in.Beaten = append(in.Beaten, protocol.Beaten{Dot: e.Dot, Time: e.Time})
			continue
		}
		in.Entries = append(in.Entries, e.Entry)
	}
	rcv.received += uint64(len(f.Entries))
	rcv.remaining = f.Remaining
	if f.End {
		rcv.pulling, rcv.complete, rcv.live = false, true, nil
	}
}

func (rcv *receiver) takeLive(f *protocol.Changes, in *collection.Incoming) {
	for i := range f.Entries {
		e := &f.Entries[i]
		if rcv.pulling {
			rcv.live[e.ID] = max(rcv.live[e.ID], store.Position(f.First)+store.Position(e.Offset))
		}
		in.Entries = append(in.Entries, e.Entry)
	}
}

// claim returns what may be added to the own knowledge with f. The sender claims nothing before it has sent the end of the walk; what it claims on
// the live lane is kept until the end is here.
func (rcv *receiver) claim(f *protocol.Changes, lane Lane, remote document.ReplicaID) *document.Knowledge {
	var claim *document.Knowledge
	switch f.Claim {
	case protocol.ClaimAll:
		claim = rcv.seen[lane]
	case protocol.ClaimOwn:
		claim = rcv.seen[lane].Only(remote)
	}
	switch {
	case !rcv.complete && claim != nil:
		if rcv.early == nil {
			rcv.early = &document.Knowledge{}
		}
		rcv.early.Merge(claim)
		return nil
	case rcv.complete && rcv.early != nil:
		early := rcv.early
		if rcv.early = nil; claim != nil {
			early.Merge(claim)
		}
		return early
	}
	return claim
}

// modifyIncoming lets the pull modifier change or stop entries.
func (s *Session) modifyIncoming(ctx context.Context, in *collection.Incoming) error {
	if s.cfg.Pull == nil || s.cfg.Pull.Modifier == nil {
		return nil
	}
	kept := in.Entries[:0]
	for i := range in.Entries {
		e, keep, err := modify(ctx, s.cfg.Pull.Modifier, &in.Entries[i])
		if err != nil {
			return fmt.Errorf("pull modifier: %w", err)
		}
		if keep {
			kept = append(kept, e)
		}
	}
	in.Entries, in.Beaten = kept, nil
	return nil
}

// pull returns the Pull that begins a walk of the peer's log, if it is time for it, or when to ask again.
func (s *Session) pull(v collection.View, now time.Time) (*protocol.Pull, time.Time) {
	rcv := &s.recv
	if s.cfg.Pull == nil || !s.cfg.Remote.Pushes || rcv.pulling || rcv.complete {
		return nil, time.Time{}
	}
	if !v.Known().CoversAll(s.send.told) {
		if again, ok := s.cfg.Turns.take(s, now); !ok {
			return nil, again
		}
	}
	rcv.pulling, rcv.live = true, make(map[string]store.Position)
	return &protocol.Pull{
		Channel:  s.cfg.Channel,
		Known:    v.Known(),
		MaxBatch: uint32(s.cfg.Pull.BatchSize),
	}, time.Time{}
}
