// Package assets serves the files that a page needs to run Shoal. They are embedded in the binary, each as it is and, by
// the tool in pack, compressed as far as brotli and gzip go.
package assets

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed all:dist
var dist embed.FS

// FS returns the embedded files. It has no index.html in a binary that was built without them.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}

// encoding is a content coding in which a file may be there.
type encoding struct{ name, suffix string }

// encodings lists the codings from the one to prefer, see https://www.iana.org/assignments/http-parameters.
func encodings() []encoding {
	return []encoding{{"br", ".br"}, {"gzip", ".gz"}, {"identity", ""}}
}

// variant is a file in one encoding.
type variant struct {
	encoding string
	file     string
	etag     func() string // "" where the file cannot be read
	size     int64
}

// Handler serves files to pages of any origin.
type Handler struct {
	fsys  fs.FS
	files map[string][]variant // by path, "/" for index.html; the encoding to prefer first
}

// NewHandler finds the files of fsys, a NAME with perhaps NAME.br and NAME.gz beside it. The files must stay as they are. Each is read when
// it is first asked for: those that nobody wants take no memory.
func NewHandler(fsys fs.FS) (*Handler, error) {
	h := &Handler{fsys: fsys, files: make(map[string][]variant)}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{".br", ".gz"}, path.Ext(name)) {
			return nil
		}
		return h.add(name)
	})
	if err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	return h, nil
}

func (h *Handler) add(name string) error {
	url := "/" + name
	if name == "index.html" {
		url = "/"
	}
	for _, e := range encodings() {
		file := name + e.suffix
		info, err := fs.Stat(h.fsys, file)
		if e.suffix != "" && err != nil {
			continue // too small to be worth it
		}
		if err != nil {
			return err
		}
		etag := sync.OnceValue(func() string { return h.etag(file) })
		h.files[url] = append(h.files[url], variant{e.name, file, etag, info.Size()})
	}
	return nil
}

// etag returns a name for a file's content.
func (h *Handler) etag(name string) string {
	f, err := h.fsys.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return ""
	}
	return `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:12]) + `"`
}

// Built reports whether the page is there.
func (h *Handler) Built() bool { return h.files["/"] != nil }

// ServeHTTP answers GET and HEAD.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	url := r.URL.Path
	if url == "/index.html" {
		url = "/"
	}
	variants := h.files[url]
	if variants == nil {
		h.missing(w, r, url)
		return
	}
	header := w.Header()
	header.Set("Vary", "Accept-Encoding")
	v := choose(variants, r.Header.Values("Accept-Encoding"))
	if v == nil {
		http.Error(w, "no encoding that the client accepts", http.StatusNotAcceptable)
		return
	}
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache") // kept, but asked for each time: the names stay the same from version to version
	header.Set("Content-Type", contentType(variants[len(variants)-1].file))
	if etag := v.etag(); etag != "" {
		header.Set("ETag", etag)
	}
	if v.encoding != "identity" {
		header.Set("Content-Encoding", v.encoding)
	}
	h.serve(w, r, v)
}

func (h *Handler) missing(w http.ResponseWriter, r *http.Request, url string) {
	switch url {
	case "/":
		http.Error(w, "This server was built without assets; run make build. Signaling works.", http.StatusServiceUnavailable)
	case "/favicon.ico":
		w.WriteHeader(http.StatusNoContent) // browsers ask for it unless a page names its icon, and tell the page's console of a 404
	default:
		http.NotFound(w, r)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, v *variant) {
	f, err := h.fsys.Open(v.file)
	if err != nil {
		http.Error(w, "asset is gone", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	content, ok := f.(io.ReadSeeker)
	if !ok {
		http.Error(w, "asset cannot be read", http.StatusInternalServerError)
		return
	}
	if v.encoding != "identity" { // for which ServeContent does not know what the length should be
		w = sized{w, v.size}
		if r.Header.Get("Range") != "" {
			r = r.Clone(r.Context())
			r.Header.Del("Range")
		}
	}
	http.ServeContent(w, r, "", time.Time{}, content)
}

// sized is an answer with that many bytes, where it has content.
type sized struct {
	http.ResponseWriter
	size int64
}

// WriteHeader begins the answer.
func (s sized) WriteHeader(status int) {
	if status == http.StatusOK {
		s.Header().Set("Content-Length", strconv.FormatInt(s.size, 10))
	}
	s.ResponseWriter.WriteHeader(status)
}

// choose picks the variant with the highest weight by RFC 9110, section 12.5.3; among equals the earliest.
func choose(variants []variant, accept []string) *variant {
	weights := parseAccept(accept)
	var best *variant
	bestQ := 0.0
	for i := range variants {
		q, listed := weights[variants[i].encoding]
		if !listed {
			q, listed = weights["*"]
		}
		if !listed && variants[i].encoding == "identity" {
			q = 0.0001 // acceptable unless refused, but after all that is asked for
		}
		if q > bestQ {
			best, bestQ = &variants[i], q
		}
	}
	return best
}

// parseAccept returns the weights of an Accept-Encoding header. What is malformed does not count.
func parseAccept(headers []string) map[string]float64 {
	weights := make(map[string]float64)
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(item, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			q := 1.0
			if name, value, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(strings.TrimSpace(name), "q") {
				var err error
				if q, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil || !(q >= 0 && q <= 1) {
					continue
				}
			}
			if coding == "x-gzip" {
				coding = "gzip"
			}
			if coding != "" {
				weights[coding] = q
			}
		}
	}
	return weights
}

func contentType(file string) string {
	switch {
	case strings.HasSuffix(file, ".d.ts"), strings.HasSuffix(file, ".ts"):
		return "application/typescript; charset=utf-8"
	}
	switch path.Ext(file) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".wasm":
		return "application/wasm"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	case ".woff2":
		return "font/woff2"
	case ".txt", ".md":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}
