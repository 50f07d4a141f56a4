//go:build !js

// Shoal-peer is a replica without a browser: it keeps collections in a data directory and replicates them with everybody in a room, always.
// Its other commands read and write that directory, also while it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/shoaldb/shoal/internal/flags"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	err := a.run(ctx, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case !errors.Is(err, errSaid):
		fmt.Fprintln(os.Stderr, "shoal-peer:", err)
	}
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

var (
	errUsage = errors.New("see shoal-peer --help")
	// errSaid tells that what went wrong has been printed.
	errSaid = errors.New("said already")
)

// app is one call of the program.
type app struct {
	config
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// run does what the arguments say.
func (a *app) run(ctx context.Context, args []string) error {
	cmd, err := a.parse(args)
	if err != nil {
		return err
	}
	if a.version {
		_, err := fmt.Fprintln(a.stdout, "shoal-peer", flags.Build())
		return err
	}
	return cmd.do(a, ctx)
}
