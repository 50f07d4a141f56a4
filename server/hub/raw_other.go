//go:build !unix

package hub

import "io"

// Here no socket is raw, and what raw sockets need is not reached.

func (c *conn) initRaw() {}

type input struct{}

func (*input) read(uintptr) bool { return true }

func (w *worker) read(*conn) error { return io.ErrUnexpectedEOF }

func (c *conn) tryWrite(*outbuf) bool { return false }

func (o *outbuf) write(uintptr) bool { return true }
