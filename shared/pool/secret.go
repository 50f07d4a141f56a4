package pool

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/shoaldb/shoal/shared/cpace"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/transport"
)

const (
	// proofWait is how long a peer has to prove the secret.
	proofWait = 15 * time.Second
	// partWait is how long a connection that is refused stays, so that the peer hears why.
	partWait = 2 * time.Second
	// avoidMin and avoidMax bound for how long a peer is left alone that did not prove the secret; each time is twice the last.
	avoidMin = time.Minute
	avoidMax = time.Hour
	// maxRefused bounds how many of them are remembered.
	maxRefused = 1024
)

var errSecret = &protocol.FaultError{Fault: protocol.FaultSecret}

// prove has both ends prove the room secret, if this side has one, before anything else is told or taken. What they prove is bound to the
// connection, so that nobody who sits between two connections can pass it on.
func (l *link) prove(ctx context.Context) error {
	if len(l.mesh.secret) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, proofWait, protocol.Faultf(protocol.FaultSecret, "the peer did not prove the room secret in time"))
	defer cancel()
	err := l.exchangeProofs(limited)
	if errors.Is(err, errSecret) {
		l.part(ctx, err)
	}
	return err
}

func (l *link) exchangeProofs(ctx context.Context) error {
	binding := l.conn.Binding()
	if len(binding) == 0 {
		return protocol.Faultf(protocol.FaultSecret, "a room secret needs connections that it can be bound to, as those over WebRTC are")
	}
	run, err := cpace.New(l.mesh.secret, binding)
	if err != nil {
		return fmt.Errorf("begin the proof of the room secret: %w", err)
	}
	theirs, err := trade(ctx, l, &protocol.Share{Point: [cpace.ShareSize]byte(run.Share())})
	if err != nil {
		return err
	}
	own, want, err := run.Tags(theirs.Point[:])
	if err != nil {
		return protocol.Faultf(protocol.FaultSecret, "%v", err)
	}
	proof, err := trade(ctx, l, &protocol.Confirm{Tag: [cpace.TagSize]byte(own)})
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(proof.Tag[:], want) == 0 {
		return protocol.Faultf(protocol.FaultSecret, "the peer has another room secret, or somebody sits in the middle of the connection")
	}
	return nil
}

// trade sends a frame and expects one of the same kind.
func trade[F protocol.Frame](ctx context.Context, l *link, own F) (theirs F, err error) {
	if err := l.conn.Send(ctx, transport.Live, own.AppendTo(nil)); err != nil {
		return theirs, err
	}
	_, data, err := l.conn.Receive(ctx)
	if err != nil {
		return theirs, err
	}
	f, err := protocol.Decode(data)
	if err != nil {
		return theirs, protocol.Faultf(protocol.FaultSecret, "the peer sent no proof of the room secret but %d bytes that are no frame", len(data))
	}
	switch f := f.(type) {
	case F:
		return f, nil
	case *protocol.Close:
		if err := f.Err(); err != nil {
			return theirs, err
		}
	}
	return theirs, protocol.Faultf(protocol.FaultSecret, "the peer sent no proof of the room secret: it may have been given none")
}

// part tells the peer why the connection ends, and waits until it has heard.
func (l *link) part(ctx context.Context, err error) {
	ctx, cancel := context.WithTimeout(ctx, partWait)
	defer cancel()
	if l.conn.Send(ctx, transport.Live, protocol.CloseFor(0, err).AppendTo(nil)) != nil {
		return
	}
	for {
		_, data, err := l.conn.Receive(ctx)
		if err != nil {
			return
		}
		if f, err := protocol.Decode(data); err == nil {
			if _, ok := f.(*protocol.Close); ok {
				return
			}
		}
	}
}

// ended deals with the end of a link, whose connection is closed. Its error is told, and a peer without the secret is left alone.
func (m *Mesh) ended(peer string, err error) {
	var fault *protocol.FaultError
	if !errors.As(err, &fault) {
		return
	}
	if fault.Fault != protocol.FaultSecret {
		for _, p := range m.offered() {
			p.report(peer, fault)
		}
		return
	}
	m.mu.Lock()
	if len(m.unproved) >= maxRefused {
		clear(m.unproved)
	}
	wait := avoidMin << min(m.unproved[peer], 6)
	m.unproved[peer]++
	m.mu.Unlock()
	m.avoid(peer, fault, min(wait, avoidMax))
}
