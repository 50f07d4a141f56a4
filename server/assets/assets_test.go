package assets_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/assets"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

func handler(t *testing.T) *assets.Handler {
	t.Helper()
	h, err := assets.NewHandler(fstest.MapFS{
		"index.html":        file("<!doctype html>"),
		"shoal.js":          file("raw js"),
		"shoal.js.br":       file("br"),
		"shoal.js.gz":       file("gz!"),
		"shoal.wasm":        file("raw wasm"),
		"shoal.wasm.gz":     file("gz wasm"),
		"shoal.d.ts":        file("export {}"),
		"demo/app.js":       file("demo"),
		".gitignore":        file("*"),
		".pack.json":        file("{}"),
		"demo/.hidden.html": file("no"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func request(h http.Handler, method, path string, header http.Header) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEncodings(t *testing.T) {
	h := handler(t)
	for _, tt := range []struct {
		accept   string
		encoding string
		body     string
		status   int
	}{
		{"", "", "raw js", 200},
		{"gzip, deflate, br, zstd", "br", "br", 200},
		{"gzip, deflate", "gzip", "gz!", 200},
		{"GZIP", "gzip", "gz!", 200},
		{"x-gzip", "gzip", "gz!", 200},
		{"br;q=0.5, gzip;q=0.8", "gzip", "gz!", 200},
		{"br;q=0.5,gzip;q=0.5", "br", "br", 200},
		{"br;q=0, gzip", "gzip", "gz!", 200},
		{"br;q=0, *", "gzip", "gz!", 200},
		{"*", "br", "br", 200},
		{"*;q=0, identity", "", "raw js", 200},
		{"identity", "", "raw js", 200},
		{"identity;q=1, br;q=0.9", "", "raw js", 200},
		{"zstd", "", "raw js", 200},
		{"br ; Q=0.2 , identity ; q=0.1", "br", "br", 200},
		{"br;q=2, gzip;q=x, identity", "", "raw js", 200},
		{"br;q=NaN", "", "raw js", 200},
		{"identity;q=0", "", "", 406},
		{"*;q=0", "", "", 406},
	} {
		t.Run(tt.accept, func(t *testing.T) {
			resp := request(h, "GET", "/shoal.js", http.Header{"Accept-Encoding": {tt.accept}})
			if resp.StatusCode != tt.status || resp.Header.Get("Content-Encoding") != tt.encoding {
				t.Fatalf("%d, %q", resp.StatusCode, resp.Header.Get("Content-Encoding"))
			}
			if got := body(t, resp); tt.status == 200 && got != tt.body {
				t.Errorf("body %q", got)
			}
			if resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Error("no Vary")
			}
		})
	}
	resp := request(h, "GET", "/shoal.wasm", http.Header{"Accept-Encoding": {"br"}})
	if got := body(t, resp); got != "raw wasm" || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("an encoding that is not there: %q", got)
	}
}

func TestHeaders(t *testing.T) {
	h := handler(t)
	for path, typ := range map[string]string{
		"/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8", "/shoal.js": "text/javascript; charset=utf-8",
		"/shoal.wasm": "application/wasm", "/shoal.d.ts": "application/typescript; charset=utf-8", "/demo/app.js": "text/javascript; charset=utf-8",
	} {
		for _, accept := range []string{"", "gzip"} {
			resp := request(h, "GET", path, http.Header{"Accept-Encoding": {accept}})
			for key, want := range map[string]string{
				"Content-Type": typ, "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Content-Length": fmt.Sprint(len(body(t, resp))),
			} {
				if got := resp.Header.Get(key); got != want {
					t.Errorf("%s: %s is %q, want %q", path, key, got, want)
				}
			}
		}
	}
}

func TestETags(t *testing.T) {
	h := handler(t)
	tags := make(map[string]string)
	for _, accept := range []string{"identity", "gzip", "br"} {
		tag := request(h, "GET", "/shoal.js", http.Header{"Accept-Encoding": {accept}}).Header.Get("Etag")
		if tag == "" || tags[tag] != "" {
			t.Errorf("%s has the tag %q of %s", accept, tag, tags[tag])
		}
		tags[tag] = accept
	}
	for tag, accept := range tags {
		resp := request(h, "GET", "/shoal.js", http.Header{"Accept-Encoding": {accept}, "If-None-Match": {`"other", ` + tag}})
		if resp.StatusCode != http.StatusNotModified || body(t, resp) != "" || resp.Header.Get("Vary") == "" {
			t.Errorf("%s: %d", accept, resp.StatusCode)
		}
		resp = request(h, "GET", "/shoal.js", http.Header{"Accept-Encoding": {accept}, "If-Match": {`"other"`}})
		if resp.StatusCode != http.StatusPreconditionFailed || resp.ContentLength > 0 || body(t, resp) != "" {
			t.Errorf("%s, if it is another: %d with %d bytes announced", accept, resp.StatusCode, resp.ContentLength)
		}
		resp = request(h, "GET", "/shoal.js", http.Header{"Accept-Encoding": {"x"}, "If-None-Match": {tag}})
		if want := map[bool]int{true: 304, false: 200}[accept == "identity"]; resp.StatusCode != want {
			t.Errorf("tag of %s for the raw file: %d", accept, resp.StatusCode)
		}
	}
}

func TestOtherRequests(t *testing.T) {
	h := handler(t)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"HEAD", "/shoal.js", 200},
		{"POST", "/shoal.js", 405},
		{"OPTIONS", "/", 405},
		{"GET", "/none.js", 404},
		{"GET", "/favicon.ico", 204},
		{"GET", "/shoal.js.br", 404},
		{"GET", "/.gitignore", 404},
		{"GET", "/.pack.json", 404},
		{"GET", "/demo/.hidden.html", 404},
		{"GET", "/demo/", 404},
		{"GET", "/demo", 404},
		{"GET", "/../shoal.js", 404},
		{"GET", "//shoal.js", 404},
	} {
		resp := request(h, tt.method, tt.path, nil)
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, resp.StatusCode, tt.status)
		}
		if got := body(t, resp); tt.method == "HEAD" && got != "" {
			t.Errorf("HEAD has a body %q", got)
		}
	}
	resp := request(h, "GET", "/shoal.js", http.Header{"Range": {"bytes=0-0"}, "Accept-Encoding": {"br"}})
	if got := body(t, resp); resp.StatusCode != 200 || got != "br" {
		t.Errorf("range of what is compressed: %d %q", resp.StatusCode, got)
	}
	resp = request(h, "GET", "/shoal.js", http.Header{"Range": {"bytes=0-2"}})
	if got := body(t, resp); resp.StatusCode != 206 || got != "raw" {
		t.Errorf("range: %d %q", resp.StatusCode, got)
	}
}

func TestBuiltWithoutAssets(t *testing.T) {
	h, err := assets.NewHandler(fstest.MapFS{".gitignore": file("*")})
	if err != nil {
		t.Fatal(err)
	}
	resp := request(h, "GET", "/", nil)
	if got := body(t, resp); h.Built() || resp.StatusCode != 503 || got != "This server was built without assets; run make build. Signaling works.\n" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
}

// TestEmbedded reads what this binary has, be it nothing.
func TestEmbedded(t *testing.T) {
	h, err := assets.NewHandler(assets.FS())
	if err != nil {
		t.Fatal(err)
	}
	if want := map[bool]int{true: 200, false: 503}[h.Built()]; request(h, "GET", "/", nil).StatusCode != want {
		t.Errorf("page of a binary with assets %t: not %d", h.Built(), want)
	}
}
