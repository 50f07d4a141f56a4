// Tally runs tests, shows what is wrong with them, and counts them over several runs.
//
//	tally run FOLDER/NAME command [argument...]
//	tally sum FOLDER
//
// The first runs a command, go test -json or node --test, and keeps the counts under that name; its exit status is the command's.
// The second adds up what is in the folder, ends with a line of all tests, and exits with 1 unless all runs were good.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) > 2 && args[0] == "run":
		err = run(args[1], args[2:], os.Stdout)
	case len(args) == 2 && args[0] == "sum":
		err = sum(args[1], os.Stdout)
	default:
		err = errors.New("usage: tally run FOLDER/NAME command [argument...], or tally sum FOLDER")
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // the command said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

// result is what is kept of a run.
type result struct {
	Passed, Failed, Skipped int
	Good                    bool // the command said so
	Seconds                 float64
}

func (r *result) add(o *result) {
	r.Passed += o.Passed
	r.Failed += o.Failed
	r.Skipped += o.Skipped
	r.Seconds += o.Seconds
}

func (r *result) String() string {
	return fmt.Sprintf("%d tests in %s: %d passed, %d failed, %d skipped",
		r.Passed+r.Failed+r.Skipped, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), r.Passed, r.Failed, r.Skipped)
}

const suffix = ".json"

// run runs a command and keeps what came of it in a file, which a run that is broken off leaves behind as one that failed.
func run(name string, command []string, w io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	if err := save(name, &result{}); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", command[0], err)
	}
	r, err := count(out, w)
	err = errors.Join(err, cmd.Wait())
	r.Good = err == nil && r.Failed == 0
	r.Seconds = time.Since(start).Seconds()
	fmt.Fprintf(w, "%s: %s\n", filepath.Base(name), r)
	if err := save(name, r); err != nil {
		return err
	}
	if err == nil && r.Failed > 0 {
		return fmt.Errorf("%s reported success after tests that failed", command[0])
	}
	return err
}

func save(name string, r *result) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(name+suffix, data, 0o666)
}

// sum adds up the runs in a folder.
func sum(folder string, w io.Writer) error {
	files, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil {
		return err
	}
	slices.Sort(files)
	var all result
	var bad []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r result
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), suffix)
		if !r.Good {
			bad = append(bad, name)
		}
		fmt.Fprintf(w, "%-14s %s\n", name, &r)
		all.add(&r)
	}
	fmt.Fprintf(w, "all: %s\n", &all)
	switch {
	case len(bad) > 0:
		return fmt.Errorf("failed: %s", strings.Join(bad, ", "))
	case all.Passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
