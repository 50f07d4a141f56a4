package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

// The first byte of a message says what the passive end does with it.
const (
	kindEcho  = 1 // send it back
	kindCount = 2 // nothing
	kindEnd   = 3 // send it back: all before it has come
)

const messageSize = 64<<10 - 1 // with the header of a piece, 64 KB

// job is what one end does.
type job struct {
	Role      string        `json:"role"` // both, active, passive
	HighWater int           `json:"highWater"`
	Bytes     int           `json:"bytes"` // to send for throughput
	Time      time.Duration `json:"time"`  // for the latency under load
}

// meet makes a network of signaler and waits for its connection.
func meet(ctx context.Context, signaler rtc.Signaler, highWater int) (*rtc.Network, transport.Conn, error) {
	n, err := rtc.New(signaler, &rtc.Options{HighWater: highWater})
	if err != nil {
		return nil, nil, err
	}
	if err := n.Join("bench"); err != nil {
		return nil, nil, err
	}
	c, err := n.Accept(ctx)
	return n, c, err
}

// passive serves the other end until that closes.
func passive(ctx context.Context, c transport.Conn) {
	for {
		lane, msg, err := c.Receive(ctx)
		if err != nil {
			return
		}
		if msg[0] != kindCount {
			if err := c.Send(ctx, lane, msg); err != nil {
				return
			}
		}
	}
}

// active measures, and returns one line of figures.
func active(ctx context.Context, c transport.Conn, j job) (string, error) {
	if _, err := throughput(ctx, c, 4<<20); err != nil { // so that windows are open
		return "", err
	}
	rate, err := throughput(ctx, c, j.Bytes)
	if err != nil {
		return "", err
	}
	idle, err := pingPong(ctx, c, 200)
	if err != nil {
		return "", err
	}
	loaded, loadedRate, err := underLoad(ctx, c, j.Time)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("bulk %5.1f MB/s | ping-pong p50 %v p99 %v | under load: bulk %5.1f MB/s, live p50 %v p95 %v max %v (%d)",
		rate, at(idle, 0.5), at(idle, 0.99), loadedRate, at(loaded, 0.5), at(loaded, 0.95), at(loaded, 1), len(loaded)), nil
}

func at(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}

// throughput sends total bytes one way and returns the rate in MB/s.
func throughput(ctx context.Context, c transport.Conn, total int) (float64, error) {
	msg := make([]byte, messageSize)
	msg[0] = kindCount
	begin := time.Now()
	for sent := 0; sent < total; sent += len(msg) {
		if err := c.Send(ctx, transport.Bulk, msg); err != nil {
			return 0, err
		}
	}
	if err := c.Send(ctx, transport.Bulk, []byte{kindEnd}); err != nil {
		return 0, err
	}
	if _, _, err := c.Receive(ctx); err != nil {
		return 0, err
	}
	return float64(total) / 1e6 / time.Since(begin).Seconds(), nil
}

// pingPong returns the sorted round trip times of small messages on the live lane.
func pingPong(ctx context.Context, c transport.Conn, count int) ([]time.Duration, error) {
	var times []time.Duration
	msg := make([]byte, 200)
	msg[0] = kindEcho
	for range count {
		begin := time.Now()
		if err := c.Send(ctx, transport.Live, msg); err != nil {
			return nil, err
		}
		if _, _, err := c.Receive(ctx); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times, nil
}

// underLoad measures round trips on the live lane for a time while the bulk lane is full, and the rate of the latter.
func underLoad(ctx context.Context, c transport.Conn, duration time.Duration) ([]time.Duration, float64, error) {
	flooding, stop := context.WithTimeout(ctx, duration)
	defer stop()
	var flood sync.WaitGroup
	sent := 0
	begin := time.Now()
	flood.Go(func() {
		msg := make([]byte, messageSize)
		msg[0] = kindCount
		for c.Send(flooding, transport.Bulk, msg) == nil {
			sent += len(msg)
		}
	})
	var times []time.Duration
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for flooding.Err() == nil {
		one, err := pingPong(ctx, c, 1)
		if err != nil {
			return nil, 0, err
		}
		times = append(times, one...)
		<-pause.C
	}
	flood.Wait()
	if err := c.Send(ctx, transport.Bulk, []byte{kindEnd}); err != nil {
		return nil, 0, err
	}
	if _, _, err := c.Receive(ctx); err != nil {
		return nil, 0, err
	}
	rate := float64(sent) / 1e6 / time.Since(begin).Seconds()
	slices.Sort(times)
	return times, rate, nil
}

// perform does j: in one program with both ends on signalers a and b, or with one end on a.
func perform(ctx context.Context, j job, a, b rtc.Signaler) (string, error) {
	if j.Role == "both" {
		other := j
		other.Role = "passive"
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			_, _ = perform(ctx, other, b, nil)
		}()
	}
	begin := time.Now()
	n, c, err := meet(ctx, a, j.HighWater)
	if err != nil {
		return "", err
	}
	defer n.Close()
	if j.Role == "passive" {
		passive(ctx, c)
		return "", nil
	}
	connect := time.Since(begin).Round(time.Millisecond)
	line, err := active(ctx, c, j)
	return fmt.Sprintf("connect %v | %s", connect, line), err
}
