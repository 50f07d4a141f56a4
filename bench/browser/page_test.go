package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/shoaldb/shoal/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// lab is what all rows need: the pages, and a signaling server.
type lab struct {
	pages  *httptest.Server
	signal string // address of the signaling server
}

func newLab(t *testing.T) *lab {
	t.Helper()
	for _, file := range []string{"../node_modules/rxdb", "../../web/dist/shoal.wasm"} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("%s is missing, make bench-quick makes it: %v", file, err)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("node", "pages/build.mjs", dir).CombinedOutput(); err != nil {
		t.Fatalf("build pages: %v\n%s", err, out)
	}
	mux := http.NewServeMux()
	mux.Handle("/built/", http.StripPrefix("/built/", http.FileServer(http.Dir(dir))))
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join("..", "..", "web", "dist"))))
	mux.HandleFunc("/page/{side}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><script type="module" src="/built/%s.js"></script>`, r.PathValue("side"))
	})
	l := &lab{pages: httptest.NewServer(mux), signal: "ws://127.0.0.1:" + shoalserver.Start(t).Port()}
	t.Cleanup(l.pages.Close)
	return l
}

// peer is a page in a browser process and a profile of its own.
type peer struct {
	*chrome.Tab
	t       testing.TB
	side    string
	browser *chrome.Browser
	lab     *lab
}

func (l *lab) peer(t *testing.T, side string) *peer {
	t.Helper()
	p := &peer{t: t, side: side, browser: chrome.NewProfile(t).Open(t, nil), lab: l}
	p.reopen()
	return p
}

// reopen opens the page anew, in the same browser.
func (p *peer) reopen() {
	p.t.Helper()
	if p.Tab != nil {
		p.Tab.Close()
	}
	p.Tab = p.browser.Tab(p.lab.pages.URL + "/page/" + p.side)
	p.AllowErrors()
	p.Wait(`window.bench`)
}

func (p *peer) close() { p.browser.Close() }

// patience bounds one measurement.
const patience = 4 * time.Minute

// run returns what an expression comes to in the page, which may take a while.
func run[T any](p *peer, expression string) T {
	p.t.Helper()
	p.begin(expression)
	return result[T](p)
}

// begin starts to evaluate an expression, for result.
func (p *peer) begin(expression string) {
	p.t.Helper()
	p.Do(`window.outcome = undefined; (async () => ` + expression + `)().then(
		(value) => (outcome = { value: JSON.stringify(value ?? null) }), (error) => (outcome = { error: String(error?.stack ?? error) }))`)
}

func result[T any](p *peer) (value T) {
	p.t.Helper()
	for start := time.Now(); time.Since(start) < patience; {
		o := chrome.Eval[*struct{ Value, Error string }](p.Tab, `new Promise((resolve) => {
			const end = performance.now() + 20000;
			const look = () => outcome || performance.now() > end ? resolve(outcome ?? null) : setTimeout(look, 5);
			look();
		})`)
		if o == nil {
			continue
		}
		if o.Error != "" {
			p.t.Fatalf("%s: %s", p.side, o.Error)
		}
		if err := json.Unmarshal([]byte(o.Value), &value); err != nil {
			p.t.Fatalf("%s: %v", p.side, err)
		}
		return value
	}
	p.t.Fatalf("%s: nothing after %v", p.side, patience)
	return value
}
