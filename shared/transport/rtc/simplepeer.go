package rtc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
)

// singleLabel is the label of the channel of a SimplePeer. simple-peer's are random.
const singleLabel = "shoal"

const (
	// maxTextMessage is the longest text that a SimplePeer takes, and maxUnreadTexts bounds those that wait for Receive: the other end
	// knows no credit.
	maxTextMessage = 256 << 10
	maxUnreadTexts = 64 << 20
	// maxSimpleSignals is how many signals may wait for a SimplePeer. Each candidate is one.
	maxSimpleSignals = 256
)

// SimplePeerOptions of NewSimplePeer. The zero value of a field is its default.
type SimplePeerOptions struct {
	// Initiator makes the offer.
	Initiator bool
	// Tell sends a signal, a JSON text, to the other end. It may block until ctx ends. Signals that it does not pass are lost.
	Tell func(ctx context.Context, signal []byte)
	// The following are as in Options.
	ICEServers      []ICEServer
	RelayOnly       bool
	ConnectTimeout  time.Duration
	HighWater       int
	LoopbackOnly    bool
	InterfaceFilter func(name string) bool
	Logger          *slog.Logger
}

// SimplePeer is one end of a connection as the npm package simple-peer makes it: one data channel, text messages, and signals that are {type, sdp}
// or {candidate}. It has no keepalive: that the other end is gone shows when ICE gives up. All methods may be called concurrently, except that Receive has one caller at a time.
type SimplePeer struct {
	initiator bool
	tell      func(ctx context.Context, signal []byte)
	logger    *slog.Logger
	pc        *pc
	highWater int
	connectBy time.Duration

	done    context.Context // ends with the connection; its cause is the error of Send and Receive
	fail    context.CancelCauseFunc
	opened  chan struct{} // closed once the channel is open
	ended   chan struct{} // closed when nothing runs any more
	events  pcQueue
	signals chan simpleSignal
	turn    chan struct{} // holds one token; who took it may send
	drained chan struct{} // one token: the channel holds little again
	ready   chan struct{} // one token: there are texts

	mu    sync.Mutex // guards the following fields
	texts [][]byte
	size  int
}

// simpleSignal is a signal of simple-peer 9. Those that ask for media or another negotiation are of no use here and are ignored.
type simpleSignal struct {
	Type      string     `json:"type,omitempty"`
	SDP       string     `json:"sdp,omitempty"`
	Candidate *candidate `json:"candidate,omitempty"`
}

// NewSimplePeer makes one end. It works until Close, or until the connection fails.
func NewSimplePeer(opts *SimplePeerOptions) (*SimplePeer, error) {
	o := (&Options{
		ICEServers: opts.ICEServers, RelayOnly: opts.RelayOnly, ConnectTimeout: opts.ConnectTimeout, HighWater: opts.HighWater,
		LoopbackOnly: opts.LoopbackOnly, InterfaceFilter: opts.InterfaceFilter, Logger: opts.Logger,
	}).withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	native, err := newNativeConfig(o)
	if err != nil {
		return nil, err
	}
	s := &SimplePeer{
		initiator: opts.Initiator, tell: opts.Tell, logger: o.Logger, highWater: o.HighWater, connectBy: o.ConnectTimeout,
		opened:  make(chan struct{}),
		ended:   make(chan struct{}),
		events:  pcQueue{ready: make(chan struct{}, 1)},
		signals: make(chan simpleSignal, maxSimpleSignals),
		turn:    make(chan struct{}, 1),
		drained: make(chan struct{}, 1),
		ready:   make(chan struct{}, 1),
	}
	s.turn <- struct{}{}
	s.done, s.fail = context.WithCancelCause(context.Background())
	s.pc, err = newPC(pcConfig{
		servers: o.ICEServers, relayOnly: o.RelayOnly, lowWater: o.HighWater / 2, native: native, counts: &counts{},
		single: true, initiator: opts.Initiator,
	}, pcHandler{
		event:   s.events.put,
		heard:   func(_ transport.Lane, text []byte) { s.heard(text) },
		drained: func(transport.Lane) { signalOne(s.drained) },
	})
	if err != nil {
		s.fail(err)
		return nil, err
	}
	go s.run()
	return s, nil
}

// Signal takes a signal of the other end. It does not block. A signal that is malformed ends the connection.
func (s *SimplePeer) Signal(data []byte) {
	var m simpleSignal
	err := json.Unmarshal(data, &m)
	switch {
	case len(data) > maxSignal:
		err = fmt.Errorf("%w: %d bytes, the limit is %d", errSignal, len(data), maxSignal)
	case err != nil:
		err = fmt.Errorf("%w: %w", errSignal, err)
	case m.Candidate != nil:
		err = m.Candidate.check()
	case m.SDP != "":
		err = checkSDP(m.SDP)
	default:
		return // renegotiate and transceiverRequest
	}
	if err != nil {
		s.fail(err)
		return
	}
	select {
	case s.signals <- m:
	default:
		s.fail(fmt.Errorf("%w: more than %d wait", errSignal, maxSimpleSignals))
	}
}

// Opened is closed once the connection is open.
func (s *SimplePeer) Opened() <-chan struct{} { return s.opened }

// Done is closed once the connection has failed or was closed.
func (s *SimplePeer) Done() <-chan struct{} { return s.done.Done() }

// Err is why Done is closed.
func (s *SimplePeer) Err() error { return closedError(context.Cause(s.done)) }

// Close ends the connection and waits until nothing of it runs any more.
func (s *SimplePeer) Close() error {
	s.fail(net.ErrClosed)
	<-s.ended
	return nil
}

