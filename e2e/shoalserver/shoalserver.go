// Package shoalserver runs the real server for tests: the binary, in a process of its own.
package shoalserver

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"github.com/shoaldb/shoal/internal/child"
)

// Server is a server that listens on a loopback address, always the same.
type Server struct {
	t       testing.TB
	binary  string
	address string
	flags   []string
	running *process
}

type process struct {
	cmd  *exec.Cmd
	done sync.WaitGroup // its output
}

// Start starts bin/shoal-server, as make build has left it, with these flags besides --listen. It ends with the test.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	s := &Server{t: t, binary: filepath.Join(filepath.Dir(file), "..", "..", "bin", "shoal-server"), address: "127.0.0.1:0", flags: flags}
	if _, err := os.Stat(s.binary); err != nil {
		t.Fatalf("shoal-server is missing, run make build: %v", err)
	}
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// listening finds the address in the server's log.
var listening = regexp.MustCompile(`msg=listening url=http://([^/]+)/`)

// Restart starts the server after Kill, on the same address.
func (s *Server) Restart() {
	s.t.Helper()
	if s.running != nil {
		s.t.Fatal("the server runs already")
	}
	cmd := exec.Command(s.binary, append([]string{"--listen", s.address}, s.flags...)...)
	child.EndsWithParent(cmd)
	output, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start server: %v", err)
	}
	p := &process{cmd: cmd}
	s.running = p
	ready := make(chan string, 1)
	p.done.Go(func() { s.read(output, ready) })
	address, ok := <-ready
	if !ok {
		s.Kill()
		s.t.Fatal("the server ended before it listened; the log says why")
	}
	s.address = address
}

// read logs what the server prints, sends the address to ready, and closes that at the end.
func (s *Server) read(output io.Reader, ready chan<- string) {
	defer close(ready)
	told := false
	for lines := bufio.NewScanner(output); lines.Scan(); {
		s.t.Logf("server: %s", lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !told {
			told = true
			ready <- m[1]
		}
	}
}

// Run runs the binary with other arguments and returns what it prints.
func (s *Server) Run(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(s.binary, args...).Output()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return string(out)
}

// Kill ends the server without a word.
func (s *Server) Kill() {
	if s.running == nil {
		return
	}
	_ = s.running.cmd.Process.Kill() // it may have ended by itself
	s.running.done.Wait()
	_ = s.running.cmd.Wait() // says that it was killed
	s.running = nil
}

// URL returns the address of a path.
func (s *Server) URL(path string) string { return "http://" + s.address + path }

// Signal returns the address of the signaling server.
func (s *Server) Signal() string { return "ws://" + s.address + "/signal" }

// Port returns the port.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.address)
	return port
}
