package main

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// scenario measures figures of one server.
type scenario struct {
	name    string
	figures []figure
	measure func(b *bench, p *process) ([]float64, error)
}

// figure is one number that a scenario returns.
type figure struct {
	name   string
	higher bool // is better
	format string
}

func scenarios() []scenario {
	const busy = "server's core busy, %"
	const each = "server's time per message, us"
	return []scenario{
		{"relay", []figure{{"relay 1.5 KB, 1,000 peers in rooms of 4, messages/s", true, "%.0f"}, {each, false, "%.2f"}, {busy, true, "%.0f"}}, relay},
		{"ice", []figure{{"bursts of 8 candidates of 400 B, messages/s", true, "%.0f"}, {each, false, "%.2f"}, {busy, true, "%.0f"}}, ice},
		{"paced", []figure{{"10,000 messages/s paced: p50, ms", false, "%.2f"}, {"p99, ms", false, "%.2f"}, {busy, false, "%.0f"}}, paced},
		{"connect", []figure{{"connections/s", true, "%.0f"}, {"server's time per connection, us", false, "%.0f"}}, connect},
		{"join", []figure{{"joins/s, rooms of 4", true, "%.0f"}, {"join to list p50, ms", false, "%.2f"}, {"p99, ms", false, "%.2f"}}, join},
		{"idle", []figure{{"resident at 5,000 idle, MB", false, "%.1f"}, {"resident at 19,000 idle, MB", false, "%.1f"}, {"bytes per connection at 19,000", false, "%.0f"}}, idle},
		{"fill200", []figure{{"one joins a room of 200 until all know, ms", false, "%.2f"}}, joinBig},
		{"fill", []figure{{"a room filled to 1,000 until all know, s", false, "%.3f"}}, fill},
		{"slow", []figure{{"10 flooded readers stop: peak memory, MB", false, "%.0f"}, {"others' p99 meanwhile, ms", false, "%.2f"}}, slow},
	}
}

// ring makes each peer of a room of 4 the sender to the next one.
const ring = 4

// relay has each peer send a signal to the next whenever it gets one.
func relay(b *bench, p *process) ([]float64, error) { return b.pump(p, sdp(1350), 1) }

func ice(b *bench, p *process) ([]float64, error) { return b.pump(p, candidate(300), 8) }

// pump keeps burst signals on their way from each of 1,000 peers, and counts what arrives.
func (b *bench) pump(p *process, data string, burst int) ([]float64, error) {
	peers, err := crowd(p.addr, 1000, 50)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	if err := rooms(peers, ring); err != nil {
		return nil, err
	}
	bursts := make([][]byte, len(peers))
	for i, from := range peers {
		to := peers[i/ring*ring+(i+1)%ring]
		bursts[i] = bytes.Repeat(frame(nil, from.signal(roomName(i/ring), to.id, data)), burst)
	}
	pump, err := newPump(peers, bursts, burst)
	if err != nil {
		return nil, err
	}
	defer pump.close()
	if _, err := pump.run(500 * time.Millisecond); err != nil { // until it runs smoothly
		return nil, err
	}
	began, cpu := time.Now(), p.cpu()
	count, err := pump.run(b.duration)
	took, used := time.Since(began).Seconds(), (p.cpu() - cpu).Seconds()
	return []float64{float64(count) / took, used / float64(count) * 1e6, 100 * used / took}, err
}

// paced sends 10,000 signals a second, evenly, and returns how long they took.
func paced(b *bench, p *process) ([]float64, error) {
	peers, err := crowd(p.addr, 1000, 50)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	if err := rooms(peers, ring); err != nil {
		return nil, err
	}
	cpu, began := p.cpu(), time.Now()
	p50, p99, err := pace(peers, 10000, b.duration+time.Second)
	busy := 100 * (p.cpu() - cpu).Seconds() / time.Since(began).Seconds()
	return []float64{p50, p99, busy}, err
}

// pace sends rate signals a second round the rings of the peers. The times are of the second half, in milliseconds.
func pace(peers []*peer, rate int, d time.Duration) (p50, p99 float64, err error) {
	// The frames are made before, so that the generator has no garbage to collect while it measures.
	const place = "0000000000000000000"
	frames, texts, stamps := make([][]byte, len(peers)), make([]int, len(peers)), make([]int, len(peers))
	for i, from := range peers {
		to := peers[i/ring*ring+(i+1)%ring]
		text := from.signal(roomName(i/ring), to.id, `{"at":"`+place+`","pad":`+sdp(1350)+`}`)
		frames[i] = frame(nil, text)
		texts[i], stamps[i] = len(frames[i])-len(text), strings.Index(text, place)
	}
	took := make([]time.Duration, 0, int(d.Seconds()*float64(rate)))
	start := time.Now()
	send := func(n int, s socket) error {
		i := n % len(peers)
		stamp := frames[i][texts[i]+stamps[i]:][:len(place)]
		putDigits(stamp, int64(time.Since(start)))
		mask(stamp, stamps[i])
		return s.send(frames[i])
	}
	receive := func(m []byte) {
		if _, rest, ok := bytes.Cut(m, []byte(`"at":"`)); ok {
			took = append(took, time.Since(start)-digits(rest))
		}
	}
	if err := evenly(peers, rate, d, send, receive); err != nil {
		return 0, 0, err
	}
	took = took[len(took)/2:]
	slices.Sort(took)
	ms := func(q float64) float64 { return took[int(float64(len(took)-1)*q)].Seconds() * 1000 }
	return ms(0.5), ms(0.99), nil
}