// Stats is Stats of transport.Conn.
func (s *SimplePeer) Stats(ctx context.Context) transport.Stats {
	if s.done.Err() != nil {
		return transport.Stats{}
	}
	st, err := s.pc.stats(ctx)
	if err != nil {
		s.logger.Debug("get stats", "error", err)
	}
	return st
}

// run drives the connection.
func (s *SimplePeer) run() {
	defer close(s.ended)
	s.fail(s.drive())
	s.pc.close()
}

func (s *SimplePeer) drive() error {
	if s.initiator {
		sdp, err := s.pc.offer(s.done, false)
		if err != nil {
			return err
		}
		s.say(simpleSignal{Type: kindOffer, SDP: sdp})
	}
	timeout := time.NewTimer(s.connectBy)
	defer timeout.Stop()
	d := simpleDrive{SimplePeer: s}
	for {
		var err error
		select {
		case <-s.done.Done():
			return context.Cause(s.done)
		case m := <-s.signals:
			err = d.signal(m)
		case <-s.events.ready:
			for _, e := range s.events.takeAll() {
				err = errors.Join(err, d.happened(e))
			}
		case <-timeout.C:
			if !d.open {
				err = ErrTimeout
			}
		}
		if err != nil {
			return err
		}
	}
}

// simpleDrive is the state of run.
type simpleDrive struct {
	*SimplePeer
	open      bool
	described bool // the remote description is set
	early     []candidate
}

func (d *simpleDrive) signal(m simpleSignal) error {
	switch {
	case m.Candidate != nil:
		return d.addCandidate(*m.Candidate)
	case d.described:
		return nil // a second negotiation: there is nothing to negotiate
	case m.Type == kindOffer && !d.initiator:
		sdp, err := d.pc.answer(d.done, m.SDP)
		if err != nil {
			return err
		}
		d.say(simpleSignal{Type: kindAnswer, SDP: sdp})
	case m.Type == kindAnswer && d.initiator:
		if err := d.pc.accept(d.done, m.SDP); err != nil {
			return err
		}
	default:
		return nil
	}
	d.described = true
	early := d.early
	d.early = nil
	for _, c := range early {
		if err := d.addCandidate(c); err != nil {
			return err
		}
	}
	return nil
}

func (d *simpleDrive) addCandidate(c candidate) error {
	if c.Candidate == "" {
		return nil // the end of candidates
	}
	if !d.described {
		if len(d.early) >= maxCandidates {
			return fmt.Errorf("%w: more than %d candidates without a description", errSignal, maxCandidates)
		}
		d.early = append(d.early, c)
		return nil
	}
	if err := d.pc.addCandidate(d.done, c); err != nil {
		if d.done.Err() != nil {
			return context.Cause(d.done)
		}
		d.logger.Debug("add candidate", "error", err) // of a kind unknown here; others may do
	}
	return nil
}

func (d *simpleDrive) happened(e pcEvent) error {
	switch e.kind {
	case eventCandidate:
		c := e.candidate
		c.UsernameFragment = nil // simple-peer does not pass it on
		d.say(simpleSignal{Type: "candidate", Candidate: &c})
	case eventState:
		switch e.state {
		case stateFailed:
			return errFailed
		case stateClosed:
			return errClosedByPeer
		}
	case eventOpen:
		if !d.open {
			d.open = true
			close(d.opened)
		}
	case eventClosed:
		return errClosedByPeer
	case eventFault:
		return e.err
	}
	return nil
}

func (s *SimplePeer) say(m simpleSignal) {
	data, err := json.Marshal(m)
	if err != nil {
		s.fail(err)
		return
	}
	s.tell(s.done, data)
}

// heard takes a text from the channel. It never blocks.
func (s *SimplePeer) heard(text []byte) {
	if len(text) > maxTextMessage {
		s.fail(fmt.Errorf("%w: text of %d bytes, the limit is %d", errOverrun, len(text), maxTextMessage))
		return
	}
	s.mu.Lock()
	s.texts = append(s.texts, text)
	s.size += len(text)
	over := s.size > maxUnreadTexts
	s.mu.Unlock()
	if over {
		s.fail(fmt.Errorf("%w: %d bytes are unread", errOverrun, maxUnreadTexts))
	}
	signalOne(s.ready)
}

// Receive blocks for the next text. What came before the connection ended is still received.
func (s *SimplePeer) Receive(ctx context.Context) ([]byte, error) {
	for {
		s.mu.Lock()
		if len(s.texts) > 0 {
			text := s.texts[0]
			s.texts[0] = nil
			if s.texts = s.texts[1:]; len(s.texts) == 0 {
				s.texts = nil // so that the array does not grow for ever
			}
			s.size -= len(text)
			s.mu.Unlock()
			return text, nil
		}
		s.mu.Unlock()
		if s.done.Err() != nil {
			return nil, s.Err()
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.done.Done():
		}
	}
}

// Send sends one text. It blocks until the connection is open, and while its channel holds more than HighWater bytes.
func (s *SimplePeer) Send(ctx context.Context, text []byte) error {
	if err := s.wait(ctx, s.opened); err != nil {
		return err
	}
	if err := s.wait(ctx, s.turn); err != nil {
		return err
	}
	defer func() { s.turn <- struct{}{} }()
	for s.pc.buffered(transport.Live) > s.highWater {
		if err := s.wait(ctx, s.drained); err != nil {
			return err
		}
	}
	if err := s.pc.send(transport.Live, text); err != nil {
		s.fail(err)
		return s.Err()
	}
	return nil
}

func (s *SimplePeer) wait(ctx context.Context, ch <-chan struct{}) error {
	if s.done.Err() != nil {
		return s.Err()
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done.Done():
		return s.Err()
	}
}
