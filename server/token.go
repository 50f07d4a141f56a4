package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/server/auth"
	"github.com/shoaldb/shoal/shared/protocol"
)

// rooms is a flag that can be given more than once.
type rooms []string

func (r *rooms) String() string { return strings.Join(*r, ",") }

// Set adds a room, or a beginning of rooms that ends with *.
func (r *rooms) Set(name string) error {
	if !strings.HasSuffix(name, "*") && !protocol.ValidRoom(name) {
		return protocol.ErrBadRoom
	}
	*r = append(*r, name)
	return nil
}

// runToken prints a token that is good for some rooms.
func runToken(args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var k keyFlags
	var names rooms
	var permissions, subject string
	var ttl time.Duration
	fs := flag.NewFlagSet("shoal-server token", flag.ContinueOnError)
	fs.Var(&names, "room", "`name` of a room, or the beginning of names followed by *; may be given more than once")
	fs.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good, such as 30m or 24h")
	fs.StringVar(&permissions, "permissions", "", "comma-separated `list` of "+permissionNames()+"; all by default")
	fs.StringVar(&subject, "subject", "", "`name` of whoever the token is for; optional")
	k.flags(fs)
	const usage = "shoal-server token --room R [flags]\n\nPrints a token that lets its bearer into a room. The keys may be given as environment variables: " + flags.Prefix + "AUTH_KEY."
	if err := flags.Parse(fs, args, stderr, usage); err != nil {
		return err
	}
	if err := flags.FromEnvironment(fs, getenv, "auth-key", "auth-jwks-file"); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see shoal-server token --help", fs.Arg(0))
	case len(names) == 0:
		return errors.New("a token is for rooms: give --room")
	case ttl < time.Second:
		return fmt.Errorf("--ttl %s: a token must be good for a second at least", ttl)
	}
	claims := &auth.Claims{Rooms: names, Subject: subject, Expires: jwt.NewNumericDate(time.Now().Add(ttl))}
	for _, p := range flags.List(permissions) {
		if !slices.Contains(auth.Permissions(), auth.Permission(p)) {
			return fmt.Errorf("--permissions: there is no %q, but %s", p, permissionNames())
		}
		claims.Permissions = append(claims.Permissions, auth.Permission(p))
	}
	return issue(&k, claims, stdout)
}

func issue(k *keyFlags, claims *auth.Claims, stdout io.Writer) error {
	keys, err := k.open()
	if err != nil {
		return err
	}
	if keys == nil {
		return errors.New("a token is signed with the server's key: give --auth-key or --auth-jwks-file")
	}
	token, err := keys.Issue(claims)
	if err != nil {
		return err
	}
	if len(token) > protocol.MaxToken {
		return fmt.Errorf("the token would have %d bytes, and a server takes %d at most; give fewer rooms", len(token), protocol.MaxToken)
	}
	_, err = fmt.Fprintln(stdout, token)
	return err
}

func permissionNames() string {
	var names []string
	for _, p := range auth.Permissions() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// flags are those that say where the keys are, of the server and of its command token.
func (k *keyFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&k.key, "auth-key", "", "`secret` of at least 32 bytes that room tokens are signed with (HS256), or file:PATH of a file with such, one on a line")
	fs.StringVar(&k.jwks, "auth-jwks-file", "", "`file` with a JWK Set of the keys that room tokens are signed with (HS256 or EdDSA)")
}
