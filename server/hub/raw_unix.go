//go:build unix

package hub

import (
	"io"
	"net"
	"syscall"
)

// initRaw prepares for waiting without a buffer, which plain TCP sockets can.
func (c *conn) initRaw() {
	t, ok := c.nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	c.raw = raw
	c.ready = c.readable
}

// readable is what RawConn.Read asks whether it is done: at first, and when input, or an end, has come after a no.
func (c *conn) readable(fd uintptr) bool {
	if c.waited {
		return true
	}
	c.waited = true
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// input reads without waiting.
type input struct {
	buf []byte
	n   int
	err error
}

func (in *input) read(fd uintptr) bool {
	for {
		in.n, in.err = syscall.Read(int(fd), in.buf)
		if in.err != syscall.EINTR {
			return true
		}
	}
}

// read appends what has come to the worker's buffer. That may be nothing.
func (w *worker) read(c *conn) error {
	w.input.buf = w.buf[len(w.buf):cap(w.buf)]
	if err := c.raw.Read(w.tryRead); err != nil {
		return err
	}
	switch {
	case w.input.err == syscall.EAGAIN:
		return nil
	case w.input.err != nil:
		return w.input.err
	case w.input.n == 0:
		return io.EOF
	}
	w.buf = w.buf[:len(w.buf)+w.input.n]
	return nil
}

// tryWrite writes as much of o as the socket takes at once, and reports whether that was all. After an error there is nothing
// more to write.
func (c *conn) tryWrite(o *outbuf) bool {
	if c.raw == nil {
		return false
	}
	o.err = nil
	if err := c.raw.Write(o.try); err != nil {
		o.err = err
	}
	if o.err != nil && o.err != syscall.EAGAIN {
		c.cut()
		return true
	}
	return o.written == len(o.b)
}

// write is the callback of tryWrite. It always returns true, so that nobody waits.
func (o *outbuf) write(fd uintptr) bool {
	for o.written < len(o.b) {
		n, err := syscall.Write(int(fd), o.b[o.written:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			o.err = err
			break
		}
		o.written += n
	}
	return true
}
