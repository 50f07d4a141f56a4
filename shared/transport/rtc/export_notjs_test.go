//go:build !js

package rtc

import (
	"time"

	"github.com/pion/transport/v5"

	shoal "github.com/shoaldb/shoal/shared/transport"
)

// Mute makes one end of a connection deaf, as a page is that does not run, while its path stays: the goroutine that reads its
// live lane waits for a lock. The other end must send something to it. It lasts until unmute is called.
func Mute(c shoal.Conn) (unmute func()) {
	l := c.(*link)
	l.in.mu.Lock()
	return l.in.mu.Unlock
}

// UseNet makes pion use a simulated network, and notice soon that a path is lost.
func UseNet(n transport.Net, disconnected, failed time.Duration) func(*NativeConfig) {
	return func(cfg *NativeConfig) { cfg.net, cfg.disconnected, cfg.failed = n, disconnected, failed }
}
