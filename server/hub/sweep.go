package hub

import (
	"time"

	"github.com/gobwas/ws"

	"github.com/shoaldb/shoal/shared/protocol"
)

// goodbye is how many seconds a client has to close a connection that the server ended.
const goodbye = 5

// sweep looks after all connections once a second. One goroutine with a coarse clock stands for several timers a connection.
func (h *Hub) sweep() {
	var conns []*conn
	var b batch
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-t.C:
		}
		now := h.tick.Add(1)
		h.dropPending(func(c *conn) bool { return now-c.spoke.Load() > seconds(h.opts.HandshakeTimeout) })
		h.mu.Lock()
		conns = h.snapshot(conns[:0])
		h.mu.Unlock()
		wall := time.Now()
		for _, c := range conns {
			c.check(now, &b)
			if e := c.expires.Load(); e != 0 && wall.Unix() >= e {
				c.expire(wall, &b)
			}
			if due := c.iceDue.Load(); due != 0 && now >= due && c.ending.Load() == 0 {
				c.tellICE(c.mayTURN(), &b)
			}
			b.flush() // now, for each takes a buffer until then
		}
		clear(conns)
	}
}

// seconds rounds a duration up to ticks.
func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

// check ends a connection that is dead, stuck or silent, and asks one that is quiet whether it is still there.
func (c *conn) check(now uint32, b *batch) {
	o := &c.hub.opts
	quiet := now - c.heard.Load()
	silent := now - c.spoke.Load()
	stuck := c.stuck.Load()
	ending := c.ending.Load()
	switch {
	case ending != 0:
		if now-ending > goodbye {
			c.cut()
		}
	case stuck != 0 && now-stuck > seconds(o.WriteTimeout):
		c.drop(reasonSlow, "does not read")
	case quiet > seconds(o.PingInterval)+seconds(o.PingTimeout):
		c.drop(reasonDead, "does not answer")
	case !c.known.Load() && silent > seconds(o.HandshakeTimeout):
		c.end(protocol.CodeIdle, "no hello")
	case silent > seconds(o.IdleTimeout):
		c.end(protocol.CodeIdle, "no ping for "+o.IdleTimeout.String())
	case quiet > seconds(o.PingInterval) && c.pinged.CompareAndSwap(false, true):
		c.put(ws.OpPing, nil, b)
	}
}

// drop cuts off a client that could not be told why.
func (c *conn) drop(r reason, why string) {
	if c.ending.CompareAndSwap(0, c.hub.tick.Load()) {
		c.hub.stats.cutFor(r)
		c.hub.opts.Logger.Info("connection cut off", "peer", c.name(), "reason", why)
		c.cut()
	}
}
