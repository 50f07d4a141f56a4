//go:build js

package main

import (
	"context"
	"errors"
	"net"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/migration"
	"github.com/shoaldb/shoal/shared/protocol"
	"github.com/shoaldb/shoal/shared/rxdb"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// codes lists the codes of errors in JavaScript, beside those of package jsbridge, with what they stand for. web/src/errors.ts says the same
// to users; a test compares the two.
func codes() []struct {
	code string
	err  error
} {
	return []struct {
		code string
		err  error
	}{
		{"exists", collection.ErrExists},
		{"not-found", collection.ErrNotFound},
		{"changed", collection.ErrChanged},
		{"invalid", collection.ErrInvalid},
		{"clock-skew", collection.ErrClockSkew},
		{"schema", collection.ErrSealed},
		{"schema", migration.ErrNewer},
		{"identity", collection.ErrIdentity},
		{"quota", store.ErrQuota},
		{"locked", store.ErrLocked},
		{"lost", store.ErrLost},
		{"uncertain", store.ErrUncertain},
		{"clock-skew", &protocol.FaultError{Fault: protocol.FaultClock}},
		{"schema", &protocol.FaultError{Fault: protocol.FaultSchema}},
		{"refused", &protocol.FaultError{Fault: protocol.FaultRefused}},
		{"secret", &protocol.FaultError{Fault: protocol.FaultSecret}},
		{"version", &protocol.FaultError{Fault: protocol.FaultVersion}},
		{"limit", &protocol.FaultError{Fault: protocol.FaultLimit}},
		{"peer", &protocol.FaultError{Fault: protocol.FaultFrame}},
		{"peer", &protocol.FaultError{Fault: protocol.FaultDocument}},
		{"peer", &protocol.FaultError{Fault: protocol.FaultStorage}},
		{"cancelled", &protocol.FaultError{Fault: protocol.FaultCancelled}},
		{"peer", protocol.ErrFrame},
		{"refused", rxdb.ErrRefused},
		{"replaced", rxdb.ErrReplaced},
		{"timeout", rxdb.ErrTimeout},
		{"identity", rxdb.ErrSelf},
		{"limit", rxdb.ErrLimit},
		{"peer", rxdb.ErrDocument},
		{"peer", rxdb.ErrRemote},
		{"peer", rxdb.ErrMessage},
		{"unauthorized", protocol.ErrUnauthorized},
		{"unauthorized", protocol.ErrExpired},
		{"room-full", protocol.ErrRoomFull},
		{"topic", protocol.ErrBadRoom},
		{"timeout", rtc.ErrTimeout},
		{"peer-gone", rtc.ErrPeerGone},
		{"replaced", rtc.ErrReplaced},
		{"relay", rtc.ErrRelay},
		{"relay", protocol.ErrRelayDenied},
		{"too-many-peers", rtc.ErrFull},
		{"unsupported", errors.ErrUnsupported},
		{"cancelled", context.Canceled},
		{"timeout", context.DeadlineExceeded},
		{"closed", net.ErrClosed},
	}
}

// codeCallback is for errors that a function of the application threw.
const codeCallback = "callback"

// codeOf returns the code of an error, "" for one without.
func codeOf(err error) string {
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if _, ok := errors.AsType[*jsbridge.Error](err); ok {
		return codeCallback
	}
	if _, ok := errors.AsType[*protocol.RemoteError](err); ok {
		return "signaling"
	}
	return ""
}

// codeOr is codeOf for where no code is no answer.
func codeOr(err error) string {
	if code := codeOf(err); code != "" {
		return code
	}
	return jsbridge.CodeOther
}
