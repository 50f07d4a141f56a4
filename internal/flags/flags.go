// Package flags is what the programs have in common of their command lines: flags that can be given as environment variables too, lists,
// and the version.
package flags

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

// Prefix begins the name of the environment variable of each flag: --max-rooms is SHOAL_MAX_ROOMS.
const Prefix = "SHOAL_"

// Version is the name of the flag that asks for the version. It has no environment variable, for containers often have one of that name
// for something else.
const Version = "version"

// Parse parses a command line. Whoever asks for help gets usage and all flags on output, and the error is flag.ErrHelp then; whoever
// mistakes a flag gets an error that says which, and no long list before it.
func Parse(fs *flag.FlagSet, args []string, output io.Writer, usage string) error {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(output, "usage: %s\n\n", usage)
		fs.SetOutput(output)
		fs.PrintDefaults()
	case err != nil:
		return fmt.Errorf("%w; see %s --help", err, fs.Name())
	}
	return err
}

// FromEnvironment sets the flags that were not given: all of them, or only those named.
func FromEnvironment(fs *flag.FlagSet, getenv func(string) string, only ...string) error {
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		name := Prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if value == "" || f.Name == Version || given[f.Name] || err != nil || len(only) > 0 && !slices.Contains(only, f.Name) {
			return
		}
		if e := fs.Set(f.Name, value); e != nil {
			err = fmt.Errorf("environment variable %s=%q: %w", name, value, e)
		}
	})
	return err
}

// List returns what stands between the commas of a flag's value, without blanks and what is empty.
func List(s string) []string {
	var l []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			l = append(l, item)
		}
	}
	return l
}

// Build tells what the program was built from.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
