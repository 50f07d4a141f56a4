package hub_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/shared/protocol"
)

// churner is a peer that comes and goes. It keeps the id of its last connection to resume.
type churner struct {
	s       *server
	rand    *rand.Rand
	dialect protocol.Dialect
	room    string
	p       *peer
	from    *collector
	seen    []*protocol.Message
}

// step does one random thing.
func (c *churner) step(t testing.TB) {
	switch n := c.rand.IntN(10); {
	case c.p == nil:
		c.arrive(t, "")
	case n < 3:
		c.vanish()
	case n < 4:
		c.closeNicely(t)
	case n < 5 && c.dialect == shoal: // the old connection may hang still
		old := c.p
		c.arrive(t, old.resume)
		old.conn.Close()
	case n < 6 && c.dialect == shoal: // or is just being cleared away
		c.p.conn.Close()
		c.arrive(t, c.p.resume)
	case n < 8 && c.dialect == shoal:
		c.p.say(&protocol.Message{Type: protocol.TypeLeave, Room: c.room})
		c.join()
	default:
		c.p.text(replace(`{"type":"signal","senderPeerId":"%a","receiverPeerId":"%b","room":"`+c.room+`","data":1}`, c.p, c.p))
	}
}

func (c *churner) join() {
	c.room = fmt.Sprintf("churn-room-%02d", c.rand.IntN(50))
	c.p.join(c.room)
}

func (c *churner) arrive(t testing.TB, resume string) {
	c.p = c.s.dial(t, c.dialect)
	c.p.greet(c.dialect, resume)
	c.from, c.seen = c.p.collect(), nil
	if resume != "" { // it is where it was, and moves
		c.p.say(&protocol.Message{Type: protocol.TypeLeave, Room: c.room})
	}
	c.join()
}

func (c *churner) vanish() {
	c.p.conn.Close()
	c.p = nil
}

func (c *churner) closeNicely(t testing.TB) {
	c.p.raw(ws.OpClose, true, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	<-c.from.done
	c.p.conn.Close()
	c.p = nil
}

// others is who the peer believes is in its room, after all that it was told.
func (c *churner) others() map[string]bool {
	c.seen = append(c.seen, c.from.take()...)
	var mine []*protocol.Message
	for _, m := range c.seen {
		if m.Room == c.room || m.Room == "" {
			mine = append(mine, m)
		}
	}
	return view(mine, c.p.id)
}

// knows reports whether the peer sees exactly those who are in its room.
func (c *churner) knows(members map[string]bool) bool {
	others := c.others()
	for id := range members {
		if id != c.p.id && !others[id] {
			return false
		}
	}
	return len(others) == len(members)-1
}

// TestChurn has 1,000 peers of both dialects come, move, resume and go in 50 rooms. In the end all who are there know exactly
// who else is in their room, and when they are gone nothing is left.
func TestChurn(t *testing.T) {
	before := runtime.NumGoroutine()
	s := serve(t, &hub.Options{MaxConnsPerAddress: -1})
	all := make([]*churner, 1000)
	var wg sync.WaitGroup
	for i := range all {
		c := &churner{s: s, rand: rand.New(rand.NewPCG(1, uint64(i))), dialect: shoal}
		if i%2 == 1 {
			c.dialect = rxdb
		}
		all[i] = c
	}
	const drivers = 20
	for d := range drivers {
		wg.Go(func() {
			for range 6 {
				for i := d; i < len(all); i += drivers {
					all[i].step(t)
				}
			}
			for i := d; i < len(all); i += drivers {
				if all[i].p == nil {
					all[i].arrive(t, "")
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	truth := make(map[string]map[string]bool)
	for _, c := range all {
		if truth[c.room] == nil {
			truth[c.room] = make(map[string]bool)
		}
		truth[c.room][c.p.id] = true
	}
	for i, c := range all {
		for !c.knows(truth[c.room]) {
			select {
			case <-c.from.news:
			case <-time.After(30 * time.Second):
				t.Fatalf("peer %d, %s in %s, sees %v, and there are %v", i, c.p.id, c.room, c.others(), truth[c.room])
			}
		}
	}
	if got := s.Stats(); got.Rooms != len(truth) || got.Connections != len(all) {
		t.Errorf("%+v, want %d rooms and %d connections", got, len(truth), len(all))
	}
	for _, c := range all {
		c.vanish()
		<-c.from.done
	}
	until(t, "nothing to be left", func() bool { return s.Stats().Connections == 0 && s.Stats().Rooms == 0 })
	s.Close()
	until(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+3 }) // the http.Server's are left
}
