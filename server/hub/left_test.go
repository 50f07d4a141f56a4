package hub_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// heap is how many bytes are in use after all that is not has been collected.
func heap() int {
	var m runtime.MemStats
	for range 3 { // what pools hold goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestNothingIsLeft has 100 clients come, fill rooms, exchange signals and go, again and again: neither memory nor goroutines stay.
func TestNothingIsLeft(t *testing.T) {
	s := serve(t, &hub.Options{MaxConnsPerAddress: -1})
	goroutines := runtime.NumGoroutine()
	round := func(n int) (bytes int) {
		t.Run(fmt.Sprint("round ", n), func(t *testing.T) { comeAndGo(t, s, n) }) // which keeps nothing either
		return heap()
	}
	round(0)
	bytes := round(1)
	for n := range 4 {
		if b := round(2 + n); b > bytes+256<<10 {
			t.Errorf("round %d: %d bytes, %d after the first", n, b, bytes)
		}
		until(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	}
}

func comeAndGo(t *testing.T, s *server, n int) {
	peers := make([]*peer, 100)
	for i := range peers {
		peers[i] = s.connect(t, []protocol.Dialect{shoal, rxdb}[i%2])
		for j := range 5 {
			peers[i].join(fmt.Sprintf("round-%d-room-%d", n, (i+j)%50))
		}
		peers[i].signal(fmt.Sprintf("round-%d-room-%d", n, i%50), peers[i/2].id, `"x"`)
	}
	for _, p := range peers {
		p.sync()
		p.conn.Close()
	}
	until(t, "all to have left", func() bool { st := s.Stats(); return st.Connections == 0 && st.Rooms == 0 && st.Peers == 0 })
}

// TestDribble drops a client that sends a message byte by byte, so slowly that it would take a day.
func TestDribble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, nil)
		a, b := s.connect(t, shoal), s.connect(t, rxdb)
		a.join(room)
		fromA := a.collect()
		b.join(room)
		fromB := b.collect()
		synctest.Wait()
		fromA.take()
		frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(make([]byte, 60000))))
		began := time.Now()
		for _, c := range frame {
			if _, err := b.conn.Write([]byte{c}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		<-fromB.done
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("dropped after %s", took)
		}
		synctest.Wait()
		if m := fromA.take(); len(m) == 0 || m[len(m)-1].Type != protocol.TypePeerLeft {
			t.Errorf("the other was told %+v", m)
		}
	})
}
