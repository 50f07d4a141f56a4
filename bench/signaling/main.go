// Signaling measures this project's signaling server beside RxDB's own, both in RxDB's dialect, on loopback:
//
//	npm ci --prefix bench
//	go run ./bench/signaling [-runs 3] [-only relay,ice]
//
// Each server is started for itself, pinned to one core where taskset exists, with the generator on another; the servers take
// turns. It prints the median of the runs, their spread, and the ratio of the medians. Every loop is bounded, and all ends by
// itself. node_modules may also be elsewhere: -modules FOLDER.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "signaling:", err)
		os.Exit(1)
	}
}

// pinned tells the generator's second self that it has its core.
const pinned = "SHOAL_BENCH_PINNED"

func run(ctx context.Context) error {
	runs := flag.Int("runs", 3, "how often to measure each figure")
	only := flag.String("only", "", "comma-separated names of the scenarios to run; all by default")
	modules := flag.String("modules", "bench", "folder that has node_modules with rxdb; empty to leave RxDB's server out")
	binary := flag.String("binary", "", "server to measure, instead of building it")
	sides := flag.String("sides", "shoal,rxdb", "which servers to measure")
	seconds := flag.Float64("seconds", 2, "how long to measure a rate")
	flag.Parse()
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 && os.Getenv(pinned) == "" {
		return runPinned(ctx)
	}
	dir, err := os.MkdirTemp("", "shoal-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{runs: *runs, duration: time.Duration(*seconds * float64(time.Second)), pin: os.Getenv(pinned) != ""}
	for side := range strings.SplitSeq(*sides, ",") {
		switch {
		case side == "rxdb" && *modules != "":
			b.sides = append(b.sides, rxdbSide(*modules))
		case side == "shoal" && *binary != "":
			b.sides = append(b.sides, shoalSide(*binary))
		case side == "shoal":
			built := dir + "/shoal-server"
			if out, err := exec.CommandContext(ctx, "go", "build", "-o", built, "./server").CombinedOutput(); err != nil {
				return fmt.Errorf("build server: %w\n%s", err, out)
			}
			b.sides = append(b.sides, shoalSide(built))
		}
	}
	return b.all(ctx, *only)
}

// runPinned runs this program again on the last core, leaving the first to the servers.
func runPinned(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", fmt.Sprint(runtime.NumCPU() - 1), self}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), pinned+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd.Run()
}
