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
	"time"

	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/server/assets"
	"github.com/shoaldb/shoal/server/hub"
)

const (
	// requestTimeout bounds the time that a client takes to send a request. None needs a body, but net/http waits for one.
	requestTimeout = 10 * time.Second
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
		_, err := fmt.Fprintln(output, "shoal-server", flags.Build())
		return err
	}
	files, err := assets.NewHandler(assets.FS())
	if err != nil {
		return err
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	n, err := openNode(ctx, c, newLogger(c, output))
	if err != nil {
		return err
	}
	defer n.close()
	scheme := "http"
	if n.tls != nil {
		scheme = "https"
	}
	n.log.Info("listening", "url", scheme+"://"+n.ln.Addr().String()+"/", "assets", files.Built(), "version", flags.Build())
	return n.serve(ctx, files)
}

// serve answers requests until ctx ends, and then sees everybody off.
func (n *node) serve(ctx context.Context, files http.Handler) error {
	s := n.server(n.routes(files))
	s.TLSConfig = n.tls.Clone() // for it is given HTTP's protocols, which TURN does not speak
	ended := make(chan error, 1)
	go func() {
		if n.tls != nil {
			ended <- s.ServeTLS(n.ln, "", "")
		} else {
			ended <- s.Serve(n.ln)
		}
	}()
	n.ready.Store(true)
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return n.stop(s, ended)
}

// server answers requests, within bounds of time.
func (n *node) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:        handler,
		ReadTimeout:    requestTimeout,
		WriteTimeout:   answerTimeout,
		IdleTimeout:    keepAlive,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}

// stop tells the load balancer, then the clients, and waits until they have gone.
func (n *node) stop(s *http.Server, ended <-chan error) error {
	n.ready.Store(false)
	n.log.Info("stopping", "delay", n.config.delay)
	ctx, cancel := context.WithTimeout(context.Background(), n.config.delay)
	defer cancel()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel = context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := errors.Join(n.hub.Shutdown(ctx), s.Shutdown(ctx))
	<-ended
	if errors.Is(err, context.DeadlineExceeded) {
		n.log.Warn("clients were cut off", "err", err)
		s.Close()
		return nil
	}
	return err
}

// routes says what is where. RxDB clients that know only a host connect to "/".
func (n *node) routes(files http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/signal", n.hub)
	n.health(mux)
	if n.config.metrics == "" && n.ln.Addr().(*net.TCPAddr).IP.IsLoopback() {
		mux.Handle("/metrics", n.metrics.handler())
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && hub.IsUpgrade(r) {
			n.hub.ServeHTTP(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
	return mux
}

// health answers whether the server runs, and whether it takes new clients.
func (n *node) health(mux *http.ServeMux) {
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if n.ready.Load() {
			plain(w, http.StatusOK, "ready")
		} else {
			plain(w, http.StatusServiceUnavailable, "not ready")
		}
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}
