package hub

import "time"

// bucket is a token bucket that may go into debt. It looks at the clock once in a tick, and when it is in debt.
type bucket struct {
	tokens float64
	filled time.Time
	tick   uint32 // in which it was filled
}

// fill adds what was earned since the last time.
func (b *bucket) fill(o *Options) {
	now := time.Now()
	b.tokens = min(float64(o.Burst), b.tokens+now.Sub(b.filled).Seconds()*float64(o.Rate))
	b.filled = now
}

// charge takes n tokens.
func (b *bucket) charge(n int, tick uint32, o *Options) {
	if b.tick != tick {
		b.tick = tick
		b.fill(o)
	}
	b.tokens -= float64(n)
}

// debt returns how long it takes until there is no debt any more.
func (b *bucket) debt(o *Options) time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	b.fill(o)
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens/float64(o.Rate)*float64(time.Second)) + 1 // rounded up, or the rest would never be paid
}
