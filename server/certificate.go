package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certInterval is how long it may take until a certificate that was renewed is noticed.
const certInterval = 10 * time.Second

// keyPair is a certificate in files that are replaced when it is renewed.
type keyPair struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards the following fields
	current *tls.Certificate
	read    time.Time // modification times of the files, the later
	looked  time.Time
}

// newKeyPair reads the files.
func newKeyPair(cert, key string, log *slog.Logger) (*keyPair, error) {
	c := &keyPair{cert: cert, key: key, log: log}
	c.read, c.looked = c.modified(), time.Now()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	c.current = &pair
	return c, nil
}

// config is for servers that are to use the certificate.
func (c *keyPair) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(time.Now()), nil },
	}
}

// get returns the certificate, after another look at the files where that is due.
func (c *keyPair) get(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < certInterval {
		return c.current
	}
	c.looked = now
	modified := c.modified()
	if modified.Equal(c.read) {
		return c.current
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		c.log.Error("certificate stays what it was", "err", err) // the other file may not be there yet
		return c.current
	}
	c.current, c.read = &pair, modified
	c.log.Info("certificate read again")
	return c.current
}

func (c *keyPair) modified() time.Time {
	var last time.Time
	for _, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
