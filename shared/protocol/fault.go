package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// Fault says why a replica closed a channel or the connection. Faults are stable.
type Fault string

// The faults.
const (
	FaultFrame     Fault = "frame"     // a frame that could not be read, or that does not fit the state of the session
	FaultVersion   Fault = "version"   // no version of the protocol in common
	FaultSchema    Fault = "schema"    // the collections have different schemas
	FaultDocument  Fault = "document"  // a document that cannot be stored
	FaultClock     Fault = "clock"     // a write from too far in the future
	FaultLimit     Fault = "limit"     // more of something than is allowed
	FaultRefused   Fault = "refused"   // the application does not want this peer
	FaultStorage   Fault = "storage"   // could not be stored, which is no fault of the receiver
	FaultSecret    Fault = "secret"    // one side has a room secret that the other did not prove
	FaultCancelled Fault = "cancelled" // the pool was cancelled
)

// FaultError is a fault as an error: one that the other side reported, or one to report to it.
type FaultError struct {
	Fault  Fault
	Text   string // what happened, for people
	Remote bool   // the other side reported it
}

// Error says who found what.
func (e *FaultError) Error() string {
	if e.Remote {
		return fmt.Sprintf("peer ended the session (%s): %s", e.Fault, e.Text)
	}
	return fmt.Sprintf("session ended (%s): %s", e.Fault, e.Text)
}

// Is makes a FaultError match any other with the same fault.
func (e *FaultError) Is(target error) bool {
	t, ok := target.(*FaultError)
	return ok && t.Fault == e.Fault
}

// Faultf makes an error that names fault.
func Faultf(fault Fault, format string, args ...any) error {
	return &FaultError{Fault: fault, Text: fmt.Sprintf(format, args...)}
}

// CloseFor returns the frame that tells the other side of err.
func CloseFor(channel Channel, err error) *Close {
	f := &Close{Channel: channel}
	var fault *FaultError
	switch {
	case err == nil:
		return f
	case errors.As(err, &fault) && fault.Remote: // it knows
	case errors.As(err, &fault):
		f.Fault, f.Text = fault.Fault, fault.Text
	case errors.Is(err, ErrFrame):
		f.Fault, f.Text = FaultFrame, err.Error()
	default:
		f.Fault, f.Text = FaultStorage, "internal error" // what else goes wrong here is nobody else's business
	}
	if len(f.Text) > MaxFaultText {
		f.Text = strings.ToValidUTF8(f.Text[:MaxFaultText], "")
	}
	return f
}

// Err returns the error that a received Close stands for, nil if it has no fault.
func (f *Close) Err() error {
	if f.Fault == "" {
		return nil
	}
	return &FaultError{Fault: f.Fault, Text: f.Text, Remote: true}
}

// OpenProof is what shows, in an Open, that its sender knows the topic, without telling it to whoever does not: HMAC-SHA-256 (RFC 2104) with
// the topic as key, over the nonce of the receiver's Hello, the nonce of the sender's, and the name of the collection.
func OpenProof(topic, collection string, receiver, sender [16]byte) (proof [32]byte) {
	h := hmac.New(sha256.New, []byte(topic))
	h.Write(receiver[:])
	h.Write(sender[:])
	h.Write([]byte(collection))
	h.Sum(proof[:0])
	return proof
}
