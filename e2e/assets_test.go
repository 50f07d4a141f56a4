package e2e

import (
	"io"
	"maps"
	"net/http"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// get asks the server for a path, with an encoding that it does not undo, and returns the answer's header and size.
func get(t *testing.T, url string, header http.Header) (status int, answer http.Header, size int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, len(body)
}

// TestAssets asks the built server for all that a page loads, in each encoding, and again with the ETag.
func TestAssets(t *testing.T) {
	s := shoalserver.Start(t)
	for path, kind := range map[string]string{
		"/":             "text/html; charset=utf-8",
		"/index.html":   "text/html; charset=utf-8",
		"/shoal.js":     "text/javascript; charset=utf-8",
		"/shoal.js.map": "application/json",
		"/worker.js":    "text/javascript; charset=utf-8",
		"/shoal.d.ts":   "application/typescript; charset=utf-8",
		"/shoal.wasm":   "application/wasm",
		"/validate.js":  "text/javascript; charset=utf-8",
		"/demo.js":      "text/javascript; charset=utf-8",
		"/demo.css":     "text/css; charset=utf-8",
	} {
		sizes := make(map[string]int)
		for _, encoding := range []string{"br", "gzip", ""} {
			header := http.Header{"Accept-Encoding": {encoding}, "Origin": {"https://app.example"}}
			status, answer, size := get(t, s.URL(path), header)
			sizes[encoding] = size
			if status != http.StatusOK || answer.Get("Content-Encoding") != encoding || answer.Get("Content-Type") != kind ||
				answer.Get("Access-Control-Allow-Origin") != "*" || answer.Get("Vary") != "Accept-Encoding" || answer.Get("ETag") == "" {
				t.Errorf("%s with encoding %q: %d %v", path, encoding, status, answer)
			}
			header.Set("If-None-Match", answer.Get("ETag"))
			if status, _, size := get(t, s.URL(path), header); status != http.StatusNotModified || size != 0 {
				t.Errorf("%s with encoding %q and its ETag: %d with %d bytes", path, encoding, status, size)
			}
		}
		if !(sizes["br"] < sizes["gzip"] && sizes["gzip"] < sizes[""]) {
			t.Errorf("%s: %v", path, sizes)
		}
	}
	if status, _, size := get(t, s.URL("/healthz"), nil); status != http.StatusOK || size == 0 {
		t.Errorf("/healthz: %d with %d bytes", status, size)
	}
}

// TestOtherOrigin imports the library from a server that the page is not of, and replicates over that one.
func TestOtherOrigin(t *testing.T) {
	library, site := shoalserver.Start(t), shoalserver.Start(t)
	run := func() *chrome.Tab {
		tab := chrome.NewProfile(t).Open(t, nil).Tab(site.URL(blank))
		tab.Do(`
			window.warnings = [];
			console.warn = (...words) => warnings.push(words.join(' '));
			const shoal = await import('` + library.URL("/shoal.js") + `');
			const db = await shoal.createDatabase({ name: 'app', storage: 'indexeddb' });
			const schema = { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' } } };
			window.todos = (await db.addCollections({ todos: { schema } })).todos;
			window.pool = await shoal.replicateP2P({
				collection: todos, topic: 'another origin', pull: {}, push: {},
				connectionHandlerCreator: shoal.getConnectionHandlerSimplePeer('` + library.Signal() + `'),
			});
		`)
		return tab
	}
	a, b := run(), run()
	a.Do(`await todos.insert({ id: '1' })`)
	b.Do(`for await (const n of todos.count().$) if (n === 1) break`)
	if got := chrome.Eval[[]string](a, `warnings`); len(got) > 0 {
		t.Errorf("it warns of %q", got) // that it has no Worker, for instance
	}
}
