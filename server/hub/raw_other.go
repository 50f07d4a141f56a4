//go:build !unix

package hub

import "io"

func (c *conn) initRaw() {}

func (c *conn) fillRaw() error { return io.ErrUnexpectedEOF } // not reached: raw is nil

func (c *conn) tryWrite(*outbuf) bool { return false }

func (o *outbuf) write(uintptr) bool { return true }
