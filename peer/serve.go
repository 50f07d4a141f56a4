//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/transport/rtc"
)

func (a *app) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: a.logLevel}))
}

// serve replicates until ctx ends.
func (a *app) serve(ctx context.Context) error {
	switch {
	case len(flags.List(a.signal)) == 0:
		return fmt.Errorf("which signaling server? Give --signal wss://…/signal, or set %sSIGNAL%w", flags.Prefix, hidden{errUsage})
	case a.room == "":
		return fmt.Errorf("which room? Give --room NAME, or set %sROOM%w", flags.Prefix, hidden{errUsage})
	}
	for _, u := range flags.List(a.signal) {
		if parsed, err := url.Parse(u); err != nil || parsed.Scheme != "ws" && parsed.Scheme != "wss" || parsed.Host == "" {
			return fmt.Errorf("--signal is %q, it must be like wss://example.com/signal%w", u, hidden{errUsage})
		}
	}
	log := a.logger()
	h, err := a.acquire(ctx, "run", log)
	if err != nil {
		return err
	}
	err = a.replicate(ctx, h, log)
	log.Info("stopped")
	return errors.Join(err, h.close())
}

func (a *app) replicate(ctx context.Context, h *host, log *slog.Logger) error {
	collections, err := a.openAll(ctx, h)
	if err != nil {
		return err
	}
	r := newReporter(log)
	opts := a.joinOptions(collections, r)
	if a.rxdb != "" {
		i := slices.IndexFunc(collections, func(c *shoal.Collection) bool { return c.Name() == a.rxdb })
		if i < 0 {
			return fmt.Errorf("--rxdb is %q, it can be one of --collections%w", a.rxdb, hidden{errUsage})
		}
		opts.RxDB = collections[i]
	}
	urls := flags.List(a.signal)
	opts.Connect.Signaling.Fallbacks = urls[1:]
	room, err := h.db.Join(ctx, urls[0], a.room, opts)
	if err != nil {
		return err
	}
	for _, c := range collections {
		log.Info("replicating", "collection", c.Name(), "documents", c.Count(), "room", a.room, "signal", a.signal, "data", a.data, "version", flags.Build())
	}
	r.run(ctx, room)
	log.Info("stopping")
	return room.Leave()
}

// openAll opens the collections that are to be replicated.
func (a *app) openAll(ctx context.Context, h *host) ([]*shoal.Collection, error) {
	if a.conflicts == "fields" {
		h.options.Handler = shoal.FieldMerge{}
	}
	var stored []shoal.Stored
	for _, name := range flags.List(a.collections) {
		s, _, err := h.find(ctx, name)
		if err != nil {
			return nil, err
		}
		stored = append(stored, s)
	}
	if len(stored) == 0 {
		var err error
		if stored, err = h.db.Stored(ctx); err != nil {
			return nil, err
		}
	}
	if len(stored) == 0 {
		return nil, fmt.Errorf("which collections? There is none in %s yet; give --collections NAME,…, or set %sCOLLECTIONS%w", a.data, flags.Prefix, hidden{errUsage})
	}
	var list []*shoal.Collection
	for _, s := range stored {
		c, err := h.open(ctx, s)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (a *app) joinOptions(collections []*shoal.Collection, r *reporter) *shoal.JoinOptions {
	opts := &shoal.JoinOptions{
		Collections: collections, Secret: a.secret, AlwaysOn: true, OnEvent: r.note,
		Connect: pool.ConnectOptions{RTC: rtc.Options{MaxPeers: a.maxPeers}},
	}
	if servers := flags.List(a.iceServers); len(servers) > 0 {
		opts.Connect.RTC.ICEServers = []rtc.ICEServer{{URLs: servers}}
	}
	switch {
	case a.token != "":
		opts.Token = func(context.Context, string) (string, error) { return a.token, nil }
	case a.tokenFile != "":
		opts.Token = func(context.Context, string) (string, error) {
			text, err := os.ReadFile(a.tokenFile)
			return strings.TrimSpace(string(text)), err
		}
	}
	return opts
}

// reporter logs what happens in the room.
type reporter struct {
	log     *slog.Logger
	changed chan struct{}

	mu    sync.Mutex // guards the following field
	dirty map[*shoal.Collection]bool
}

func newReporter(log *slog.Logger) *reporter {
	return &reporter{log: log, changed: make(chan struct{}, 1), dirty: make(map[*shoal.Collection]bool)}
}

// note takes an event. It must not ask the pool.
func (r *reporter) note(c *shoal.Collection, e pool.Event) {
	switch e := e.(type) {
	case pool.Failed:
		r.log.Warn("replication failed", "collection", c.Name(), "peer", e.Peer, "error", e.Err)
	case pool.Clashed:
		r.log.Debug("conflict resolved", "collection", c.Name(), "peer", e.Peer, "document", e.Local.ID)
	case pool.PeersChanged:
		r.mu.Lock()
		r.dirty[c] = true
		r.mu.Unlock()
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
}

// run logs, until ctx ends, how many peers each collection has and whether it is in sync with them, when that changes.
func (r *reporter) run(ctx context.Context, room *shoal.Room) {
	type state struct {
		peers  int
		inSync bool
	}
	last := make(map[*shoal.Collection]state)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		}
		r.mu.Lock()
		dirty := r.dirty
		r.dirty = make(map[*shoal.Collection]bool)
		r.mu.Unlock()
		for c := range dirty {
			peers := room.Pool(c).Peers()
			now := state{len(peers), len(peers) > 0}
			for _, p := range peers {
				now.inSync = now.inSync && p.Progress.InSync
			}
			if now != last[c] {
				last[c] = now
				r.log.Info("peers", "collection", c.Name(), "peers", now.peers, "insync", now.inSync, "documents", c.Count())
			}
		}
	}
}
