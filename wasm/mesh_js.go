//go:build js

package main

import (
	"context"
	"encoding/json"
	"net"

	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// sharedMesh is a mesh that all pools of a database share whose options of the connection are the same.
type sharedMesh struct {
	*pool.Mesh
	key   string
	users int // guarded by database.mu
}

// mesh returns the mesh for opts, made if need be. It is given back with release.
func (d *database) mesh(opts *connectionOptions) (*sharedMesh, error) {
	text, err := json.Marshal(opts)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, net.ErrClosed
	}
	m := d.meshes[string(text)]
	if m == nil {
		m = &sharedMesh{key: string(text)}
		if m.Mesh, err = d.connect(m, opts); err != nil {
			return nil, err
		}
		d.meshes[m.key] = m
	}
	m.users++
	return m, nil
}

func (d *database) connect(m *sharedMesh, opts *connectionOptions) (*pool.Mesh, error) {
	if opts.Network != 0 {
		n, err := thing[*network](d.core, arguments{float64(opts.Network)})
		if err != nil {
			return nil, err
		}
		return pool.NewMesh(n, &pool.MeshOptions{Secret: opts.Secret}), nil
	}
	o := &pool.ConnectOptions{Mesh: pool.MeshOptions{Secret: opts.Secret}, RTC: rtc.Options{RelayOnly: opts.RelayOnly, NoRelay: opts.NoRelay}}
	o.Signaling.Fallbacks = opts.Fallbacks
	switch {
	case opts.AskToken:
		o.Signaling.Token = func(ctx context.Context, topic string) (string, error) { return d.core.token(ctx, m, topic) }
	case opts.Token != "":
		o.Signaling.Token = func(context.Context, string) (string, error) { return opts.Token, nil }
	}
	for _, s := range opts.ICEServers {
		o.RTC.ICEServers = append(o.RTC.ICEServers, rtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return pool.Connect(opts.URL, o)
}

// token asks the application for the token of a topic, by way of a pool that needs it.
func (c *core) token(ctx context.Context, m *sharedMesh, topic string) (string, error) {
	for _, r := range all[*replicating](c) {
		if r.mesh != m || r.topic != topic {
			continue
		}
		answer, err := c.ask(ctx, requestToken, r.number, topic, nil)
		if err == nil && answer == "" {
			err = jsbridge.TypeError("token must return a string that is not empty")
		}
		return answer, err
	}
	return "", net.ErrClosed // the pool was cancelled meanwhile
}

// release gives a mesh back; the last one closes it. It blocks until that is done.
func (d *database) release(m *sharedMesh) {
	d.mu.Lock()
	m.users--
	last := m.users == 0
	if last {
		delete(d.meshes, m.key)
	}
	d.mu.Unlock()
	if last {
		_ = m.Close() // nobody is left to be told
	}
}
