//go:build js

package rtc

import "github.com/shoaldb/shoal/shared/transport"

// Mute makes one end of a connection deaf, as a page is that does not run, while its path stays.
func Mute(c transport.Conn) (unmute func()) {
	for _, l := range c.(*link).pc.listeners {
		if l.event == "message" {
			l.target.Call("removeEventListener", l.event, l.f)
		}
	}
	return func() {}
}
