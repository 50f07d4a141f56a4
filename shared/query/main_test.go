package query

import (
	"flag"
	"os"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		os.Exit(m.Run()) // the fuzzing engine leaves a goroutine of os/signal behind
	}
	leakcheck.Main(m)
}
