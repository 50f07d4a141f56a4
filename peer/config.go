//go:build !js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/shared/store"
)

// config is what the flags say.
type config struct {
	args    []string // after the command
	version bool

	data       string
	primaryKey string
	schemaFile string
	schemas    map[string]json.RawMessage // by name of collection
	durability string
	logLevel   slog.Level

	signal      string
	room        string
	collections string
	token       string
	tokenFile   string
	secret      string
	rxdb        string
	conflicts   string
	iceServers  string
	maxPeers    int

	query string

	long, initial, progress bool
}

// command is what the program can be told to do.
type command struct {
	name, args, summary string
	min, max            int // number of args; max is -1 for any
	flags               func(fs *flag.FlagSet, c *config)
	do                  func(a *app, ctx context.Context) error
}

func commands() []*command {
	return []*command{
		{"run", "", "replicate collections with a room until told to stop", 0, 0, runFlags, (*app).serve},
		{"ls", "[COLLECTION]", "list the collections, or the documents of one", 0, 1, listFlags, (*app).list},
		{"get", "COLLECTION ID", "print a document", 2, 2, nil, (*app).get},
		{"put", "COLLECTION [DOCUMENT...]", "add or replace documents, JSON objects; without any, from standard input", 1, -1, nil, (*app).put},
		{"rm", "COLLECTION ID...", "delete documents", 2, -1, nil, (*app).remove},
		{"watch", "[COLLECTION...]", "print each change as it happens, a line of JSON each", 0, -1, watchFlags, (*app).watch},
		{"export", "[COLLECTION...]", "print all documents, a line of JSON each", 0, -1, nil, (*app).export},
		{"import", "[FILE]", "add or replace what export has printed; what is there already stays as it is", 0, 1, importFlags, (*app).importing},
		{"verify", "", "read all that is stored and tell what is damaged", 0, 0, nil, (*app).verify},
	}
}

func runFlags(fs *flag.FlagSet, c *config) {
	fs.StringVar(&c.signal, "signal", "", "`url` of the signaling server, such as wss://example.com/signal; of a cluster a comma-separated list")
	fs.StringVar(&c.room, "room", "", "`name` of the room, the topic of the others, of 6 to 99 characters")
	fs.StringVar(&c.collections, "collections", "", "comma-separated `list` of what to replicate, such as todos,users@2 with the version of a schema; default: all that the data directory has")
	fs.StringVar(&c.token, "token", "", "`token` for the room, where the signaling server asks for one")
	fs.StringVar(&c.tokenFile, "token-file", "", "`file` with the token, read anew each time that one is needed")
	fs.StringVar(&c.secret, "secret", "", "`secret` of the room, which all in it have to know; better given as an environment variable, which others on the machine do not see")
	fs.StringVar(&c.rxdb, "rxdb", "", "`collection` that the RxDB clients of the room replicate; default: they are left alone")
	fs.StringVar(&c.conflicts, "conflicts", "last", "`way` to resolve conflicts, as the others do it: last (the last write wins) or fields (merge field by field)")
	fs.StringVar(&c.iceServers, "ice-servers", "", "comma-separated `list` of STUN servers to use besides those of the signaling server")
	fs.IntVar(&c.maxPeers, "max-peers", 1000, "most `connections` to others")
}

func listFlags(fs *flag.FlagSet, c *config) {
	fs.BoolVar(&c.long, "long", false, "print whole documents, a line of JSON each, not just their primary keys")
	fs.StringVar(&c.query, "query", "", "Mango `query`, such as {\"selector\":{\"done\":false},\"sort\":[{\"title\":\"asc\"}],\"limit\":10}; default: all documents")
}

func watchFlags(fs *flag.FlagSet, c *config) {
	fs.BoolVar(&c.initial, "initial", false, "begin with all documents as they are")
}

func importFlags(fs *flag.FlagSet, c *config) {
	fs.BoolVar(&c.progress, "progress", false, "show progress though standard error is no terminal")
}

// parse reads the command and its flags, and from the environment those that are not given.
func (a *app) parse(args []string) (*command, error) {
	cmds := commands()
	if len(args) == 0 || isHelp(args[0]) {
		a.usage(a.stdout, cmds)
		return nil, flag.ErrHelp
	}
	name := "run" // shoal-peer --signal … is short for shoal-peer run --signal …
	if !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	i := slices.IndexFunc(cmds, func(c *command) bool { return c.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no command %q; %w", name, errUsage)
	}
	cmd := cmds[i]
	fs := a.flags(cmd)
	if err := a.interleaved(fs, args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			a.commandUsage(fs, cmd)
			return nil, err
		}
		return nil, fmt.Errorf("%w; see shoal-peer %s --help%w", err, cmd.name, hidden{errUsage})
	}
	if err := flags.FromEnvironment(fs, a.getenv); err != nil {
		return nil, err
	}
	if n := len(a.args); !a.version && (n < cmd.min || cmd.max >= 0 && n > cmd.max) {
		return nil, fmt.Errorf("usage: shoal-peer %s %s [flags]%w", cmd.name, cmd.args, hidden{errUsage})
	}
	return cmd, a.check()
}

