package rtc

import (
	"fmt"
	"time"
)

// onWake looks after the path when the network may have changed: it is restarted at once where it is lost, and soon where
// the peer does not answer.
func (d *drive) onWake(now time.Time) {
	switch {
	case !d.isOpen():
	case !d.troubleAt.IsZero():
		d.restartAt = now
	default:
		d.probe(now)
		d.restartAt = now.Add(d.timing.restart)
	}
}

// onLeft finds out whether the peer is there when the server says that it is not: it may be the server that was away.
func (d *drive) onLeft(now time.Time) {
	if d.isOpen() {
		d.probe(now)
		d.probeBy = now.Add(d.timing.probe)
	}
}

// probe asks at once whether the peer is there.
func (d *drive) probe(now time.Time) {
	d.probedAt = now
	d.ping()
}

// due is when tick has something to do next.
func (d *drive) due() time.Time {
	due := time.Now().Add(time.Hour)
	for _, t := range []time.Time{d.connectBy, d.restartAt, d.giveUpBy(), d.pingAt, d.probeBy} {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	return due
}

func (d *drive) giveUpBy() time.Time {
	if d.troubleAt.IsZero() || !d.isOpen() {
		return time.Time{}
	}
	return d.troubleAt.Add(d.timing.giveUp)
}

// tick does what is due. Timers may run late, for minutes in a hidden page, so nothing is concluded from time alone
// where an answer could be waiting.
func (d *drive) tick(now time.Time) error {
	reached := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case reached(d.connectBy):
		return d.seen.explain(ErrTimeout)
	case reached(d.giveUpBy()):
		return fmt.Errorf("%w: no path for %v", ErrPeerGone, now.Sub(d.troubleAt).Round(time.Second))
	case reached(d.probeBy):
		d.probeBy = time.Time{}
		if !d.heardTime().After(d.probedAt) {
			return fmt.Errorf("%w: it left", ErrPeerGone)
		}
	case reached(d.restartAt):
		if !d.troubleAt.IsZero() || !d.heardTime().After(d.probedAt) {
			return d.restart()
		}
		d.restartAt = time.Time{}
	case reached(d.pingAt):
		return d.keepAlive(now)
	}
	return nil
}

// keepAlive pings a peer of which nothing is heard, and gives it up after several pings without an answer. It counts pings
// instead of time: the timers of a hidden page run once a minute, and a laptop that sleeps hears nothing either.
func (d *drive) keepAlive(now time.Time) error {
	heard := d.heardTime()
	if heard.After(d.heardAt) {
		d.heardAt = heard
		d.unheard = 0
	}
	if idle := now.Sub(heard); idle < d.timing.ping {
		d.pingAt = now.Add(d.timing.ping - idle)
		return nil
	}
	patience := d.timing.gone
	if d.state == stateConnected {
		patience = d.timing.frozen // the path works, so the peer is there and does not run
	}
	if time.Duration(d.unheard)*d.timing.ping >= patience {
		return fmt.Errorf("%w: %d pings", ErrPeerGone, d.unheard)
	}
	d.unheard++
	d.ping()
	d.pingAt = now.Add(d.timing.ping)
	return nil
}
