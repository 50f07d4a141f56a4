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

// fillRaw waits for input and only then borrows a buffer for it.
func (c *conn) fillRaw() error {
	c.fillErr = nil
	if err := c.raw.Read(c.ready); err != nil {
		return err
	}
	return c.fillErr
}

// readable is called when there may be input; it returns false to be called again when there is.
func (c *conn) readable(fd uintptr) bool {
	if c.in == nil {
		c.in = takeInbox()
	}
	n, err := readFD(int(fd), c.in.space())
	switch {
	case err == syscall.EAGAIN:
		c.release()
		return false
	case err != nil:
		c.fillErr = err
	case n == 0:
		c.fillErr = io.EOF
	default:
		c.in.buf = c.in.buf[:len(c.in.buf)+n]
	}
	return true
}

func readFD(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n, err
		}
	}
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
