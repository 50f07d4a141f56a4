package signaling

import (
	"math/rand/v2"
	"time"

	"github.com/shoaldb/shoal/shared/protocol"
)

// backoff spaces attempts: the delay doubles from ReconnectMin to ReconnectMax, and of each a random half is waited, so that
// the clients of a server that stopped do not all come back at once.
type backoff struct{ last time.Duration }

func (b *backoff) next(rng *rand.Rand) time.Duration {
	b.last = min(max(2*b.last, protocol.ReconnectMin), protocol.ReconnectMax)
	half := b.last / 2
	return half + time.Duration(rng.Int64N(int64(half)+1))
}

func (b *backoff) reset() { b.last = 0 }
