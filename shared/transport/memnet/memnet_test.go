package memnet

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/transporttest"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Harness {
		n, peers := New(&Options{MaxDelay: 2 * time.Millisecond, Redial: 10 * time.Millisecond}), 0
		return transporttest.Harness{Network: func() transport.Network {
			peers++
			return n.Peer(fmt.Sprint("peer", peers))
		}}
	})
}
