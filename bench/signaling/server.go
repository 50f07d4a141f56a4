package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shoaldb/shoal/internal/child"
)

// side is a server to measure.
type side struct {
	name  string
	start func(ctx context.Context, pin bool) (*process, error)
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func shoalSide(binary string) side {
	port := regexp.MustCompile(`url=http://(\S+)/`)
	return side{"shoal", func(ctx context.Context, pin bool) (*process, error) {
		cmd := command(ctx, pin, binary, "--listen", "127.0.0.1:0", "--rate", "-1", "--max-conns-per-address", "-1", "--rxdb-mesh", "--log-level", "info")
		out, err := cmd.StderrPipe()
		if err != nil {
			return nil, err
		}
		return launch(cmd, out, func(line string) string {
			if m := port.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			return ""
		})
	}}
}

func rxdbSide(modules string) side {
	return side{"rxdb", func(ctx context.Context, pin bool) (*process, error) {
		// The script is copied beside node_modules, where node looks for what it imports.
		script, err := os.ReadFile("bench/signaling/rxdb-server.mjs")
		if err != nil {
			return nil, fmt.Errorf("run this from the top of the project: %w", err)
		}
		if _, err := os.Stat(filepath.Join(modules, "node_modules", "rxdb")); err != nil {
			return nil, fmt.Errorf("RxDB is missing, run npm ci --prefix bench: %w", err)
		}
		cmd := command(ctx, pin, "node", "--input-type=module", "-")
		cmd.Dir = modules
		cmd.Stdin = strings.NewReader(string(script))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		return launch(cmd, out, func(line string) string {
			if _, err := strconv.Atoi(line); err != nil {
				return ""
			}
			return net.JoinHostPort("127.0.0.1", line)
		})
	}}
}

// command is the server's, on the first core where that is to be.
func command(ctx context.Context, pin bool, name string, args ...string) *exec.Cmd {
	if pin {
		name, args = "taskset", append([]string{"-c", "0", name}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	child.EndsWithParent(cmd)
	cmd.Env = os.Environ()
	return cmd
}

// launch starts a server and waits until it says where it listens.
func launch(cmd *exec.Cmd, out io.Reader, addr func(line string) string) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	found := make(chan string, 1)
	go func() {
		defer close(found)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if a := addr(lines.Text()); a != "" {
				found <- a
				break
			}
		}
		io.Copy(io.Discard, out)
	}()
	select {
	case a, ok := <-found:
		if ok {
			return &process{cmd, a}, nil
		}
	case <-time.After(20 * time.Second):
	}
	(&process{cmd: cmd}).stop()
	return nil, fmt.Errorf("%s did not say where it listens", cmd)
}

// memory returns the resident memory in bytes, now and at its peak.
func (p *process) memory() (now, peak float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	field := func(name string) float64 {
		_, rest, _ := strings.Cut(string(text), name+":")
		rest, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
		kb, _ := strconv.ParseFloat(rest, 64)
		return kb * 1024
	}
	return field("VmRSS"), field("VmHWM")
}

// cpu returns the processor time that the server has used.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100
}
