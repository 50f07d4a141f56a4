package rtc

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// drive is the state of a running link. Only its goroutine uses it. Times that are zero are not due.
type drive struct {
	*link
	turn      int  // of the last offer made or answered
	awaiting  bool // an answer to it
	described bool // the remote description is set
	early     []candidate
	mark      []byte // fingerprint of the peer's certificate
	seen      seen
	open      [transport.Lanes]bool

	state     string    // of the peer connection
	connectBy time.Time // the attempt ends
	troubleAt time.Time // the path was lost
	restartAt time.Time // ICE is to be restarted
	restarted time.Time // ICE was last restarted
	pingAt    time.Time // the next ping is due
	probedAt  time.Time // it was asked whether the peer is still there
	probeBy   time.Time // the peer must have answered
	unheard   int       // pings since something was last heard
	heardAt   time.Time // heardTime at the last look
}

// run runs until the link is to end, and returns why.
func (d *drive) run(offer signal, old string) error {
	if err := d.begin(offer, old); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(d.due()))
		if err := d.step(timer); err != nil {
			return err
		}
	}
}

// step waits for one thing to happen and deals with it.
func (d *drive) step(timer *time.Timer) error {
	select {
	case <-d.done.Done():
		return context.Cause(d.done)
	case s := <-d.signals:
		return d.signal(s)
	case <-d.events.ready:
		return d.happened(d.events.takeAll())
	case <-d.woken:
		d.onWake(time.Now())
		return nil
	case <-d.left:
		d.onLeft(time.Now())
		return nil
	case <-timer.C:
		return d.tick(time.Now())
	}
}

func (d *drive) begin(offer signal, old string) error {
	if offer.Kind == kindOffer {
		return d.answerTo(offer)
	}
	return d.offer(false, old)
}

func (d *drive) offer(restart bool, old string) error {
	sdp, err := d.pc.offer(d.done, restart)
	if err != nil {
		return err
	}
	d.turn++
	d.awaiting = true
	d.owner.tell(d.link, signal{Kind: kindOffer, ID: d.id, From: d.self, Old: old, Turn: d.turn, SDP: sdp})
	return nil
}

func (d *drive) answerTo(offer signal) error {
	if err := d.checkMark(offer.SDP); err != nil {
		return err
	}
	sdp, err := d.pc.answer(d.done, offer.SDP)
	if err != nil {
		return err
	}
	d.turn = offer.Turn
	d.owner.tell(d.link, signal{Kind: kindAnswer, ID: d.id, From: d.self, Turn: d.turn, SDP: sdp})
	return d.setDescribed()
}

// checkMark refuses a description that names another certificate than the first one did: the binding must not change. Such a description comes from a
// peer that ended the connection first and takes an offer to restart it for that of a new one, or from somebody who meddles: gone is the peer either way.
func (d *drive) checkMark(sdp string) error {
	mark, err := fingerprint(sdp)
	if err != nil {
		return err
	}
	if d.mark != nil && !bytes.Equal(d.mark, mark) {
		return fmt.Errorf("%w: %w: another certificate than before", ErrPeerGone, errSDP)
	}
	d.mark = mark
	return nil
}

func (d *drive) setDescribed() error {
	d.described = true
	early := d.early
	d.early = nil
	return d.addCandidates(early)
}

// signal deals with a signal of the peer. What does not fit is dropped: it may be late.
func (d *drive) signal(s signal) error {
	switch s.Kind {
	case kindOffer:
		if !d.initiator && s.Turn > d.turn {
			return d.answerTo(s)
		}
	case kindAnswer:
		if d.initiator && d.awaiting && s.Turn == d.turn {
			return d.accept(s)
		}
	case kindCandidates:
		return d.addCandidates(s.Candidates)
	case kindRestart:
		if d.initiator && d.isOpen() && time.Since(d.restarted) > d.timing.restart/2 {
			return d.restart()
		}
	case kindFull:
		if !d.isOpen() {
			return fmt.Errorf("%w: at the peer", ErrFull)
		}
	}
	return nil
}

