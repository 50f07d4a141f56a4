//go:build !js

package page

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

//go:embed page.html
var pageHTML string

// files serves what the pages load: a document for each program, its wasm, and the support script of the Go toolchain.
type files struct {
	document *template.Template
	support  string // wasm_exec.js; it must be of the toolchain that compiled the programs

	mu       sync.Mutex // guards the following field
	programs []Program
}

func newFiles(ctx context.Context) (*files, error) {
	document, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find wasm_exec.js with go env GOROOT: %w", err)
	}
	return &files{
		document: document,
		support:  filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"),
	}, nil
}

// add returns the path of the document that runs p.
func (f *files) add(p Program) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.programs = append(f.programs, p)
	return "/" + strconv.Itoa(len(f.programs)-1) + "/"
}

func (f *files) program(index string) (Program, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(f.programs) {
		return Program{}, false
	}
	return f.programs[i], true
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	index, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	program, ok := f.program(index)
	switch {
	case !ok:
		http.NotFound(w, r)
	case name == "":
		f.serveDocument(w, program)
	case name == "wasm_exec.js":
		http.ServeFile(w, r, f.support)
	case name == "main.wasm":
		w.Header().Set("Content-Type", "application/wasm")
		http.ServeFile(w, r, program.Wasm)
	default:
		http.NotFound(w, r)
	}
}

func (f *files) serveDocument(w http.ResponseWriter, p Program) {
	config, err := json.Marshal(struct {
		Args []string          `json:"args"`
		Env  map[string]string `json:"env"`
	}{p.Args, p.Env})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var page bytes.Buffer
	if err := f.document.Execute(&page, template.JS(config)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes()) // the page is gone when this fails
}
