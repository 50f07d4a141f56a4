//go:build js

package rtc_test

import (
	"os"
	"syscall/js"
	"testing"
)

const native = false

// needRTC skips a test outside a browser.
func needRTC(t *testing.T) {
	t.Helper()
	if js.Global().Get("RTCPeerConnection").IsUndefined() {
		if os.Getenv("BROWSERTEST") != "" {
			t.Fatal("this browser has no RTCPeerConnection")
		}
		t.Skip("no RTCPeerConnection: run with -exec browsertest")
	}
}
