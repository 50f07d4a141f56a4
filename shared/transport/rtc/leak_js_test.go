//go:build js

package rtc_test

import (
	"syscall/js"
	"testing"
)

// TestBrowserObjectsClosed: whatever happens to attempts and connections, the page is left with no RTCPeerConnection that is
// not closed: browsers allow a few hundred of them.
func TestBrowserObjectsClosed(t *testing.T) {
	needRTC(t)
	made := js.Global().Get("Array").New()
	window := js.Global()
	original := window.Get("RTCPeerConnection")
	js.Global().Call("eval", `globalThis.recordConnections = (made) => {
		const original = globalThis.RTCPeerConnection;
		globalThis.RTCPeerConnection = class extends original {
			constructor(...args) { super(...args); made.push(this); }
		};
	}`)
	window.Call("recordConnections", made)
	defer window.Set("RTCPeerConnection", original)

	t.Run("reload", TestReload)
	t.Run("timeout", TestTimeout)
	t.Run("glare", TestGlare)
	t.Run("close", TestCloseAnytime)
	t.Run("frozen", TestFrozenPeer)
	if made.Length() < 10 {
		t.Errorf("%d connections recorded, want more", made.Length())
	}
	for i := range made.Length() {
		if state := made.Index(i).Get("signalingState").String(); state != "closed" {
			t.Errorf("connection %d of %d is %s", i, made.Length(), state)
		}
	}
}
