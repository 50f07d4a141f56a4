package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/shoaldb/shoal/server/assets"
	"github.com/shoaldb/shoal/server/hub"
)

const (
	// headerTimeout bounds the time that a client takes to send a request's header.
	headerTimeout = 10 * time.Second
	// answerTimeout bounds the time that it takes to read an asset: the largest has some 2 MB.
	answerTimeout = 5 * time.Minute
	// keepAlive is how long an HTTP connection may wait for its next request.
	keepAlive = 2 * time.Minute
	// maxHeader bounds a request's header.
	maxHeader = 16 << 10
	// gcPercent trades a little time, for the server makes little garbage, for the memory of many idle connections.
	gcPercent = 50
	// grace is how long clients have to go when the server stops.
	grace = 5 * time.Second
)

// run serves until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, output io.Writer) error {
	c, err := parse(args, getenv, output)
	if err != nil {
		return err
	}
	if c.version {
		_, err := fmt.Fprintln(output, "shoal-server", version())
		return err
	}
	log := slog.New(slog.NewTextHandler(output, &slog.HandlerOptions{Level: c.logLevel}))
	keys, err := c.keys.open()
	if err != nil {
		return err
	}
	files, err := assets.NewHandler(assets.FS())
	if err != nil {
		return err
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ln, err := listen(ctx, c.listen, c.open || keys != nil)
	if err != nil {
		return err
	}
	if keys != nil {
		c.hub.Authorize = authorize(keys)
		var watcher sync.WaitGroup
		defer watcher.Wait()
		watching, stop := context.WithCancel(ctx)
		defer stop()
		watcher.Go(func() { watchKeys(watching, keys, keysInterval, log) })
	}
	if c.pprof != "" {
		stop, err := serveProfiles(ctx, c.pprof, log)
		if err != nil {
			ln.Close()
			return err
		}
		defer stop()
	}
	scheme := "http"
	if c.tlsCert != "" {
		scheme = "https"
	}
	log.Info("listening", "url", scheme+"://"+ln.Addr().String()+"/", "assets", files.Built(), "version", version())
	return serve(ctx, c, ln, files, log)
}

// listen opens the port. Without keys it does so on loopback only, unless told that everybody is meant.
func listen(ctx context.Context, address string, open bool) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if !addr.IP.IsLoopback() && !open {
		return nil, fmt.Errorf("listen on %s: everybody who reaches that address could use this server, for it has no keys; "+
			"give --auth-key or --auth-jwks-file, or --listen 127.0.0.1:%d, or say --open if that is meant", addr, addr.Port)
	}
	lc := net.ListenConfig{KeepAlive: -1} // the hub and net/http notice dead sockets themselves
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program uses the port; stop it, or choose another with --listen", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}

// serve answers requests on ln until ctx ends, and then sees everybody off.
func serve(ctx context.Context, c *config, ln net.Listener, files http.Handler, log *slog.Logger) error {
	c.hub.Logger = log
	h := hub.New(&c.hub)
	defer h.Close()
	s := &http.Server{
		Handler:           routes(h, files),
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() {
		if c.tlsCert != "" {
			ended <- s.ServeTLS(ln, c.tlsCert, c.tlsKey)
		} else {
			ended <- s.Serve(h.Listener(ln, "/", "/signal"))
		}
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := errors.Join(h.Shutdown(ctx), s.Shutdown(ctx))
	<-ended
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("clients were cut off", "err", err)
		s.Close()
		return nil
	}
	return err
}

// routes says what is where. RxDB clients that know only a host connect to "/".
func routes(h *hub.Hub, files http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/signal", h)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && hub.IsUpgrade(r) {
			h.ServeHTTP(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
	return mux
}