func isHelp(arg string) bool { return slices.Contains([]string{"help", "-h", "-help", "--help"}, arg) }

// hidden is an error that tells nothing.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

func (a *app) flags(cmd *command) *flag.FlagSet {
	fs := flag.NewFlagSet("shoal-peer "+cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.data, "data", "", "data `directory`")
	fs.StringVar(&a.primaryKey, "primary-key", "", "`field` that names a document (default: the schema's, or id)")
	fs.StringVar(&a.schemaFile, "schemas", "", "`file` with the schemas of collections, a JSON object with their names for keys; what is written must follow them")
	fs.StringVar(&a.durability, "durability", string(store.Strict), "when a write counts as done: `strict`, when the disk has it, or relaxed, when the operating system has it")
	fs.TextVar(&a.logLevel, "log-level", slog.LevelInfo, "`level` of the log: debug, info, warn or error")
	fs.BoolVar(&a.version, flags.Version, false, "print the version and end")
	if cmd.flags != nil {
		cmd.flags(fs, &a.config)
	}
	fs.Usage = func() {} // not after each error
	return fs
}

func (a *app) commandUsage(fs *flag.FlagSet, cmd *command) {
	fs.SetOutput(a.stdout)
	fmt.Fprintf(a.stdout, "usage: shoal-peer %s %s [flags]\n\n%s.\n\nEach flag can be given as an environment variable: --data as %sDATA.\n\n",
		cmd.name, cmd.args, strings.ToUpper(cmd.summary[:1])+cmd.summary[1:], flags.Prefix)
	fs.PrintDefaults()
}

func (a *app) usage(w io.Writer, cmds []*command) {
	fmt.Fprintf(w, "usage: shoal-peer COMMAND [arguments] [flags]\n\nA replica without a browser. Commands:\n\n")
	for _, c := range cmds {
		fmt.Fprintf(w, "  %-30s %s\n", c.name+" "+c.args, c.summary)
	}
	fmt.Fprintf(w, "\nAll of them need --data DIR, or %sDATA in the environment. shoal-peer COMMAND --help tells the flags.\n"+
		"While run has the directory, the others ask it, through the socket %s in there.\n", flags.Prefix, socketName)
}

// interleaved reads flags before, between and after arguments. What follows "--" is all arguments.
func (a *app) interleaved(fs *flag.FlagSet, args []string) error {
	var rest []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, rest = args[:i], args[i+1:]
	}
	for {
		if err := fs.Parse(args); err != nil {
			return err
		}
		if fs.NArg() == 0 {
			a.args = append(a.args, rest...)
			return nil
		}
		a.args = append(a.args, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

func (c *config) check() error {
	switch {
	case c.version:
	case c.data == "":
		return fmt.Errorf("which data directory? Give --data DIR, or set %sDATA%w", flags.Prefix, hidden{errUsage})
	case c.durability != string(store.Strict) && c.durability != string(store.Relaxed):
		return fmt.Errorf("--durability is %q, it can be %s or %s%w", c.durability, store.Strict, store.Relaxed, hidden{errUsage})
	case c.conflicts != "" && c.conflicts != "last" && c.conflicts != "fields":
		return fmt.Errorf("--conflicts is %q, it can be last or fields%w", c.conflicts, hidden{errUsage})
	case c.token != "" && c.tokenFile != "":
		return fmt.Errorf("--token and --token-file exclude each other%w", hidden{errUsage})
	}
	return c.readSchemas()
}

func (c *config) readSchemas() error {
	if c.schemaFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.schemaFile)
	if err != nil {
		return fmt.Errorf("--schemas: %w", err)
	}
	if err := json.Unmarshal(text, &c.schemas); err != nil {
		return fmt.Errorf("--schemas: %s is not a JSON object of schemas: %w", c.schemaFile, err)
	}
	return nil
}

// parseStored reads a collection as "todos", or as "todos@2" with the version of its schema.
func parseStored(s string) (shoal.Stored, error) {
	name, version, found := strings.Cut(s, "@")
	if !found {
		return shoal.Stored{Name: name}, nil
	}
	n, err := strconv.ParseUint(version, 10, 32)
	if err != nil {
		return shoal.Stored{}, fmt.Errorf("collection %q: what follows @ is the version of the schema, a number", s)
	}
	return shoal.Stored{Name: name, SchemaVersion: uint32(n)}, nil
}
