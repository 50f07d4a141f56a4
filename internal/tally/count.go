package main

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
)

// event is a line of go test -json; go doc test2json says what is in it.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// counter reads what go test -json or node --test prints, counts tests, and passes on what a person wants to know: one line per
// package, and all that a test said which failed.
type counter struct {
	result
	w       io.Writer
	said    map[string][]string // by package and test
	running map[string]bool
}

// maxLine bounds a line of output.
const maxLine = 16 << 20

func count(in io.Reader, w io.Writer) (*result, error) {
	c := &counter{w: w, said: make(map[string][]string), running: make(map[string]bool)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if line := lines.Bytes(); len(line) > 0 && line[0] == '{' && json.Unmarshal(line, &e) == nil && e.Action != "" {
			c.event(&e)
		} else {
			c.line(string(line))
		}
	}
	for test := range c.running { // the program ended under it
		c.Failed++
		c.tell(test)
	}
	err := lines.Err()
	if err != nil {
		_, _ = io.Copy(io.Discard, in) // so that the command ends
	}
	return &c.result, err
}

func (c *counter) event(e *event) {
	test := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		c.running[test] = true
		return
	case "output":
		c.said[test] = append(c.said[test], e.Output)
		return
	case "build-output":
		_, _ = io.WriteString(c.w, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	delete(c.running, test)
	if e.Test == "" {
		c.packageEnded(e, test)
		return
	}
	switch e.Action {
	case "pass":
		c.Passed++
		delete(c.said, test)
	case "skip":
		c.Skipped++
		c.tell(test)
	case "fail":
		c.Failed++
		c.tell(test)
	}
}

// packageEnded passes on the last line, which says how it went, or everything.
func (c *counter) packageEnded(e *event, key string) {
	if said := c.said[key]; e.Action == "pass" && len(said) > 0 {
		c.said[key] = said[len(said)-1:]
	}
	if e.Action == "skip" { // it has no tests
		delete(c.said, key)
	}
	c.tell(key)
}

func (c *counter) tell(test string) {
	for _, s := range c.said[test] {
		_, _ = io.WriteString(c.w, s)
	}
	delete(c.said, test)
}

// summary is what node --test prints at the end.
var summary = regexp.MustCompile(`^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$`)

func (c *counter) line(s string) {
	_, _ = io.WriteString(c.w, s+"\n")
	m := summary.FindStringSubmatch(s)
	if m == nil {
		return
	}
	n, _ := strconv.Atoi(m[2]) // it is digits
	switch m[1] {
	case "pass":
		c.Passed += n
	case "fail", "cancelled":
		c.Failed += n
	default:
		c.Skipped += n
	}
}
