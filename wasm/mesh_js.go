//go:build js

package main

import (
	"encoding/json"
	"net"

	"github.com/shoaldb/shoal/shared/pool"
	"github.com/shoaldb/shoal/shared/transport/rtc"
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
		mesh, err := d.connect(opts)
		if err != nil {
			return nil, err
		}
		m = &sharedMesh{Mesh: mesh, key: string(text)}
		d.meshes[m.key] = m
	}
	m.users++
	return m, nil
}

func (d *database) connect(opts *connectionOptions) (*pool.Mesh, error) {
	if opts.Network != 0 {
		n, err := thing[*network](d.core, arguments{float64(opts.Network)})
		if err != nil {
			return nil, err
		}
		return pool.NewMesh(n, &pool.MeshOptions{Secret: opts.Secret}), nil
	}
	o := &pool.ConnectOptions{Mesh: pool.MeshOptions{Secret: opts.Secret}, RTC: rtc.Options{RelayOnly: opts.RelayOnly, NoRelay: opts.NoRelay}}
	for _, s := range opts.ICEServers {
		o.RTC.ICEServers = append(o.RTC.ICEServers, rtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	return pool.Connect(opts.URL, o)
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
