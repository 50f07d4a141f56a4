package validate

import (
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }
