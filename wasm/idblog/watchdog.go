//go:build js

package idblog

import (
	"sync"
	"time"
)

// watchdog tells transactions that the browser has left them without an event for too long. It has one timer for all of them, which goes on when they
// are over: a timer for each took a twentieth of the time of a small commit, most of it for clearTimeout and setTimeout.
type watchdog struct {
	limit time.Duration

	mu    sync.Mutex // guards the following fields
	timer *time.Timer
	runs  bool               // timer will fire
	since map[*txn]time.Time // when those that wait began to
}

func newWatchdog(limit time.Duration) *watchdog {
	return &watchdog{limit: limit, since: make(map[*txn]time.Time)}
}

// await notes that t waits for an event from now on.
func (w *watchdog) await(t *txn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since[t] = time.Now()
	if !w.runs {
		w.run(w.limit)
	}
}

// over notes that t waits no more.
func (w *watchdog) over(t *txn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.since, t)
}

// run has look called. The caller holds mu.
func (w *watchdog) run(after time.Duration) {
	w.runs = true
	if w.timer == nil {
		w.timer = time.AfterFunc(after, w.look)
	} else {
		w.timer.Reset(after)
	}
}

func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = false
	next, now := w.limit, time.Now()
	for t, since := range w.since {
		if left := w.limit - now.Sub(since); left > 0 {
			next = min(next, left)
			continue
		}
		delete(w.since, t)
		select {
		case t.stall <- struct{}{}:
		default:
		}
	}
	if len(w.since) > 0 {
		w.run(next)
	}
}

// close ends the timer. Nothing may wait any more.
func (w *watchdog) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}
