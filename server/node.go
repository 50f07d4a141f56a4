package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/shoaldb/shoal/server/auth"
	"github.com/shoaldb/shoal/server/cluster"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/server/turn"
)

// node is all that a server runs.
type node struct {
	config  *config
	log     *slog.Logger
	ln      net.Listener
	tls     *tls.Config // nil for none
	hub     *hub.Hub
	turn    *turn.Server     // nil for none
	cluster *cluster.Cluster // nil for none
	metrics *metrics
	ready   atomic.Bool // takes new clients
	closers []func()    // in the order of opening
}

// openNode opens the ports and starts what the flags ask for, but for the HTTP server. Close undoes it, after an error too.
func openNode(ctx context.Context, c *config, log *slog.Logger) (*node, error) {
	n := &node{config: c, log: log}
	if err := n.open(ctx); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) open(ctx context.Context) error {
	c := n.config
	secret, err := readSecret("--secret", c.secret)
	if err != nil {
		return err
	}
	keys, err := c.keys.open()
	if err != nil {
		return err
	}
	if c.tlsCert != "" {
		cert, err := newKeyPair(c.tlsCert, c.tlsKey, n.log)
		if err != nil {
			return err
		}
		n.tls = cert.config()
	}
	if n.ln, err = listen(ctx, c.listen, c.open || keys != nil); err != nil {
		return err
	}
	n.closers = append(n.closers, func() { n.ln.Close() })
	opts := c.hub
	opts.Logger = n.log
	if secret != nil {
		opts.ResumeKey = derive(secret, "resume")
	}
	if keys != nil {
		opts.Authorize = authorize(keys)
		n.runs(func(ctx context.Context) { watchKeys(ctx, keys, keysInterval, n.log) })
	}
	if err := n.openTURN(ctx, secret, keys, &opts); err != nil {
		return err
	}
	if err := n.openCluster(&opts); err != nil {
		return err
	}
	n.metrics = newMetrics(n)
	opts.Joined = n.metrics.joined
	n.hub = hub.New(&opts)
	n.closers = append(n.closers, func() { n.hub.Close() })
	if n.tls == nil {
		n.ln = n.hub.Listener(n.ln, "/", "/signal")
	}
	if n.cluster != nil {
		n.runs(func(ctx context.Context) { n.cluster.Run(ctx, n.hub) })
	}
	return n.openPorts(ctx)
}

func (n *node) openCluster(opts *hub.Options) error {
	if n.config.cluster.URL == "" {
		return nil
	}
	o := n.config.cluster
	o.Logger = n.log
	c, err := cluster.New(&o)
	if err != nil {
		return fmt.Errorf("--nats: %w", err)
	}
	n.cluster, opts.Cluster = c, c
	n.closers = append(n.closers, c.Close)
	if n.config.secret == "" {
		n.log.Warn("without --secret, the same for all nodes, clients get another id when they come by another node")
	}
	return nil
}

func (n *node) openTURN(ctx context.Context, secret []byte, keys *auth.Keys, opts *hub.Options) error {
	if !n.config.turn.on {
		return nil
	}
	t, err := n.config.turn.start(ctx, n.config, secret, n.tls, keys, n.log)
	if err != nil {
		return err
	}
	n.turn = t
	n.closers = append(n.closers, func() { t.Close() })
	opts.ICEServers = t.ICEServers
	return nil
}

// openPorts opens those of the operator.
func (n *node) openPorts(ctx context.Context) error {
	if n.config.pprof != "" {
		stop, err := serveProfiles(ctx, n.config.pprof, n.log)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, stop)
	}
	if m := n.config.metrics; m != "" && m != "off" {
		stop, err := n.serveMetrics(ctx, m)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, stop)
	}
	return nil
}

// runs runs f until the node is closed.
func (n *node) runs(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	n.closers = append(n.closers, func() {
		cancel()
		wg.Wait()
	})
}

func (n *node) close() {
	for i := len(n.closers) - 1; i >= 0; i-- {
		n.closers[i]()
	}
}

// resolve returns the TCP address that is to be listened on. Without keys it must be on loopback, unless everybody is meant.
func resolve(address string, open bool) (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", address, err)
	}
	if !addr.IP.IsLoopback() && !open {
		return nil, fmt.Errorf("listen on %s: everybody who reaches that address could use this server, for it has no keys; "+
			"give --auth-key or --auth-jwks-file, or --listen 127.0.0.1:%d, or say --open if that is meant", addr, addr.Port)
	}
	return addr, nil
}

// listen opens a port.
func listen(ctx context.Context, address string, open bool) (net.Listener, error) {
	addr, err := resolve(address, open)
	if err != nil {
		return nil, err
	}
	lc := net.ListenConfig{KeepAlive: -1} // the hub and net/http notice dead sockets themselves
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program uses the port; stop it, or choose another", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}

// newLogger returns the logger that the flags ask for.
func newLogger(c *config, output io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(output, opts))
	}
	return slog.New(slog.NewTextHandler(output, opts))
}
