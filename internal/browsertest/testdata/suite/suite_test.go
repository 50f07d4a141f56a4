//go:build js

// Tests that the tests of browsertest run in a browser.
package suite

import (
	"errors"
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
	if _, err := os.ReadFile("file"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFile = %v, want %v", err, os.ErrNotExist)
	}
	if err := os.WriteFile("file", nil, 0o600); err == nil {
		t.Error("WriteFile: no error")
	}
}

func FuzzBrowser(f *testing.F) {
	f.Add(1)
	f.Fuzz(func(*testing.T, int) {})
}

func TestFail(t *testing.T) {
	t.Fatal("failed on purpose")
}

func TestHang(*testing.T) {
	<-time.After(time.Hour)
}
