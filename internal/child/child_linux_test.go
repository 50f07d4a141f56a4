package child

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

// asParent is the environment variable that has this binary be a parent.
const asParent = "SHOAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) != "" {
		parent()
		return
	}
	leakcheck.Main(m)
}

// parent starts a program that would run on, says so and waits to be killed.
func parent() {
	cmd := exec.Command("sleep", "1000000")
	cmd.Stdout = os.Stdout
	EndsWithParent(cmd)
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("started")
	cmd.Wait()
}

// TestEndsWithParent kills a parent. Its child has the pipe, which ends when both have ended.
func TestEndsWithParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asParent+"=1")
	EndsWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("started"))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	cmd.Wait() // says that it was killed
}
