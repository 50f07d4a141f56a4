//go:build js

package jsbridge

import "sync"

// Queue hands events over from callbacks, which must not block, to one goroutine that takes them in order.
type Queue[T any] struct {
	limit int
	some  chan struct{} // holds a token while there may be events
	quit  chan struct{} // closed by Close
	wg    sync.WaitGroup

	mu     sync.Mutex // guards the following fields; nothing that waits is done under it
	closed bool
	events []T
}

// NewQueue starts a goroutine that calls take with each event. The queue holds at most limit events that are not taken yet.
// The caller closes it.
func NewQueue[T any](limit int, take func(T)) *Queue[T] {
	q := &Queue[T]{limit: limit, some: make(chan struct{}, 1), quit: make(chan struct{})}
	q.wg.Go(func() { q.drain(take) })
	return q
}

// Push adds an event. It never blocks. It returns false, and the event is dropped, when the queue is full or closed: the
// caller has to say so to somebody.
func (q *Queue[T]) Push(event T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.events) >= q.limit {
		return false
	}
	q.events = append(q.events, event)
	select {
	case q.some <- struct{}{}:
	default:
	}
	return true
}

func (q *Queue[T]) drain(take func(T)) {
	for {
		select {
		case <-q.some:
		case <-q.quit:
			return
		}
		for _, event := range q.swap() {
			select {
			case <-q.quit:
				return
			default:
				take(event)
			}
		}
	}
}

func (q *Queue[T]) swap() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

// Close drops the events that are not taken yet, and waits until take has returned. It must not be called by take. Closing
// again only waits.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.quit)
	}
	q.events = nil
	q.mu.Unlock()
	q.wg.Wait()
}
