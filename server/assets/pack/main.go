// Pack copies files to a folder and compresses each beside its copy, as far as brotli and gzip go:
//
//	go run ./server/assets/pack -out server/assets/dist index.html web/dist/shoal.js demo/app.js=web/dist/app.js
//
// A file keeps its base name unless NAME= stands before it. Files that did not change since the last time are not compressed
// again, and what is in the folder from files that are no longer named is removed, except for names that begin with a dot.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
)

func main() {
	out := flag.String("out", "", "the folder to fill")
	fast := flag.Bool("fast", false, "compress quickly, for development")
	flag.Parse()
	if *out == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: pack [-fast] -out FOLDER [NAME=]FILE...")
		os.Exit(2)
	}
	if err := pack(*out, *fast, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// manifest is the file that remembers what the folder was made from.
const manifest = ".pack.json"

// made says from what, and how, a file was made.
type made struct {
	SHA256 string `json:"sha256"`
	Fast   bool   `json:"fast,omitempty"`
}

// pack fills the folder out. A line for each file goes to log.
func pack(out string, fast bool, args []string, log io.Writer) error {
	before := readManifest(out)
	after := make(map[string]made)
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		if !ok {
			name, file = filepath.Base(arg), arg
		}
		if !fs.ValidPath(name) || strings.HasPrefix(path.Base(name), ".") || name == "." {
			return fmt.Errorf("%q cannot name an asset", name)
		}
		if _, twice := after[name]; twice {
			return fmt.Errorf("two files are named %s", name)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		after[name] = made{hex.EncodeToString(sum[:]), fast}
		if before[name] == after[name] && complete(out, name) {
			fmt.Fprintf(log, "%s: unchanged\n", name)
			continue
		}
		if err := write(out, name, raw, fast, log); err != nil {
			return err
		}
	}
	if err := removeOthers(out, after); err != nil {
		return err
	}
	text, err := json.MarshalIndent(after, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, manifest), append(text, '\n'), 0o644)
}

func readManifest(out string) map[string]made {
	var m map[string]made
	text, err := os.ReadFile(filepath.Join(out, manifest))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return nil // as if nothing had been made
	}
	return m
}

// complete reports whether the copy of a file is there; the manifest is written after all is.
func complete(out, name string) bool {
	_, err := os.Stat(filepath.Join(out, filepath.FromSlash(name)))
	return err == nil
}

// write copies and compresses one file. An encoding that does not save a tenth is left out.
func write(out, name string, raw []byte, fast bool, log io.Writer) error {
	target := filepath.Join(out, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	br, err := compressBrotli(raw, fast)
	if err != nil {
		return err
	}
	gz, err := compressGzip(raw, fast)
	if err != nil {
		return err
	}
	for suffix, data := range map[string][]byte{".br": br, ".gz": gz} {
		if len(data) > len(raw)-len(raw)/10 {
			err = os.Remove(target + suffix)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		} else {
			err = os.WriteFile(target+suffix, data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(log, "%s: %d bytes, gzip %d, brotli %d\n", name, len(raw), len(gz), len(br))
	return os.WriteFile(target, raw, 0o644)
}

func compressBrotli(raw []byte, fast bool) ([]byte, error) {
	opts := brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 24}
	if fast {
		opts.Quality = 4
	}
	var b bytes.Buffer
	w := brotli.NewWriterOptions(&b, opts)
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func compressGzip(raw []byte, fast bool) ([]byte, error) {
	level := gzip.BestCompression
	if fast {
		level = gzip.BestSpeed
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// removeOthers removes what was made from files that are no longer named.
func removeOthers(out string, keep map[string]made) error {
	names := slices.Collect(maps.Keys(keep))
	return filepath.WalkDir(out, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(out, file)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.ToSlash(rel), ".br"), ".gz")
		if slices.Contains(names, name) {
			return nil
		}
		return os.Remove(file)
	})
}
