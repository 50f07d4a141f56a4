//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/shared/store"
)

const (
	// socketName is that of the socket in the data directory.
	socketName = "shoal.sock"
	// patience is how long a command waits for another that has the directory and answers nothing, as one does that is just beginning or ending.
	patience = 5 * time.Second
	// again is how long it waits between two tries.
	again = 50 * time.Millisecond
	// farewell is how long requests may take to end when the process does.
	farewell = 2 * time.Second
	// maxSocketPath is the longest path of a socket on all systems.
	maxSocketPath = 103
)

// host is a process that has the data directory. It answers the commands of others, and its own, by HTTP: on a socket in the
// directory, which nobody but the directory's owner can open, and in memory.
type host struct {
	*api
	server http.Server
	memory *memoryListener
	socket *socket // nil where there can be none
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// openHost opens the data directory, and serves it. The error matches store.ErrLocked if another process has it.
func (a *app) openHost(name string, log *slog.Logger) (*host, error) {
	db, err := shoal.Open(a.data, &shoal.Options{Durability: store.Durability(a.durability), Logger: log})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{api: newAPI(db, name, &a.config), memory: newMemoryListener(), cancel: cancel}
	h.server = http.Server{
		Handler:           h.api.routes(),
		ReadHeaderTimeout: patience,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	h.wg.Go(func() { h.server.Serve(h.memory) })
	if h.socket, err = listen(a.data); err != nil {
		log.Warn("other commands cannot reach this process", "error", err)
	} else {
		h.wg.Go(func() { h.server.Serve(h.socket) })
	}
	return h, nil
}

// close ends requests, those that would go on for ever at once, and then gives up the directory.
func (h *host) close() error {
	h.cancel() // what streams ends
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		h.server.Close()
	}
	h.wg.Wait()
	return h.db.Close()
}

// connect returns a client of the process that has the data directory, which is this one if no other is. closeAll gives it up.
func (a *app) connect(ctx context.Context, name string) (c *client, closeAll func() error, err error) {
	if name != "put" && name != "import" { // which may begin a new one
		if _, err := os.Stat(a.data); err != nil {
			return nil, nil, fmt.Errorf("data directory: %w", err)
		}
	}
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		h, err := a.openHost(name, a.logger())
		if err == nil {
			return newClient(h.memory.dial), h.close, nil
		}
		if !errors.Is(err, store.ErrLocked) {
			return nil, nil, err
		}
		c := newClient(func(ctx context.Context) (net.Conn, error) { return dial(ctx, a.data) })
		if _, err := c.status(deadline); err == nil {
			return c, c.close, nil
		}
		if err := pause(deadline, again); err != nil {
			return nil, nil, a.errBusy(ctx, nil)
		}
	}
}

// acquire is connect for who must have the directory itself.
func (a *app) acquire(ctx context.Context, name string, log *slog.Logger) (*host, error) {
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		h, err := a.openHost(name, log)
		if err == nil || !errors.Is(err, store.ErrLocked) {
			return h, err
		}
		c := newClient(func(ctx context.Context) (net.Conn, error) { return dial(ctx, a.data) })
		s, statusErr := c.status(deadline)
		c.close()
		if statusErr == nil && s.Command == name || pause(deadline, again) != nil {
			return nil, a.errBusy(ctx, s)
		}
	}
}

// errBusy tells who has the directory, if that is known.
func (a *app) errBusy(ctx context.Context, s *status) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	what := "another process, which does not answer"
	if s != nil {
		what = fmt.Sprintf("shoal-peer %s (process %d)", s.Command, s.PID)
	}
	return fmt.Errorf("data directory %s is in use by %s: stop that, or give --data another directory (%w)", a.data, what, store.ErrLocked)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// socket is a listener on the socket of a data directory.
type socket struct {
	net.Listener
	dir io.Closer
}

func (s *socket) Close() error { return errors.Join(s.Listener.Close(), s.dir.Close()) }

// listen makes the socket. The caller has the directory, so that a socket in it is of a process that was killed.
func listen(dir string) (*socket, error) {
	path, d, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, d.Close())
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close(), d.Close())
	}
	return &socket{l, d}, nil
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	path, d, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// socketPath returns the path of the socket, good until the closer is closed. The system bounds the length of such paths; Linux has a short one to every open
// directory.
func socketPath(dir string) (string, io.Closer, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, io.NopCloser(nil), nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("the path %s is longer than a socket's can be, which is %d bytes", path, maxSocketPath)
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName), d, nil
}

// memoryListener takes connections within the process.
type memoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements net.Listener.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
