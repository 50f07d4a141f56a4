package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// pkg is what go list -json says of a package.
type pkg struct {
	Dir, ImportPath                    string
	Deps                               []string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

func (p *pkg) path() string { return short(p.ImportPath) }

// use is one import in one file.
type use struct {
	pkg, file, imports string
	testing            bool
}

// below reports whether an import path is another, or below it; everything is below "".
func below(path, top string) bool {
	return top == "" || path == top || strings.HasPrefix(path, top+"/")
}

func belowAny(path string, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool { return below(path, top) })
}

// find returns the layer of a package, nil if it has none.
func find(path string) *layer {
	var found *layer
	for _, l := range layers() {
		if below(path, l.path) && (found == nil || len(l.path) > len(found.path)) {
			found = &l
		}
	}
	return found
}

// check returns a sentence on what is wrong with an import, "" if nothing is.
func check(u use) string {
	imported := short(u.imports)
	for _, p := range places() {
		if below(u.imports, p.what) && !belowAny(u.pkg, p.only) && !(u.testing && belowAny(u.pkg, p.testing)) {
			return fmt.Sprintf("%s imports %s, which may only be imported in %s: %s", u.file, imported, list(p.only, p.testing), p.why)
		}
	}
	if belowAny(u.imports, outside()) && belowAny(u.pkg, pure()) && !u.testing {
		return fmt.Sprintf("%s imports %s; the packages %s do no I/O of their own", u.file, u.imports, strings.Join(pure(), ", "))
	}
	if imported == u.imports || u.testing {
		return ""
	}
	l := find(u.pkg)
	if l == nil {
		return fmt.Sprintf("package %s has no layer: say in internal/depcheck/rules_test.go what it may import, and why", u.pkg)
	}
	if below(imported, l.path) || belowAny(imported, l.may) {
		return ""
	}
	return fmt.Sprintf("%s imports %s; of the project, %s may import %s: %s", u.file, imported, l.path, list(l.may, nil), l.why)
}

// checkDeps returns what is wrong with all that a package is made of.
func checkDeps(p *pkg, goos string) (wrong []string) {
	for _, b := range bans() {
		if !below(p.path(), b.path) || b.goos != "" && b.goos != goos {
			continue
		}
		for _, dep := range p.Deps {
			if belowAny(dep, b.what) {
				wrong = append(wrong, fmt.Sprintf("package %s depends on %s for GOOS=%s: %s", p.path(), short(dep), goos, b.why))
			}
		}
	}
	return wrong
}

// short returns what an import path is called here.
func short(path string) string {
	if path+"/" == module {
		return "."
	}
	return strings.TrimPrefix(path, module)
}

func list(paths, testing []string) string {
	s := "nothing"
	if len(paths) > 0 {
		s = strings.Join(paths, ", ")
	}
	switch {
	case len(testing) == 0:
		return s
	case testing[0] == "":
		return s + ", and in tests"
	}
	return s + ", and in tests of " + strings.Join(testing, ", ")
}

// load lists the project's packages with what they are made of on a target.
func load(t *testing.T, goos, goarch string) []*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=Dir,ImportPath,Deps,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []*pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		if len(p.GoFiles)+len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
}

// uses reads the imports of a package's files.
func uses(t *testing.T, p *pkg) (all []use) {
	t.Helper()
	tests := slices.Concat(p.TestGoFiles, p.XTestGoFiles)
	for _, name := range slices.Concat(p.GoFiles, tests) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			imports, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, use{p.path(), p.path() + "/" + name, imports, slices.Contains(tests, name)})
		}
	}
	return all
}

// visit reads the folders of the project, so that go test knows of what the result depends, and keeps none for too long.
func visit(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && slices.Contains([]string{".git", "bin", "build", "dist", "node_modules"}, d.Name()) {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImports(t *testing.T) {
	visit(t)
	for _, target := range []struct{ goos, goarch string }{{"linux", "amd64"}, {"js", "wasm"}} {
		t.Run(target.goos, func(t *testing.T) {
			pkgs := load(t, target.goos, target.goarch)
			if !slices.ContainsFunc(pkgs, func(p *pkg) bool { return p.path() == "shared/document" }) {
				t.Fatalf("go list found no package shared/document among %d", len(pkgs))
			}
			for _, p := range pkgs {
				said := make(map[string]bool)
				for _, u := range uses(t, p) {
					if wrong := check(u); wrong != "" && !said[wrong] {
						t.Error(wrong)
						said[wrong] = true
					}
				}
				for _, wrong := range checkDeps(p, target.goos) {
					t.Error(wrong)
				}
			}
		})
	}
}

// TestRules breaks the rules, and keeps some.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		u    use
		want string // part of the sentence, "" for none
	}{
		{use{"shared/document", "entry.go", module + "shared/store", false}, "shared/document may import nothing"},
		{use{"shared/store/memlog", "memlog.go", module + "shared/store", false}, ""},
		{use{"shared/store/memlog", "memlog.go", module + "shared/document", false}, "shared/store may import internal/gate"},
		{use{"shared/replication", "session.go", module + "shared/transport", false}, "a session knows neither connections nor pools"},
		{use{"shared/replication", "session.go", module + "shared/collection", false}, ""},
		{use{"shared/replication", "session.go", "os/exec", false}, "do no I/O of their own"},
		{use{"shared/replication", "session_test.go", "os", true}, ""},
		{use{"shared/documentation", "doc.go", module + "shared/store", false}, "has no layer"},
		{use{"server/hub", "hub.go", module + "shared/collection", false}, "holds no documents"},
		{use{"server/hub", "hub_test.go", module + "shared/signaling", true}, ""},
		{use{"shared/pool", "pool.go", module + "wasm", false}, "knows none of the programs"},
		{use{"shared/pool", "pool.go", "github.com/pion/webrtc/v4", false}, "may only be imported in shared/transport/rtc, server/turn"},
		{use{"shared/pool", "pool_test.go", "github.com/pion/webrtc/v4", true}, "through package transport"},
		{use{"shared/transport/rtc", "pc.go", "github.com/pion/webrtc/v4", false}, ""},
		{use{"shared/collection", "now.go", "syscall/js", false}, "the same on all targets"},
		{use{"shared/collection", "collection.go", module + "internal/leakcheck", false}, "nothing, and in tests"},
		{use{"shared/collection", "collection_test.go", module + "internal/leakcheck", true}, ""},
		{use{"peer", "main.go", "github.com/shoaldb/shoal", false}, ""},
		{use{"shared/pool", "pool.go", "github.com/shoaldb/shoal", false}, "knows none of the programs"},
		{use{".", "shoal.go", module + "shared/pool", false}, ""},
		{use{".", "shoal.go", module + "server/hub", false}, "neither server nor browser"},
		{use{"server", "server_test.go", "github.com/coder/websocket", true}, ""},
		{use{"server", "server.go", "github.com/coder/websocket", false}, "through package signaling"},
	} {
		got := check(c.u)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s in %s: %q, want %q", c.u.imports, c.u.file, got, c.want)
		}
	}
	p := &pkg{ImportPath: module + "wasm", Deps: []string{"fmt", "go.etcd.io/bbolt/errors"}}
	if got := checkDeps(p, "js"); len(got) != 1 || !strings.Contains(got[0], "load it in vain") {
		t.Errorf("wasm with bbolt: %q", got)
	}
	if got := checkDeps(p, "linux"); len(got) != 0 {
		t.Errorf("a rule for js was held for linux: %q", got)
	}
}
