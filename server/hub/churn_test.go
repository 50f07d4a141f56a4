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
	role    protocol.Role
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
	c.p.say(&protocol.Message{Type: protocol.TypeJoin, Room: c.room, RxDB: c.role.RxDB, AlwaysOn: c.role.AlwaysOn})
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

// others is who the peer believes is in its room, after all that it was told, and the bridges of those who have one.
func (c *churner) others() map[string]string {
	c.seen = append(c.seen, c.from.take()...)
	var mine []*protocol.Message
	for _, m := range c.seen {
		if m.Room == c.room || m.Room == "" {
			mine = append(mine, m)
		}
	}
	return view(mine, c.p.id)
}

// knows reports whether the peer sees exactly those who are in its room, and of the RxDB clients their bridges.
func (c *churner) knows(members map[string]*churner) bool {
	others := c.others()
	for id, m := range members {
		bridge, there := others[id]
		if m != c && (!there || m.dialect == rxdb && bridge != m.bridge(members)) {
			return false
		}
	}
	return len(others) == len(members)-1
}

// bridge is the Shoal peer that an RxDB client was named, if any.
func (c *churner) bridge(members map[string]*churner) string {
	for id := range c.others() {
		if m := members[id]; m != nil && m.dialect == shoal {
			return id
		}
	}
	return ""
}

// isTree reports whether the RxDB clients were named to each other, and to bridges, so that together with those, which are
// connected anyway, they are one tree. Who names a peer that is not there, or is not named by it in turn, has not heard yet.
func isTree(members map[string]*churner) bool {
	group := make(map[string]string) // of connected peers, by one of them
	find := func(id string) string {
		for group[id] != "" {
			id = group[id]
		}
		return id
	}
	bridges, clients := 0, 0
	edges := make(map[[2]string]bool)
	for id, m := range members {
		if m.role.RxDB {
			bridges = 1
		}
		if m.dialect != rxdb {
			continue
		}
		clients++
		for other := range m.others() {
			o := members[other]
			switch {
			case o == nil || o.dialect == shoal && !o.role.RxDB:
				return false
			case o.dialect == shoal:
				other = "all bridges"
			default:
				if _, back := o.others()[id]; !back {
					return false
				}
			}
			edge := [2]string{min(id, other), max(id, other)}
			if edges[edge] {
				continue
			}
			edges[edge] = true
			if find(id) == find(other) {
				return false
			}
			group[find(id)] = find(other)
		}
	}
	return clients == 0 || len(edges) == clients+bridges-1
}

// TestChurn has 1,000 peers of both dialects come, move, resume and go in 50 rooms. In the end all who are there know exactly
// who else is in their room, the RxDB clients among them are a tree, and when they are gone nothing is left.
func TestChurn(t *testing.T) {
	before := runtime.NumGoroutine()
	s := serve(t, &hub.Options{MaxConnsPerAddress: -1})
	all := make([]*churner, 1000)
	var wg sync.WaitGroup
	for i := range all {
		c := &churner{s: s, rand: rand.New(rand.NewPCG(1, uint64(i))), dialect: shoal}
		if i%2 == 1 {
			c.dialect = rxdb
		} else if i%40 == 0 {
			c.role = protocol.Role{RxDB: true, AlwaysOn: i%80 == 0}
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
	truth := make(map[string]map[string]*churner)
	for _, c := range all {
		if truth[c.room] == nil {
			truth[c.room] = make(map[string]*churner)
		}
		truth[c.room][c.p.id] = c
	}
	for i, c := range all {
		for c.dialect == rxdb && !isTree(truth[c.room]) || c.dialect == shoal && !c.knows(truth[c.room]) {
			select {
			case <-c.from.news:
			case <-time.After(patience):
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
