package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"

	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func put(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// listing returns the names in a folder, but for those that begin with a dot.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.Walk(dir, func(file string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && !strings.HasPrefix(info.Name(), ".") {
			rel, _ := filepath.Rel(dir, file)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPack(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	long := strings.Repeat("all work and no play ", 1000)
	js := put(t, filepath.Join(in, "app.js"), long)
	short := put(t, filepath.Join(in, "short.txt"), "x")
	put(t, filepath.Join(out, ".gitignore"), "*")
	run := func(fast bool, args ...string) string {
		t.Helper()
		var log bytes.Buffer
		if err := pack(out, fast, args, &log); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	run(false, js, "sub/name.txt="+short)
	if got, want := listing(t, out), []string{"app.js", "app.js.br", "app.js.gz", "sub/name.txt"}; !slices.Equal(got, want) {
		t.Fatalf("made %v, want %v", got, want)
	}
	for suffix, open := range map[string]func(io.Reader) (io.Reader, error){
		"":    func(r io.Reader) (io.Reader, error) { return r, nil },
		".br": func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		".gz": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	} {
		data, err := os.ReadFile(filepath.Join(out, "app.js"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		r, err := open(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != long {
			t.Errorf("app.js%s holds %d bytes, %v", suffix, len(got), err)
		}
	}
	if log := run(false, js, "sub/name.txt="+short); log != "app.js: unchanged\nsub/name.txt: unchanged\n" {
		t.Errorf("again: %s", log)
	}
	if log := run(true, js); !strings.HasPrefix(log, "app.js: 21000 bytes") {
		t.Errorf("faster: %s", log)
	}
	if got := listing(t, out); slices.Contains(got, "sub/name.txt") {
		t.Errorf("left over: %v", got)
	}
	os.Remove(filepath.Join(out, "app.js"))
	put(t, js, long+"!")
	if log := run(true, js); !strings.HasPrefix(log, "app.js: 21001 bytes") {
		t.Errorf("changed: %s", log)
	}
	put(t, js, "now too short to compress")
	run(true, js)
	if got, want := listing(t, out), []string{"app.js"}; !slices.Equal(got, want) {
		t.Errorf("made %v, want %v", got, want)
	}
	if _, err := os.Stat(filepath.Join(out, ".gitignore")); err != nil {
		t.Error("removed what begins with a dot")
	}
}

func TestPackRefuses(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	file := put(t, filepath.Join(in, "a.js"), "x")
	for _, args := range [][]string{
		{filepath.Join(in, "none.js")}, {file, file}, {"../a.js=" + file}, {"/a.js=" + file}, {".hidden=" + file}, {"=" + file}, {in},
	} {
		if err := pack(out, true, args, io.Discard); err == nil {
			t.Errorf("%q was packed", args)
		}
	}
}
