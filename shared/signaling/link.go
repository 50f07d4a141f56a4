package signaling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// closeWait is how long a link waits for its socket to end.
const closeWait = 2 * time.Second

// socket is a WebSocket; a fake one in tests. read, write and probe each have one caller at a time.
type socket interface {
	read() ([]byte, error) // until the socket ends
	write(text []byte) error
	probe() error // finds out whether the other end still answers, where the platform can
	close()       // ends read
}

type dialer func(ctx context.Context) (socket, error)

// link runs the reading and writing of a socket. A browser's socket may take a minute to end when the network is gone, so
// whoever uses a link does not wait for its goroutines longer than closeWait.
type link struct {
	sock   socket
	ctx    context.Context // ends with the socket; its cause says why
	cancel context.CancelCauseFunc
	in     chan []byte
	out    chan []byte   // signals
	relay  chan []byte   // pieces of relayed connections, which go last
	ready  chan struct{} // holds one token when there may be something in control
	probe  chan struct{} // asks for a probe
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the following field
	control [][]byte   // the client's own messages, which go first; as many as it has rooms, and more
}

func newLink(ctx context.Context, sock socket) *link {
	l := &link{
		sock:  sock,
		in:    make(chan []byte),
		out:   make(chan []byte, sendQueue),
		relay: make(chan []byte, relayQueue),
		ready: make(chan struct{}, 1),
		probe: make(chan struct{}, 1),
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.wg.Go(l.reading)
	l.wg.Go(l.writing)
	l.wg.Go(l.probing)
	l.wg.Go(func() {
		<-l.ctx.Done()
		sock.close()
	})
	return l
}

// close ends the socket and waits for it.
func (l *link) close() {
	l.cancel(errLinkClosed)
	ended := make(chan struct{})
	go func() { // ends with the socket
		l.wg.Wait()
		close(ended)
	}()
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

var errLinkClosed = errors.New("signaling: connection closed")

// read returns the next text.
func (l *link) read(ctx context.Context) ([]byte, error) {
	select {
	case text := <-l.in:
		return text, nil
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *link) reading() {
	for {
		text, err := l.sock.read()
		if err != nil {
			l.cancel(err)
			return
		}
		select {
		case l.in <- text:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *link) writing() {
	for {
		text, ok := l.nextText()
		if !ok {
			return
		}
		if err := l.sock.write(text); err != nil {
			l.cancel(err)
			return
		}
	}
}

// post queues one of the client's own messages. It does not block.
func (l *link) post(text []byte) {
	l.mu.Lock()
	l.control = append(l.control, text)
	l.mu.Unlock()
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// own returns the next of the client's own messages, nil where there is none.
func (l *link) own() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.control) == 0 {
		return nil
	}
	text := l.control[0]
	l.control = l.control[1:]
	return text
}

// nextText waits for what is to be written next.
func (l *link) nextText() (text []byte, ok bool) {
	for {
		if text = l.own(); text != nil {
			return text, true
		}
		select {
		case text = <-l.out:
			return text, true
		default:
		}
		select {
		case <-l.ready:
			continue
		case text = <-l.out:
		case text = <-l.relay:
		case <-l.ctx.Done():
			return nil, false
		}
		return text, true
	}
}

func (l *link) probing() {
	for {
		select {
		case <-l.probe:
			if err := l.sock.probe(); err != nil {
				l.cancel(fmt.Errorf("%w: %w", errSilent, err))
				return
			}
		case <-l.ctx.Done():
			return
		}
	}
}

// inTurn dials one server after the other, and begins again after the last.
func inTurn(urls []string, dialect protocol.Dialect) dialer {
	next := 0
	return func(ctx context.Context) (socket, error) {
		url := urls[next]
		next = (next + 1) % len(urls)
		return websocketDialer(url, dialect)(ctx)
	}
}