func (d *drive) accept(s signal) error {
	if d.mark != nil && s.From != d.remote() {
		return ErrReplaced // a restart reached what took the peer's place, which does not know the connection
	}
	if err := d.checkMark(s.SDP); err != nil {
		return err
	}
	d.awaiting = false
	d.setRemote(s.From)
	if err := d.pc.accept(d.done, s.SDP); err != nil {
		return err
	}
	return d.setDescribed()
}

func (d *drive) addCandidates(candidates []candidate) error {
	d.seen.theirs = noteTypes(d.seen.theirs, candidates)
	if !d.described {
		if len(d.early)+len(candidates) > maxCandidates {
			return fmt.Errorf("%w: more than %d candidates without a description", errSignal, maxCandidates)
		}
		d.early = append(d.early, candidates...)
		return nil
	}
	for _, c := range candidates {
		if err := d.pc.addCandidate(d.done, c); err != nil {
			if d.done.Err() != nil {
				return context.Cause(d.done)
			}
			d.logger.Debug("add candidate", "peer", d.Peer(), "error", err) // of a kind unknown here; others may do
		}
	}
	return nil
}

// happened deals with what the peer connection did.
func (d *drive) happened(events []pcEvent) error {
	var candidates []candidate
	for _, e := range events {
		if e.kind == eventCandidate {
			candidates = append(candidates, e.candidate)
		}
	}
	d.seen.own = noteTypes(d.seen.own, candidates)
	for len(candidates) > 0 {
		n := min(len(candidates), maxCandidates)
		d.owner.tell(d.link, signal{Kind: kindCandidates, ID: d.id, Candidates: candidates[:n]})
		candidates = candidates[n:]
	}
	for _, e := range events {
		if err := d.handle(e); err != nil {
			return err
		}
	}
	return nil
}

func (d *drive) handle(e pcEvent) error {
	switch e.kind {
	case eventState:
		return d.setState(e.state, time.Now())
	case eventOpen:
		d.open[e.lane] = true
		if d.isOpen() {
			return d.opened()
		}
	case eventClosed:
		return errClosedByPeer
	case eventGather:
		d.seen.fault(e.err)
		d.logger.Info("gather candidates", "peer", d.Peer(), "error", e.err)
	case eventFault:
		return e.err
	}
	return nil
}

func (d *drive) isOpen() bool { return d.open[transport.Live] && d.open[transport.Bulk] }

func (d *drive) opened() error {
	local, remote := d.pc.descriptions()
	bound, err := binding(local, remote)
	if err != nil {
		return err
	}
	d.bound = bound
	d.limit = pieceLimit(remote)
	d.connectBy = time.Time{}
	d.pingAt = time.Now().Add(d.timing.ping)
	d.ping() // so that the round trip time is known from the start
	d.owner.opened(d.link)
	return nil
}

func (d *drive) setState(state string, now time.Time) error {
	d.state = state
	switch state {
	case stateConnected:
		d.troubleAt, d.restartAt = time.Time{}, time.Time{}
	case stateClosed:
		return errClosedByPeer
	case stateFailed:
		if !d.isOpen() {
			return d.seen.explain(errFailed)
		}
		d.trouble(now)
		d.restartAt = now
	case stateDisconnected:
		d.trouble(now)
		d.restartAt = now.Add(d.timing.restart)
	}
	return nil
}

func (d *drive) trouble(now time.Time) {
	if d.troubleAt.IsZero() {
		d.troubleAt = now
	}
}

// restart makes new candidates meet, as after a change of network. Only the initiator makes offers, so the other side asks for
// one. It is repeated while the path is lost: signals may be lost too.
func (d *drive) restart() error {
	d.restarted = time.Now()
	d.restartAt = time.Time{}
	if !d.troubleAt.IsZero() {
		d.restartAt = d.restarted.Add(d.timing.again)
	}
	if !d.initiator {
		d.owner.tell(d.link, signal{Kind: kindRestart, ID: d.id})
		return nil
	}
	if servers := d.newServers(); servers != nil {
		d.pc.setServers(servers)
	}
	return d.offer(true, "")
}
