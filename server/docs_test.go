package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/shared/protocol"
)

// TestDocs finds flags, metrics and codes that docs/operations.md or docs/protocol.md does not know, and flags that only they know.
func TestDocs(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	operations, wire := read("../docs/operations.md"), read("../docs/protocol.md")
	var c config
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags(fs)
	c.keys.flags(fs)
	c.limits(fs)
	c.turn.flags(fs)
	fs.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(operations, "`--"+f.Name) {
			t.Errorf("operations.md has no --%s", f.Name)
		}
	})
	token := map[string]bool{"room": true, "ttl": true, "permissions": true, "subject": true, "ulimit": true}
	for _, m := range regexp.MustCompile("[` ]--([a-z][a-z-]*)").FindAllStringSubmatch(operations, -1) {
		if fs.Lookup(m[1]) == nil && !token[m[1]] {
			t.Errorf("operations.md has --%s, and there is none", m[1])
		}
	}
	for _, f := range figures() {
		if !strings.Contains(operations, "`"+f[0]) {
			t.Errorf("operations.md has no %s", f[0])
		}
	}
	for _, code := range protocol.Codes() {
		if !strings.Contains(wire, "| `"+string(code)+"` |") {
			t.Errorf("protocol.md has no %s", code)
		}
	}
}
