package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/server/cluster"
	"github.com/shoaldb/shoal/server/hub"
)

// config is what the flags say.
type config struct {
	listen    string
	open      bool
	keys      keyFlags
	secret    string
	tlsCert   string
	tlsKey    string
	logLevel  slog.Level
	logFormat string
	pprof     string
	metrics   string
	delay     time.Duration
	origins   string
	proxies   string
	version   bool
	hub       hub.Options
	turn      turnFlags
	cluster   cluster.Options
}

// parse reads the flags, and from the environment those that are not given. Help goes to output.
func parse(args []string, getenv func(string) string, output io.Writer) (*config, error) {
	var c config
	fs := flag.NewFlagSet("shoal-server", flag.ContinueOnError)
	c.flags(fs)
	c.keys.flags(fs)
	c.limits(fs)
	c.turn.flags(fs)
	const usage = "shoal-server [flags]\n       shoal-server token --room R [flags]\n\nEach flag can be given as an environment variable: --max-rooms as " + flags.Prefix + "MAX_ROOMS."
	if err := flags.Parse(fs, args, output, usage); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see shoal-server --help", fs.Arg(0))
	}
	if err := flags.FromEnvironment(fs, getenv); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *config) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	fs.BoolVar(&c.open, "open", false, "serve everybody, without keys, also off loopback")
	fs.StringVar(&c.tlsCert, "tls-cert", "", "`file` with the certificate chain; with --tls-key the server speaks TLS only")
	fs.StringVar(&c.tlsKey, "tls-key", "", "`file` with the certificate's private key")
	fs.StringVar(&c.origins, "origins", "", "comma-separated `list` of the origins whose pages may connect; all by default")
	fs.StringVar(&c.proxies, "trusted-proxies", "", "comma-separated `list` of addresses or prefixes of proxies whose X-Forwarded-For counts")
	fs.BoolVar(&c.hub.NoRelay, "no-relay", false, "do not pass on what peers say to each other that find no direct path")
	fs.BoolVar(&c.hub.RxDBMesh, "rxdb-mesh", false, "name all RxDB clients of a room to each other, instead of few in a tree")
	fs.StringVar(&c.secret, "secret", "", "`secret` of at least 32 bytes that the nodes of a cluster share, or file:PATH; signs resume tokens and TURN credentials; random by default")
	fs.StringVar(&c.cluster.URL, "nats", "", "comma-separated `URLs` of NATS, by which several servers serve the same rooms, such as nats://10.0.0.1:4222")
	fs.StringVar(&c.cluster.Credentials, "nats-creds", "", "`file` with credentials for NATS")
	fs.StringVar(&c.cluster.Name, "cluster-name", "", "`name` of the cluster, where several use the same NATS; default shoal")
	fs.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	fs.StringVar(&c.logFormat, "log-format", "text", "`format` of the log: text or json")
	fs.StringVar(&c.metrics, "metrics", "", "`address` on which to serve /metrics, or off; by default they are on the server's own port if that is on loopback")
	fs.DurationVar(&c.delay, "shutdown-delay", 0, "how long /readyz says no before the server stops, so that a load balancer notices")
	fs.StringVar(&c.pprof, "pprof", "", "loopback `address` on which to serve Go's profiles; none by default")
	fs.BoolVar(&c.version, flags.Version, false, "print the version and end")
}

// check reports what does not fit together, and completes the options of the parts.
func (c *config) check() error {
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key need each other")
	case c.cluster.URL == "" && (c.cluster.Credentials != "" || c.cluster.Name != ""):
		return errors.New("--nats-creds and --cluster-name need --nats")
	case c.logFormat != "text" && c.logFormat != "json":
		return fmt.Errorf("--log-format %q: it is text or json", c.logFormat)
	}
	var err error
	c.hub.Origins = flags.List(c.origins)
	if c.hub.TrustedProxies, err = prefixes(flags.List(c.proxies)); err != nil {
		return err
	}
	if err := c.checkAccess(); err != nil {
		return err
	}
	return c.turn.check(c)
}

// limits are flags of the hub's limits, 0 for the default.
func (c *config) limits(fs *flag.FlagSet) {
	o := &c.hub
	for _, l := range []struct {
		name  string
		value *int
		usage string
	}{
		{"max-message", &o.MaxMessage, "most `bytes` of a message; 0 for 65536, which is also the largest"},
		{"max-queue", &o.MaxQueue, "most `bytes` that wait for a client that reads slowly; 0 for 524288"},
		{"rate", &o.Rate, "`messages` a second of one client; 0 for 200, negative for no limit"},
		{"burst", &o.Burst, "`messages` that a client may send at once; 0 for 4000"},
		{"relay-rate", &o.RelayRate, "`bytes` a second that are relayed for one client; 0 for 524288, negative for no limit"},
		{"relay-burst", &o.RelayBurst, "`bytes` that a client may have relayed at once; 0 for 4194304"},
		{"max-rooms", &o.MaxRooms, "most `rooms` of one connection; 0 for 64"},
		{"max-room-peers", &o.MaxRoomPeers, "most `peers` in a room; 0 for 1000"},
		{"max-conns", &o.MaxConns, "most `connections`; 0 for 100000"},
		{"max-conns-per-address", &o.MaxConnsPerAddress, "most `connections` of one address; 0 for 256, negative for no limit"},
	} {
		fs.IntVar(l.value, l.name, 0, l.usage)
	}
	fs.DurationVar(&o.HandshakeTimeout, "handshake-timeout", 0, "how long a connection may take to say what it is; 0 for 10s")
	fs.DurationVar(&o.IdleTimeout, "idle-timeout", 0, "how long a client may say nothing, not even ping; 0 for 2m")
}

func prefixes(items []string) ([]netip.Prefix, error) {
	var l []netip.Prefix
	for _, item := range items {
		p, err := netip.ParsePrefix(item)
		if err != nil {
			addr, addrErr := netip.ParseAddr(item)
			if addrErr != nil {
				return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a prefix", item)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96) // clients' addresses are looked at like that
		}
		l = append(l, p)
	}
	return l, nil
}
