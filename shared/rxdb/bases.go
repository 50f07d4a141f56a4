package rxdb

import (
	"context"
	"log/slog"
	"slices"

	"github.com/shoaldb/shoal/shared/collection"
)

// base is the body of a state that some client is assumed to have, of a document that says something else here.
type base struct {
	id    string
	state digest
	body  []byte
}

// changed keeps the bodies that were replaced: those of deleted documents, and those of states that a client is assumed to have.
func (m *Meta) changed(changes []collection.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.Before == nil || c.Before.Deleted {
			continue
		}
		if c.After.Deleted && len(c.After.Body) == 0 {
			m.bury(c.Before.ID, c.Before.Body)
		}
		if !m.asks || !m.state.isAssumed(c.Before.ID, nil) {
			continue
		}
		b := base{c.Before.ID, digestOf(contentOf(c.Before)), c.Before.Body}
		if m.state.isAssumed(b.id, &b.state) && m.state.bytes+len(b.body) <= maxBases && m.state.keep(b) {
			m.fresh = append(m.fresh, b)
			signal(m.keep)
		}
	}
}

// bury remembers the body of a document that was deleted; mu is held.
func (m *Meta) bury(id string, body []byte) {
	if m.buriedBytes+len(body) > maxBuried || m.buried == nil {
		m.buried, m.buriedBytes = make(map[string][]byte), 0
	}
	m.buriedBytes += len(body) - len(m.buried[id])
	m.buried[id] = body
}

// lastBody returns the body that a document had before it was deleted, nil if that is not remembered.
func (m *Meta) lastBody(id string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buried[id]
}

// keepBases stores what changed keeps.
func (m *Meta) keepBases(log *slog.Logger) {
	for {
		select {
		case <-m.keep:
		case <-m.ctx.Done():
		}
		m.mu.Lock()
		fresh := m.fresh
		m.fresh = nil
		m.mu.Unlock()
		if len(fresh) > 0 {
			err := m.commit(context.WithoutCancel(m.ctx), func(*metaState) []byte {
				b := newRecord()
				for _, f := range fresh {
					b = appendBase(b, f)
				}
				return b
			})
			if err != nil { // conflict handlers will be told less
				log.Warn("keep assumed master states of RxDB clients", "error", err)
			}
		}
		if m.ctx.Err() != nil {
			return
		}
	}
}

// base returns the body of an assumed state, nil if it is not kept.
func (m *Meta) base(id string, state digest) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.state.bases[id] {
		if b.state == state {
			return b.body
		}
	}
	return nil
}

// isAssumed reports whether some client is assumed to have a state of a document: that one, or any if it is nil.
func (s *metaState) isAssumed(id string, state *digest) bool {
	for _, c := range s.clients {
		if d, ok := c.assumed[id]; ok && (state == nil || d == *state) {
			return true
		}
	}
	return false
}

// keep takes in a base. It returns false if it is there already.
func (s *metaState) keep(b base) bool {
	if slices.ContainsFunc(s.bases[b.id], func(o base) bool { return o.state == b.state }) {
		return false
	}
	s.bases[b.id] = append(s.bases[b.id], b)
	s.bytes += len(b.body)
	return true
}

// drop forgets the bases of a document that no client is assumed to have any more.
func (s *metaState) drop(id string) {
	bases, ok := s.bases[id]
	if !ok {
		return
	}
	left := slices.DeleteFunc(slices.Clone(bases), func(b base) bool {
		gone := !s.isAssumed(id, &b.state)
		if gone {
			s.bytes -= len(b.body)
		}
		return gone
	})
	if s.bases[id] = left; len(left) == 0 {
		delete(s.bases, id)
	}
}
