// Shoal-server serves the pages' files and the signaling that lets peers find one another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "shoal-server:", err)
		os.Exit(1)
	}
}

// command does what the arguments ask for.
func command(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "token" {
		return runToken(args[1:], os.Getenv, os.Stdout, os.Stderr)
	}
	return run(ctx, args, os.Getenv, os.Stderr)
}
