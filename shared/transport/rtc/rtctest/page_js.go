//go:build js

package rtctest

import (
	"fmt"
	"syscall/js"
)

// PageRemote makes a Remote for a program that internal/browsertest/page runs: its server is where Program.Message goes. The
// returned function takes what the host sends that is not for the Remote: texts that begin with "!". release ends both.
func PageRemote(other func(text string)) (remote *Remote, release func()) {
	host := js.Global().Get("host")
	remote = NewRemote(func(text string) { host.Call("send", text) })
	onMessage := js.FuncOf(func(_ js.Value, args []js.Value) any {
		text := args[0].String()
		if len(text) > 0 && text[0] == '!' {
			other(text[1:])
		} else if err := remote.Deliver(text); err != nil {
			fmt.Println(err)
		}
		return nil
	})
	host.Set("onmessage", onMessage)
	return remote, func() {
		host.Set("onmessage", nil)
		onMessage.Release()
	}
}
