package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/shoaldb/shoal/server/auth"
	"github.com/shoaldb/shoal/server/hub"
)

// keysInterval is how often the files with keys are looked at.
const keysInterval = 5 * time.Second

// keyFlags say where the keys are.
type keyFlags struct{ key, jwks string }

func (k *keyFlags) given() bool { return k.key != "" || k.jwks != "" }

// open reads the keys, nil where there are to be none.
func (k *keyFlags) open() (*auth.Keys, error) {
	var sources []string
	if k.key != "" {
		sources = append(sources, k.key)
	}
	if k.jwks != "" {
		sources = append(sources, "file:"+k.jwks)
	}
	if len(sources) == 0 {
		return nil, nil
	}
	return auth.Open(sources...)
}

// authorize decides by tokens who may enter a room.
func authorize(keys *auth.Keys) func(room, token string) (hub.Grant, error) {
	return func(room, token string) (hub.Grant, error) {
		c, err := keys.Check(room, token, time.Now())
		if err != nil {
			return hub.Grant{}, err
		}
		return hub.Grant{Expires: c.Expires.Time(), Relay: c.Allows(auth.Relay), TURN: c.Allows(auth.TURN)}, nil
	}
}

// watchKeys reads the keys again whenever a file of them has changed, until ctx ends.
func watchKeys(ctx context.Context, keys *auth.Keys, every time.Duration, log *slog.Logger) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !keys.Changed() {
			continue
		}
		if err := keys.Reload(); err != nil {
			log.Error("keys stay what they were", "err", err)
			continue
		}
		log.Info("keys read again", "keys", keys.Len())
	}
}

// checkOrigins reports the first that is no origin as browsers send it.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o) {
			return fmt.Errorf("--origins: %q is not an origin; one is like https://example.com or http://localhost:8080, without a path", o)
		}
	}
	return nil
}

// checkAccess reports what is contradictory in who may use the server.
func (c *config) checkAccess() error {
	if c.open && c.keys.given() {
		return errors.New("--open is for a server without keys; leave it out, or --auth-key and --auth-jwks-file")
	}
	return checkOrigins(c.hub.Origins)
}
