//go:build !js

package signaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"

	"github.com/shoaldb/shoal/shared/protocol"
)

// writeWait bounds the writing of one message.
const writeWait = 10 * time.Second

// websocketDialer dials real sockets.
func websocketDialer(url string, dialect protocol.Dialect) dialer {
	return func(ctx context.Context) (socket, error) {
		var opts websocket.DialOptions
		if dialect == protocol.DialectShoal {
			opts.Subprotocols = []string{protocol.Subprotocol}
		}
		conn, _, err := websocket.Dial(ctx, url, &opts)
		if err != nil {
			return nil, err
		}
		conn.SetReadLimit(protocol.MaxSignalingReply)
		if got := conn.Subprotocol(); got != "" && dialect == protocol.DialectRxDB || got == "" && dialect == protocol.DialectShoal {
			conn.Close(websocket.StatusPolicyViolation, "wrong subprotocol")
			return nil, fmt.Errorf("server speaks %q, not %s", got, dialect)
		}
		return &websocketSocket{conn}, nil
	}
}

// websocketSocket adapts coder/websocket. No context reaches its calls, for it closes the connection when one ends.
type websocketSocket struct{ conn *websocket.Conn }

func (s *websocketSocket) read() ([]byte, error) {
	typ, text, err := s.conn.Read(context.Background())
	if err == nil && typ != websocket.MessageText {
		err = fmt.Errorf("%w: not text", protocol.ErrBadMessage)
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("connection lost: %w", io.ErrUnexpectedEOF)
	}
	return text, err
}

func (s *websocketSocket) write(text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWait)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

// probe sends a WebSocket ping. In a browser, which has none, it does nothing.
func (s *websocketSocket) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), pongWait)
	defer cancel()
	return s.conn.Ping(ctx)
}

func (s *websocketSocket) close() { s.conn.Close(websocket.StatusNormalClosure, "") }
