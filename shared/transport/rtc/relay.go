package rtc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/x25519"
)

// ErrRelay is why an attempt at a relayed connection failed that the peer, or the signaling server, does not want.
var ErrRelay = errors.New("rtc: no relay through the signaling server")

const (
	// relayQueue is how many frames may wait for a relayed link. What is beyond is lost, and sent again.
	relayQueue = 32
	// relayHighWater is what a relayed connection queues for a lane before Send blocks.
	relayHighWater = 4 * relayPayload
	// relayPings is how many pings in a row may go without an answer.
	relayPings = 3
	// relayPart bounds how long a link that ends tries to say so.
	relayPart = time.Second
	// serverCandidate is what the statistics say instead of the type of a candidate.
	serverCandidate = "server"
)

// relaying is what a relayed link has besides. Its methods are the link's.
type relaying struct {
	id      relayID
	frames  chan relayFrame
	refused chan struct{} // one token: the server dropped something that was too much
	send    func(ctx context.Context, l *link, frame []byte) error
	tunnel  *tunnel // set before the owner is told that the link is open
}

func newRelaying(id relayID) *relaying {
	return &relaying{id: id, frames: make(chan relayFrame, relayQueue), refused: make(chan struct{}, 1)}
}

func (l *link) relayStats() transport.Stats {
	s := transport.Stats{LocalCandidate: serverCandidate, RemoteCandidate: serverCandidate, Relayed: true, RTT: l.pings.last()}
	s.BytesSent, s.BytesReceived = l.relay.tunnel.sentBytes.Load(), l.relay.tunnel.receivedBytes.Load()
	return s
}

// runRelayed drives a relayed link until it ends. open is the peer's frame; nil makes the link begin with its own.
func (l *link) runRelayed(open *relayFrame) {
	defer close(l.ended)
	d := &relayDrive{link: l, connectBy: time.Now().Add(l.timing.connect)}
	l.fail(d.run(open))
	cause := context.Cause(l.done)
	l.in.end(closedError(cause))
	if t := d.relay.tunnel; t != nil && !errors.Is(cause, errClosedByPeer) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.done), relayPart)
		_ = d.relay.send(ctx, l, t.keys.seal(relayClose, 0, nil)) // without it the peer finds out by its pings
		cancel()
	}
	l.owner.ended(l, cause)
}

// relayDrive is the state of a running relayed link. Only its goroutine uses it. Times that are zero are not due.
type relayDrive struct {
	*link
	private [x25519.Size]byte
	hello   []byte // the frame that begins, or answers
	isOpen  bool

	connectBy time.Time // the attempt ends
	helloAt   time.Time // it is sent again
	pingAt    time.Time // the next ping is due
	unheard   int       // pings since something was last heard
	heardAt   time.Time // heardTime at the last look
}

func (d *relayDrive) run(open *relayFrame) error {
	if err := d.begin(open); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		d.flush()
		timer.Reset(time.Until(d.due()))
		if err := d.step(timer); err != nil {
			return err
		}
	}
}

func (d *relayDrive) begin(open *relayFrame) error {
	rand.Read(d.private[:]) // never fails, see crypto/rand
	public := x25519.Public(&d.private)
	if open == nil {
		d.hello = plainRelayFrame(relayOpen, d.relay.id, append([]byte{relayVersion}, public...)...)
		d.helloAt = time.Now()
		return nil
	}
	d.hello = plainRelayFrame(relayAccept, d.relay.id, public...)
	d.helloAt = time.Now()
	return d.agree(open.rest)
}

// agree makes the tunnel.
func (d *relayDrive) agree(public []byte) error {
	keys, err := newRelayKeys(d.relay.id, &d.private, public, d.initiator)
	if err != nil {
		return err
	}
	d.bound = keys.binding
	d.limit = relayPiece
	d.relay.tunnel = newTunnel(keys, pcHandler{
		heard:   func(lane transport.Lane, piece []byte) { d.heard(lane, piece) },
		drained: func(lane transport.Lane) { signalOne(d.lanes[lane].drained) },
	}, relayHighWater/2)
	d.out = d.relay.tunnel
	return nil
}

