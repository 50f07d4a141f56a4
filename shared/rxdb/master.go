package rxdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/tidwall/gjson"
)

// masterState is how far a client has come that has this side as its master. Only serve writes it.
//
// A change event takes the client's checkpoint with it. So events are sent only to a client that has asked for changes and was told all that there was;
// one that is behind is told to ask (RESYNC), and goes at its own pace.
type masterState struct {
	live  bool           // the client has what stands before sent, and takes events
	sent  store.Position // it was sent what stands before this
	due   time.Time      // when to tell it to ask
	pause time.Duration  // before it is told again
}

// serve answers the peer's requests, one after the other, and sends it what changes.
func (s *Session) serve(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var requests chan message // nil until the peer is known to be valid
	valid := s.valid
	for {
		var m message
		select {
		case m = <-s.tokens:
		case m = <-requests:
		case <-valid:
			requests, valid = s.requests, nil
		case <-s.work[workServe]:
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if m.method != "" {
			if err := s.answer(ctx, m); err != nil {
				return err
			}
		}
		at, err := s.stream(ctx)
		if err != nil {
			return err
		}
		timer.Stop()
		if !at.IsZero() {
			timer.Reset(time.Until(at))
		}
	}
}

// answer answers one request. What goes wrong with it the peer is told; an error is of the connection.
func (s *Session) answer(ctx context.Context, m message) error {
	var result []byte
	var err error
	switch m.method {
	case methodToken:
		result = quote(s.meta.Token())
	case methodChangesSince:
		result, err = s.changesSince(ctx, m.param(0), m.param(1))
	case methodWrite:
		result, err = s.write(ctx, m.param(0))
	}
	switch {
	case errors.Is(err, ErrMessage):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		s.cfg.OnError(fmt.Errorf("answer %s: %w", m.method, err))
		return s.send(ctx, answerError(m.id, err))
	}
	if err := s.send(ctx, answer(m.id, result)); err != nil {
		return err
	}
	s.cfg.OnChange()
	return nil
}

// appendCheckpoint appends the checkpoint of a position.
func (s *Session) appendCheckpoint(dst []byte, pos store.Position) []byte {
	dst = append(append(dst, `{"id":`...), quote(s.meta.epoch.id)...)
	dst = append(dst, `,"lwt":`...)
	dst = strconv.AppendUint(dst, uint64(pos), 10)
	return append(dst, '}')
}

// position returns where a client stands that sends a checkpoint: at the beginning if it is not one of this replica's.
func (s *Session) position(checkpoint gjson.Result) store.Position {
	id, pos := checkpoint.Get("id"), checkpoint.Get("lwt")
	if id.Type != gjson.String || pos.Type != gjson.Number || pos.Num < 1 || pos.Num > float64(store.MaxPosition) {
		return 1
	}
	return s.meta.valid(id.Str, store.Position(pos.Num))
}

// changesSince is masterChangesSince: up to batchSize documents that changed since the checkpoint. A client takes fewer for the end. If there are
// fewer because they are big, it is told to ask again.
func (s *Session) changesSince(ctx context.Context, checkpoint, batchSize gjson.Result) ([]byte, error) {
	asked, ok := wholeNumber(batchSize)
	if !ok || asked < 1 {
		return nil, fmt.Errorf("%w: batch size %.20q", ErrMessage, batchSize.Raw)
	}
	if s.cfg.Push == nil {
		cp := []byte("null")
		if checkpoint.IsObject() {
			cp = []byte(checkpoint.Raw)
		}
		return appendChanges(nil, nil, cp), nil
	}
	from := s.position(checkpoint)
	docs, next, end, err := s.collect(ctx, from, min(asked, maxBatch), maxAnswer)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	st := &s.master
	st.sent, st.live, st.pause = next, end && len(docs) < asked, 0
	st.due = time.Time{}
	if !st.live {
		st.due = time.Now().Add(resyncAfter)
		if len(docs) < asked {
			st.due = time.Now() // it takes this for the end
		}
	}
	s.mu.Unlock()
	return appendChanges(nil, docs, s.appendCheckpoint(nil, next)), nil
}

// collect returns the states of documents whose entries stand at from and later, at most so many and about so many bytes, the
// position that the next ones begin at, and whether that is the end of the log.
func (s *Session) collect(ctx context.Context, from store.Position, most, size int) (docs [][]byte, next store.Position, end bool, err error) {
	for next = from; ; {
		var entries []*document.Entry
		bytes := 0
		s.coll.View(func(v collection.View) {
			tail := v.Tail()
			end = true
			for e := range v.Since(next) {
				if len(docs)+len(entries) >= most || bytes > size {
					end = false
					break
				}
				next = e.Position + 1
				if !e.Beaten && !s.isOwn(e.Entry) {
					entries = append(entries, e.Entry)
					bytes += len(e.Body) + len(e.ID)
				}
			}
			if end {
				next = max(next, tail)
			}
		})
		for _, e := range entries {
			state, keep, err := s.outgoing(ctx, e)
			if err != nil {
				return nil, 0, false, err
			}
			if keep {
				docs = append(docs, state)
				size -= len(state)
			}
		}
		if end || len(docs) >= most || size <= 0 {
			return docs, next, end, nil
		}
	}
}

// outgoing is an entry as the peer gets it. A tombstone without a body gets the last fields of the document, where these are remembered: schemas may
// require them of deleted documents, too.
func (s *Session) outgoing(ctx context.Context, e *document.Entry) (state []byte, keep bool, err error) {
	c, keep, err := s.modified(ctx, e)
	if err != nil || !keep {
		return nil, false, err
	}
	if c.Deleted && len(c.Body) == 0 {
		c.Body = s.lastBody(e.ID)
	}
	return appendState(nil, e.ID, c, s.cfg.PrimaryKey), true, nil
}

// lastBody is what a deleted document said, nil if that is not remembered, or not for the peer as it is.
func (s *Session) lastBody(id string) []byte {
	if s.cfg.Push == nil || s.cfg.Push.Modifier != nil {
		return nil
	}
	return s.meta.lastBody(id)
}

// modified is the content of an entry as the push modifier leaves it.
func (s *Session) modified(ctx context.Context, e *document.Entry) (c collection.Content, keep bool, err error) {
	d := collection.Document{ID: e.ID, Version: e.Dot, Deleted: e.Deleted, Body: e.Body}
	if s.cfg.Push == nil || s.cfg.Push.Modifier == nil {
		return collection.Content{Body: d.Body, Deleted: d.Deleted}, true, nil
	}
	if d, keep, err = s.cfg.Push.Modifier(ctx, d); err != nil {
		return c, false, fmt.Errorf("push modifier, document %q: %w", e.ID, err)
	}
	return collection.Content{Body: d.Body, Deleted: d.Deleted}, keep, nil
}

// stream sends a client what has changed, or tells it to ask. It returns when to be called again, at the latest.
func (s *Session) stream(ctx context.Context) (time.Time, error) {
	for {
		s.mu.Lock()
		st, r := s.master, s.role
		s.mu.Unlock()
		tail := s.tail()
		switch {
		case r != roleMaster || s.cfg.Push == nil || st.live && st.sent >= tail:
			return time.Time{}, nil
		case !st.live:
			return s.tellToAsk(ctx, st, tail)
		}
		docs, next, end, err := s.collect(ctx, st.sent, maxEventDocs, maxEventSize)
		if err != nil {
			return time.Time{}, err
		}
		if !end {
			s.setMaster(masterState{sent: st.sent, due: time.Now()})
			continue
		}
		if len(docs) > 0 {
			event := appendChanges(nil, docs, s.appendCheckpoint(nil, next))
			if err := s.send(ctx, answer(changeStream, event)); err != nil {
				return time.Time{}, err
			}
		}
		s.setMaster(masterState{live: true, sent: next})
	}
}

func (s *Session) setMaster(st masterState) {
	s.mu.Lock()
	s.master = st
	s.mu.Unlock()
	s.cfg.OnChange()
}

// tellToAsk tells a client that is behind to ask for changes, if that is due. One that has been told may be at it, may have missed it, or may never ask.
func (s *Session) tellToAsk(ctx context.Context, st masterState, tail store.Position) (time.Time, error) {
	now := time.Now()
	if now.Before(st.due) {
		return st.due, nil
	}
	if st.sent >= tail && st.pause > 0 {
		return time.Time{}, nil // nothing has changed since it was told
	}
	if err := s.send(ctx, answer(changeStream, []byte(`"`+resync+`"`))); err != nil {
		return time.Time{}, err
	}
	st.pause = min(max(2*st.pause, resyncAfter), resyncMost)
	st.due = now.Add(st.pause)
	s.setMaster(st)
	return st.due, nil
}
