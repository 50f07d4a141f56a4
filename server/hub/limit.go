package hub

import (
	"math"
	"time"
)

// bucket is a token bucket. It looks at the clock only when it is empty.
type bucket struct {
	tokens int
	filled time.Time
}

// take takes n tokens of a bucket that holds burst and gets rate more a second. It returns how long to wait before what
// they pay for may be done.
func (b *bucket) take(n, rate, burst int) time.Duration {
	b.tokens -= n
	if b.tokens >= 0 {
		return 0
	}
	now := time.Now()
	gained := math.Min(now.Sub(b.filled).Seconds()*float64(rate), float64(burst-b.tokens))
	b.tokens += int(gained)
	b.filled = now
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(float64(-b.tokens) / float64(rate) * float64(time.Second))
}

// pay waits until the client may do something that costs n. Meanwhile it is not read, so that TCP slows it down: nothing of
// an honest client in a hurry is lost, and nobody else notices.
func (c *conn) pay(n int) error {
	wait := c.bucket.take(n, c.hub.opts.Rate, c.hub.opts.Burst)
	if wait <= 0 {
		return nil
	}
	c.hub.stats.delayed.Add(1)
	c.in.batch.flush()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.hub.stop:
		return errOver
	}
}