// putDigits writes n with leading zeros.
func putDigits(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// digits reads what putDigits wrote at the beginning of b.
func digits(b []byte) time.Duration {
	var n time.Duration
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + time.Duration(c-'0')
	}
	return n
}

// connect opens 5,000 connections, 256 at a time so that the server always has some to see to, each until its init has come.
func connect(_ *bench, p *process) ([]float64, error) {
	const n, atOnce = 5000, 256
	warm, _, err := dialAll(p.addr, 500, atOnce)
	hangUp(warm)
	if err != nil {
		return nil, err
	}
	time.Sleep(300 * time.Millisecond)
	cpu := p.cpu()
	peers, took, err := dialAll(p.addr, n, atOnce)
	used := p.cpu() - cpu
	hangUp(peers)
	return []float64{n / took.Seconds(), used.Seconds() / n * 1e6}, err
}

// join fills rooms of 4, 32 rooms at a time, each peer waiting for the list that has it.
func join(_ *bench, p *process) ([]float64, error) {
	const n = 4000
	peers, err := crowd(p.addr, n, 64)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	took := make([]time.Duration, n)
	began := time.Now()
	err = each(n/ring, 32, func(r int) error {
		for i := r * ring; i < (r+1)*ring; i++ {
			sent := time.Now()
			if err := peers[i].join(roomName(r)); err != nil {
				return err
			}
			if err := peers[i].waitListed(); err != nil {
				return err
			}
			took[i] = time.Since(sent)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rate := n / time.Since(began).Seconds()
	slices.Sort(took)
	return []float64{rate, took[n/2].Seconds() * 1000, took[n*99/100].Seconds() * 1000}, nil
}

// waitListed reads until a list has the peer itself.
func (p *peer) waitListed() error {
	for {
		m, err := p.next()
		if err != nil {
			return err
		}
		if _, ok := isList(m); ok && bytes.Contains(m, []byte(p.id)) {
			return nil
		}
	}
}

// idle opens connections in rooms of 4 and looks at the server's memory after it had some time to settle.
func idle(_ *bench, p *process) ([]float64, error) {
	empty, _ := p.memory()
	var all []*peer
	defer func() { hangUp(all) }()
	grow := func(n int) (float64, error) {
		peers, err := crowd(p.addr, n-len(all), 64)
		if err != nil {
			return 0, err
		}
		first := len(all) / ring
		all = append(all, peers...)
		err = each(len(peers)/ring, 8, func(r int) error {
			group := peers[r*ring : (r+1)*ring]
			for _, p := range group {
				if err := p.join(roomName(first + r)); err != nil {
					return err
				}
			}
			for _, p := range group {
				if err := p.waitFull(ring); err != nil {
					return err
				}
				p.shrink()
			}
			return nil
		})
		time.Sleep(4 * time.Second)
		rss, _ := p.memory()
		return rss, err
	}
	few, err := grow(5000)
	if err != nil {
		return nil, err
	}
	many, err := grow(19000)
	if err != nil {
		return nil, err
	}
	return []float64{few / 1e6, many / 1e6, (many - empty) / 19000}, nil
}

// joinBig has 20 peers join a room of 200, one after the other.
func joinBig(_ *bench, p *process) ([]float64, error) {
	const size, more = 200, 20
	peers, err := crowd(p.addr, size+more, 50)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	for _, p := range peers[:size] {
		if err := p.join(roomName(0)); err != nil {
			return nil, err
		}
	}
	if err := each(size, size, func(i int) error { return peers[i].waitFull(size) }); err != nil {
		return nil, err
	}
	var took []float64
	for n := size; n < size+more; n++ {
		time.Sleep(100 * time.Millisecond) // a quiet room
		began := time.Now()
		if err := peers[n].join(roomName(0)); err != nil {
			return nil, err
		}
		if err := each(n+1, n+1, func(i int) error { return peers[i].waitFull(n + 1) }); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds()*1000)
	}
	slices.Sort(took)
	return []float64{took[len(took)/2]}, nil
}

// fill has 1,000 connected peers join one room as fast as they can.
func fill(_ *bench, p *process) ([]float64, error) {
	const size = 1000
	peers, err := crowd(p.addr, size, 50)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	began := time.Now()
	err = each(size, size, func(i int) error {
		if err := peers[i].join(roomName(0)); err != nil {
			return err
		}
		return peers[i].waitFull(size)
	})
	return []float64{time.Since(began).Seconds()}, err
}

// slow floods 10 peers that do not read, while 200 others exchange 1,000 signals a second.
func slow(b *bench, p *process) ([]float64, error) {
	const deaf = 10
	peers, err := crowd(p.addr, 200+ring*deaf, 50)
	if err != nil {
		return nil, err
	}
	defer hangUp(peers)
	if err := rooms(peers, ring); err != nil {
		return nil, err
	}
	others, flooded := peers[:200], peers[200:]
	over := make(chan struct{})
	var wg sync.WaitGroup
	for r := range deaf {
		from, to := flooded[r*ring], flooded[r*ring+1]
		to.conn.(*net.TCPConn).SetReadBuffer(4096)
		out := frame(nil, from.signal(roomName(len(others)/ring+r), to.id, sdp(1350)))
		wg.Go(func() { from.flood(bytes.Repeat(out, 8), over) })
	}
	_, p99, err := pace(others, 1000, b.duration+4*time.Second)
	_, peak := p.memory()
	close(over)
	hangUp(peers)
	wg.Wait()
	return []float64{peak / 1e6, p99}, err
}

// flood sends out again and again, 2.4 MB a second at most.
func (p *peer) flood(out []byte, over chan struct{}) {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-over:
			return
		case <-t.C:
			if _, err := p.conn.Write(out); err != nil {
				return
			}
		}
	}
}
