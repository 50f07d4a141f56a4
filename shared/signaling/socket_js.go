package signaling

import (
	"context"
	"fmt"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/protocol"
)

// websocketDialer dials real sockets. It does without coder/websocket, whose API for browsers brings net/http, and with it a fifth of
// shoal.wasm.
func websocketDialer(url string, dialect protocol.Dialect) dialer {
	return func(ctx context.Context) (socket, error) {
		protocols := []any{}
		if dialect == protocol.DialectShoal {
			protocols = append(protocols, protocol.Subprotocol)
		}
		s, err := newBrowserSocket(url, protocols)
		if err != nil {
			return nil, err
		}
		select {
		case <-s.opened:
		case <-s.ended:
			return nil, s.err
		case <-ctx.Done():
			s.close()
			return nil, context.Cause(ctx)
		}
		if got := s.ws.Get("protocol").String(); got != "" && dialect == protocol.DialectRxDB || got == "" && dialect == protocol.DialectShoal {
			s.close()
			return nil, fmt.Errorf("server speaks %q, not %s", got, dialect)
		}
		return s, nil
	}
}

// maxUnread is how many bytes of messages a browserSocket keeps that were not read.
const maxUnread = 2 * protocol.MaxSignalingReply

// browserSocket is the browser's WebSocket.
type browserSocket struct {
	ws     js.Value
	events map[string]js.Func
	opened chan struct{}
	ended  chan struct{} // closed once nothing comes any more; err says why
	err    error
	ready  chan struct{} // holds one token when there may be a message

	mu     sync.Mutex // guards the following fields
	texts  []string
	unread int // bytes of texts
}

func newBrowserSocket(url string, protocols []any) (s *browserSocket, err error) {
	defer catch(&err)
	s = &browserSocket{
		ws:     js.Global().Get("WebSocket").New(url, protocols),
		opened: make(chan struct{}),
		ended:  make(chan struct{}),
		ready:  make(chan struct{}, 1),
	}
	s.events = map[string]js.Func{
		"open":    s.listener(func(js.Value) { close(s.opened) }),
		"message": s.listener(func(e js.Value) { s.heard(e.Get("data")) }),
		"close": s.listener(func(e js.Value) {
			s.end(fmt.Errorf("connection lost: closed with code %d %s", e.Get("code").Int(), e.Get("reason").String()))
		}),
	}
	for name, f := range s.events {
		s.ws.Call("addEventListener", name, f)
	}
	return s, nil
}

func (s *browserSocket) listener(f func(event js.Value)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		f(args[0])
		return nil
	})
}

// heard takes a message from the browser.
func (s *browserSocket) heard(data js.Value) {
	if data.Type() != js.TypeString {
		s.fail(fmt.Errorf("%w: not text", protocol.ErrBadMessage))
		return
	}
	text := data.String()
	s.mu.Lock()
	s.texts = append(s.texts, text)
	s.unread += len(text)
	tooMuch := s.unread > maxUnread
	s.mu.Unlock()
	if tooMuch {
		s.fail(fmt.Errorf("%w: more than %d bytes were not read", protocol.ErrBadMessage, maxUnread))
		return
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// fail closes the socket because of err.
func (s *browserSocket) fail(err error) {
	s.ws.Call("close")
	s.end(err)
}

// end is called by events only, of which there is one at a time, and by close. Only the first call counts.
func (s *browserSocket) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	for name, f := range s.events {
		s.ws.Call("removeEventListener", name, f)
		f.Release()
	}
	close(s.ended)
}

func (s *browserSocket) read() ([]byte, error) {
	for {
		s.mu.Lock()
		if len(s.texts) > 0 {
			text := s.texts[0]
			s.texts = s.texts[1:]
			s.unread -= len(text)
			s.mu.Unlock()
			return []byte(text), nil
		}
		s.mu.Unlock()
		select {
		case <-s.ready:
		case <-s.ended:
			return nil, s.err
		}
	}
}

func (s *browserSocket) write(text []byte) (err error) {
	defer catch(&err)
	s.ws.Call("send", string(text)) // does not wait; the client sends no more than its rate
	return nil
}

// probe does nothing: pages cannot ping.
func (s *browserSocket) probe() error { return nil }

func (s *browserSocket) close() {
	s.ws.Call("close", 1000)
	s.end(errLinkClosed)
}

// catch turns what a JavaScript call threw into an error.
func catch(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case js.Error:
		*err = thrown
	default:
		panic(thrown)
	}
}
