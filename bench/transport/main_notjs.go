//go:build !js

// Command transport measures transport/rtc: throughput one way for messages of 64 KB on the bulk lane, round trips of 200 bytes
// on the live lane, and the same while the bulk lane is full, for several high-water marks.
//
//	go run ./bench/transport -kinds native,page,pages,to-page,from-page -high 64,256,1024
//
// native is pion with pion in one process, page is two networks in one page of a headless Chromium, pages is two pages of one
// Chromium, to-page is pion that sends to a page, from-page the other way round.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shoaldb/shoal/internal/browsertest/page"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

func main() {
	kinds := flag.String("kinds", "native,page,pages,to-page,from-page", "what to measure")
	high := flag.String("high", "64,256,1024", "high-water marks in KB")
	size := flag.Int("mb", 64, "MB to send for throughput")
	load := flag.Duration("load", 2*time.Second, "how long to measure latency under load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := measureAll(ctx, strings.Split(*kinds, ","), strings.Split(*high, ","), *size<<20, *load); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measureAll(ctx context.Context, kinds, marks []string, size int, load time.Duration) error {
	dir, err := os.MkdirTemp("", "bench-transport")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	wasm := filepath.Join(dir, "bench.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", wasm, "github.com/shoaldb/shoal/bench/transport")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	browser, err := page.Open(ctx, nil)
	if err != nil {
		return err
	}
	defer browser.Close()
	for _, kind := range kinds {
		for _, mark := range marks {
			kb, err := strconv.Atoi(mark)
			if err != nil {
				return err
			}
			b := &bench{browser: browser, wasm: wasm, server: rtctest.New()}
			fmt.Printf("%-9s %5d KB | ", kind, kb)
			if err := b.run(ctx, kind, job{HighWater: kb << 10, Bytes: size, Time: load}); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil
}

type bench struct {
	browser *page.Browser
	wasm    string
	server  *rtctest.Server
}

func (b *bench) run(ctx context.Context, kind string, j job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j.Role = "both"
	switch kind {
	case "native":
		line, err := perform(ctx, j, b.server.Client("a"), b.server.Client("b"))
		fmt.Println(line)
		return err
	case "page":
		return b.inPage(ctx, "", j)
	}
	active, passive := j, j
	active.Role, passive.Role = "active", "passive"
	switch kind {
	case "pages":
		go func() { _ = b.inPage(ctx, "b", passive) }()
		return b.inPage(ctx, "a", active)
	case "to-page":
		go func() { _ = b.inPage(ctx, "b", passive) }()
		line, err := perform(ctx, active, b.server.Client("a"), nil)
		fmt.Println(line)
		return err
	case "from-page":
		go func() { _, _ = perform(ctx, passive, b.server.Client("b"), nil) }()
		return b.inPage(ctx, "a", active)
	}
	return fmt.Errorf("unknown kind %q", kind)
}

// inPage does j in a page, whose signaling client has id.
func (b *bench) inPage(ctx context.Context, id string, j job) error {
	args, err := json.Marshal(j)
	if err != nil {
		return err
	}
	program := page.Program{Wasm: b.wasm, Args: []string{"bench", string(args)}, Stdout: os.Stdout, Stderr: os.Stderr}
	var p *page.Page
	started := make(chan struct{})
	if id != "" {
		deliver := b.server.Serve(ctx, id, func(text string) {
			<-started
			_ = p.Send(text)
		})
		program.Message = func(text string) { _ = deliver(text) }
	}
	p, err = b.browser.Start(ctx, program)
	close(started)
	if err != nil {
		return err
	}
	defer p.Close()
	code, err := p.Wait()
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	return err
}
