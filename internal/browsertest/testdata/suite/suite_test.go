//go:build js

// Tests that the tests of browsertest run in a browser.
package suite

import (
	"os"
	"syscall/js"
	"testing"
	"time"
)

func TestBrowser(t *testing.T) {
	for _, name := range []string{"RTCPeerConnection", "indexedDB", "document"} {
		if js.Global().Get(name).IsUndefined() {
			t.Errorf("no %s", name)
		}
	}
	if !js.Global().Get("isSecureContext").Bool() {
		t.Error("not a secure context")
	}
	if os.Getenv("BROWSERTEST") == "" {
		t.Error("BROWSERTEST is not set")
	}
	t.Log("word:", os.Getenv("WORD"))
}

func TestFail(t *testing.T) {
	t.Fatal("failed on purpose")
}

func TestHang(*testing.T) {
	<-time.After(time.Hour)
}