// flush sends what is to be sent now. What does not get through is sent again when its acknowledgement does not come.
func (d *relayDrive) flush() {
	now := time.Now()
	if !d.helloAt.IsZero() && !now.Before(d.helloAt) {
		d.helloAt = time.Time{}
		if d.initiator {
			d.helloAt = now.Add(resendMin)
		}
		d.pass(d.hello)
	}
	for d.relay.tunnel != nil && d.done.Err() == nil {
		frame := d.relay.tunnel.next(time.Now())
		if frame == nil {
			return
		}
		d.pass(frame)
	}
}

func (d *relayDrive) pass(frame []byte) {
	if err := d.relay.send(d.done, d.link, frame); err != nil && d.done.Err() == nil {
		d.logger.Debug("relay", "peer", d.Peer(), "error", err)
	}
}

// step waits for one thing to happen and deals with it.
func (d *relayDrive) step(timer *time.Timer) error {
	var news chan struct{}
	if d.relay.tunnel != nil {
		news = d.relay.tunnel.news
	}
	select {
	case <-d.done.Done():
		return context.Cause(d.done)
	case f := <-d.relay.frames:
		return d.frame(f)
	case <-news:
	case <-d.relay.refused:
		if d.relay.tunnel != nil {
			d.relay.tunnel.refused(time.Now())
		}
	case <-d.woken:
		if d.relay.tunnel != nil {
			d.relay.tunnel.resume(time.Now())
		}
	case <-timer.C:
		return d.tick(time.Now())
	}
	return nil
}

func (d *relayDrive) frame(f relayFrame) error {
	tunnel := d.relay.tunnel
	switch {
	case f.kind == relayOpen && !d.initiator:
		d.helloAt = time.Now() // the answer was lost
	case f.kind == relayAccept && d.initiator && tunnel == nil:
		d.helloAt = time.Time{}
		if err := d.agree(f.rest); err != nil {
			return err
		}
		d.opened()
	case f.kind == relayRefuse && tunnel == nil:
		return fmt.Errorf("%w: the peer takes none", ErrRelay)
	case f.kind == relayGone && d.isOpen:
		return errClosedByPeer
	case tunnel == nil || f.kind < relayData:
	case f.kind == relayClose:
		if _, err := tunnel.keys.open(f); err == nil {
			return errClosedByPeer
		}
	default:
		return d.take(f)
	}
	return nil
}

func (d *relayDrive) take(f relayFrame) error {
	err := d.relay.tunnel.take(f, time.Now())
	if errors.Is(err, errRelayForged) {
		d.logger.Warn("drop relay frame", "peer", d.Peer(), "error", err)
		return nil
	}
	if err == nil && !d.isOpen && d.relay.tunnel.expected > 0 { // the peer has the keys
		d.opened()
	}
	return err
}

func (d *relayDrive) opened() {
	d.isOpen = true
	d.connectBy = time.Time{}
	d.pingAt = time.Now().Add(d.pause())
	d.ping() // with it the peer knows, too
	d.owner.opened(d.link)
}

// pause is the time between pings: they cost the server something.
func (d *relayDrive) pause() time.Duration { return 3 * d.timing.ping }

func (d *relayDrive) due() time.Time {
	now := time.Now()
	due := now.Add(time.Hour)
	times := []time.Time{d.connectBy, d.helloAt, d.pingAt}
	if d.relay.tunnel != nil {
		times = append(times, d.relay.tunnel.due(now))
	}
	for _, t := range times {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	return due
}

func (d *relayDrive) tick(now time.Time) error {
	if d.relay.tunnel != nil {
		d.relay.tunnel.tick(now)
	}
	if !d.connectBy.IsZero() && !now.Before(d.connectBy) {
		return fmt.Errorf("%w (relayed)", ErrTimeout)
	}
	if d.pingAt.IsZero() || now.Before(d.pingAt) {
		return nil
	}
	heard := d.heardTime()
	if heard.After(d.heardAt) {
		d.heardAt, d.unheard = heard, 0
	}
	if idle := now.Sub(heard); idle < d.pause() {
		d.pingAt = now.Add(d.pause() - idle)
		return nil
	}
	if d.unheard >= relayPings {
		return fmt.Errorf("%w: %d pings through the signaling server", ErrPeerGone, d.unheard)
	}
	d.unheard++
	d.ping()
	d.pingAt = now.Add(d.pause())
	return nil
}
