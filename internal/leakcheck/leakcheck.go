// Package leakcheck fails a test package that leaves goroutines behind.
package leakcheck

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// settle bounds how long Main waits for goroutines that are already on their way out.
const settle = 30 * time.Second

// Main runs the tests of m and exits. It exits with 1 when, a while after the last test, more goroutines run than a test
// binary has by itself: one, or two under js, where the runtime keeps one for events.
//
// Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 && !fuzzing() {
		if left := wait(expected()); left > 0 {
			fmt.Fprintf(os.Stderr, "leakcheck: %d goroutines too many\n%s\n", left, stacks())
			code = 1
		}
	}
	os.Exit(code)
}

// fuzzing reports whether the run was one of go test -fuzz, whose driver leaves a goroutine of its own.
func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

func expected() int {
	if runtime.GOOS == "js" {
		return 2
	}
	return 1
}

// wait returns by how many goroutines the process is still above want once the count no longer falls.
func wait(want int) int {
	deadline := time.Now().Add(settle)
	for runtime.NumGoroutine() > want && time.Now().Before(deadline) {
		runtime.GC()
		time.Sleep(10 * time.Millisecond) // outside any test: nothing announces the end of a goroutine
	}
	return runtime.NumGoroutine() - want
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}
