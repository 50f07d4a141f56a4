package hub

import (
	"math"
	"time"
)

// bucket is a token bucket that may go into debt. It looks at the clock only then.
type bucket struct {
	tokens int
	filled time.Time
}

// charge takes n tokens.
func (b *bucket) charge(n int) { b.tokens -= n }

// debt returns how long it takes until a bucket that gets rate tokens a second, and holds burst, has no debt any more.
func (b *bucket) debt(rate, burst int) time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	now := time.Now()
	gained := math.Min(now.Sub(b.filled).Seconds()*float64(rate), float64(burst-b.tokens))
	if gained >= 1 {
		b.tokens += int(gained)
		b.filled = now
	}
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(float64(-b.tokens) / float64(rate) * float64(time.Second))
}
