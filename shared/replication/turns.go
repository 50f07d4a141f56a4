package replication

import (
	"sync"
	"time"
)

// StallAfter is how long a walk may bring nothing before another session may pull besides.
const StallAfter = 5 * time.Second

// Turns lets the sessions of one collection pull one after the other: what the first brings the others leave out. So a replica that
// joins many peers gets one copy of the data. The zero Turns is ready for use.
type Turns struct {
	mu      sync.Mutex // guards the following fields
	holder  *Session
	since   time.Time // of the last sign of progress
	waiting map[*Session]struct{}
}

// take gives s the turn if nobody has it, or who has it makes no progress. Else it returns when to ask again; s is woken before if the turn
// becomes free.
func (t *Turns) take(s *Session, now time.Time) (again time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holder != nil && t.holder != s && now.Before(t.since.Add(StallAfter)) {
		if t.waiting == nil {
			t.waiting = make(map[*Session]struct{})
		}
		t.waiting[s] = struct{}{}
		return t.since.Add(StallAfter), false
	}
	t.holder, t.since = s, now
	delete(t.waiting, s)
	return time.Time{}, true
}

// progress notes that s brings something.
func (t *Turns) progress(s *Session, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.holder == s {
		t.since = now
	}
}

// leave gives up the turn, and the wish for it.
func (t *Turns) leave(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, s)
	if t.holder != s {
		return
	}
	t.holder = nil
	for w := range t.waiting {
		w.cfg.Wake()
	}
}
