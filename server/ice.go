package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/server/auth"
	"github.com/shoaldb/shoal/server/turn"
)

// turnFlags say whether there is a TURN server, and what it is like.
type turnFlags struct {
	on   bool
	urls string
	opts turn.Options
}

func (t *turnFlags) flags(fs *flag.FlagSet) {
	o := &t.opts
	fs.BoolVar(&t.on, "turn", false, "serve STUN and TURN as well, to the peers of this server's rooms")
	fs.StringVar(&o.Listen, "turn-listen", "", "`address` of TURN over UDP and TCP; by default port 3478 where --listen is")
	fs.StringVar(&o.ListenTLS, "turn-tls-listen", "", "`address` of TURN over TLS, such as :5349; none by default")
	fs.StringVar(&o.Host, "turn-host", "", "`name` or address by which clients reach TURN; needed where --turn-listen is no single address")
	fs.StringVar(&t.urls, "turn-urls", "", "comma-separated `list` of the TURN URLs to give to clients, those of all nodes of a cluster for one; this server's by default")
	fs.DurationVar(&o.TTL, "turn-ttl", 0, "how long a TURN credential is good; 0 for 1h")
	fs.Int64Var(&o.MaxBytes, "turn-quota", 0, "most `bytes` that a TURN credential can send; 0 for 1073741824, negative for no limit")
	fs.IntVar(&o.MaxAllocations, "turn-max-allocations", 0, "most `allocations` of a TURN credential at a time; 0 for 256")
	fs.IntVar(&o.MaxConns, "turn-max-conns", 0, "most TCP and TLS `connections` to TURN; 0 for 4096")
	fs.IntVar(&o.MaxConnsPerIP, "turn-max-conns-per-address", 0, "most TCP and TLS `connections` to TURN of one address; 0 for 256, negative for no limit")
}

// check completes the flags from the others.
func (t *turnFlags) check(c *config) error {
	if !t.on {
		if t.opts.Listen != "" || t.opts.ListenTLS != "" || t.opts.Host != "" || t.urls != "" {
			return errors.New("--turn-listen, --turn-tls-listen, --turn-host and --turn-urls need --turn")
		}
		return nil
	}
	if t.opts.ListenTLS != "" && c.tlsCert == "" {
		return errors.New("--turn-tls-listen needs --tls-cert and --tls-key")
	}
	t.opts.URLs = flags.List(t.urls)
	for _, u := range t.opts.URLs {
		if !strings.HasPrefix(u, "turn:") && !strings.HasPrefix(u, "turns:") {
			return fmt.Errorf("--turn-urls: %q is not like turn:example.com:3478?transport=udp", u)
		}
	}
	if t.opts.Listen == "" {
		host, _, err := net.SplitHostPort(c.listen)
		if err != nil {
			return fmt.Errorf("--listen %q: %w", c.listen, err)
		}
		t.opts.Listen = net.JoinHostPort(host, "3478")
	}
	return nil
}

// start starts the TURN server. Where keys say who may join, it need not be on loopback.
func (t *turnFlags) start(ctx context.Context, c *config, secret []byte, config *tls.Config, keys *auth.Keys, log *slog.Logger) (*turn.Server, error) {
	for _, address := range []string{t.opts.Listen, t.opts.ListenTLS} {
		if address == "" {
			continue
		}
		if _, err := resolve(address, c.open || keys != nil); err != nil {
			return nil, err
		}
	}
	o := t.opts
	o.TLS, o.Logger = config, log
	if secret != nil {
		o.Secret = derive(secret, "turn")
	}
	s, err := turn.Listen(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("--turn: %w", err)
	}
	servers, _ := s.ICEServers("", true)
	log.Info("serving TURN", "urls", strings.Join(servers[1].URLs, " "))
	return s, nil
}

// readSecret returns a secret that is given as text or as file:PATH, nil for none.
func readSecret(name, source string) ([]byte, error) {
	text := source
	if path, ok := strings.CutPrefix(source, "file:"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text = strings.TrimSpace(string(data))
	}
	switch {
	case source == "":
		return nil, nil
	case len(text) < auth.MinSecret:
		return nil, fmt.Errorf("%s has %d bytes; it needs at least %d, such as those of `openssl rand -base64 32`", name, len(text), auth.MinSecret)
	}
	return []byte(text), nil
}

// derive makes a key for one purpose from a secret.
func derive(secret []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("shoal " + purpose))
	return mac.Sum(nil)
}
