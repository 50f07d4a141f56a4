package depcheck

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// variable returns the words of a variable of the Makefile.
func variable(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` *:= *(.*)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("the Makefile has no variable %s", name)
	}
	return strings.Fields(string(m[1]))
}

// covers reports whether one of some patterns of go test is meant for a package.
func covers(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		top, all := strings.CutSuffix(strings.TrimPrefix(pattern, "./"), "/...")
		return path == top || all && below(path, top)
	})
}

// TestJavaScriptHalf holds that make test forgets nothing that is only for browsers: ./... leaves it out without a word.
func TestJavaScriptHalf(t *testing.T) {
	visit(t)
	inNode, inBrowsers := variable(t, "JS_PACKAGES"), variable(t, "BROWSER_PACKAGES")
	native := make(map[string][]string) // the files of each package
	for _, p := range load(t, "linux", "amd64") {
		native[p.path()] = slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles)
	}
	elsewhere := []string{"bench", "server"} // no page has them
	only := 0
	for _, p := range load(t, "js", "wasm") {
		for _, file := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if slices.Contains(native[p.path()], file) {
				continue
			}
			only++
			test := strings.HasSuffix(file, "_test.go")
			switch {
			case !covers(inNode, p.path()) && !belowAny(p.path(), elsewhere):
				t.Errorf("%s/%s is for js only, and JS_PACKAGES in the Makefile leaves it out: it is neither vetted nor tested", p.path(), file)
			case test && !covers(inBrowsers, p.path()):
				t.Errorf("%s/%s is for js only, and BROWSER_PACKAGES in the Makefile leaves it out: it does not run in Chromium", p.path(), file)
			}
		}
	}
	if only < 20 {
		t.Errorf("only %d files are for js only: something is not looked at", only)
	}
}

func TestCovers(t *testing.T) {
	patterns := []string{"./wasm/...", "./internal/gate"}
	for path, want := range map[string]bool{"wasm": true, "wasm/idblog": true, "internal/gate": true, "internal/gate/x": false, "wasmer": false, "shared/pool": false} {
		if covers(patterns, path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
