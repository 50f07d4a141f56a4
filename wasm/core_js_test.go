//go:build js

package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall/js"
	"testing"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// program is a core as a page has it.
type program struct {
	*testing.T
	object js.Value
	events []string // kind, a blank, the text
	answer func(kind, text string, bytes []byte) (any, error)
}

func start(t *testing.T) *program {
	t.Helper()
	before := jsbridge.LiveFuncs()
	p := &program{T: t}
	onEvent := jsbridge.NewFunc(func(_ js.Value, args []js.Value) any {
		p.events = append(p.events, args[0].String()+" "+args[2].String())
		return nil
	})
	onRequest := jsbridge.NewFunc(func(_ js.Value, args []js.Value) any {
		var data []byte
		if args[3].Truthy() {
			data, _ = jsbridge.Bytes(args[3]) // they are
		}
		value, err := p.answer(args[0].String(), args[2].String(), data)
		if err != nil {
			return js.Global().Get("Promise").Call("reject", jsbridge.ToJS(err, "test"))
		}
		return value
	})
	c := newCore(onEvent.Value, onRequest.Value)
	p.object = c.object()
	t.Cleanup(func() {
		c.close()
		onEvent.Release()
		onRequest.Release()
		if after := jsbridge.LiveFuncs(); after != before {
			t.Errorf("%d callbacks were not released", after-before)
		}
	})
	return p
}

// try calls a method and returns what its promise comes to.
func (p *program) try(method string, args ...any) (js.Value, error) {
	return jsbridge.Await(p.Context(), p.object.Call(method, args...))
}

// call is try for what must not fail.
func (p *program) call(method string, args ...any) js.Value {
	p.Helper()
	v, err := p.try(method, args...)
	if err != nil {
		p.Fatalf("%s: %v", method, err)
	}
	return v
}

// code returns the code of the error that a call must end with.
func (p *program) code(method string, args ...any) string {
	p.Helper()
	_, err := p.try(method, args...)
	var e *jsbridge.Error
	if !errors.As(err, &e) {
		p.Fatalf("%s: %v, want an error", method, err)
	}
	if e.Name == "TypeError" {
		return e.Name
	}
	return e.Code
}

func inBytes(s string) js.Value { return jsbridge.Uint8Array([]byte(s)) }

const todosOptions = `{"name":"todos","schema":{"version":0,"primaryKey":"id","properties":{"id":{"type":"string"},"n":{"type":"number"}},"indexes":["n"]}}`

// collection opens a database and a collection in it.
func (p *program) collection(storage string) (database, collection js.Value) {
	p.Helper()
	database = p.call("open", fmt.Sprintf(`{"name":"test/%s","storage":%q,"durability":"relaxed"}`, p.Name(), storage))
	return database, p.call("addCollection", database, todosOptions)
}

func TestWriteAndRead(t *testing.T) {
	p := start(t)
	db, c := p.collection("memory")
	p.call("watch", c, watchBefore)
	out := p.call("write", c, inBytes("i\"b\"\n{\"id\":\"b\",\"n\":1}\ni\"a\\n\"\n{\"id\":\"a\\n\"}\ni\"b\"\n{\"id\":\"b\"}\n")).String()
	if want := `{"v":[0,1,0,2,0,0],"s":[],"b":[],"e":[[2,"exists","collection: document exists already: \"b\""]]}`; out != want {
		t.Errorf("write: %s, want %s", out, want)
	}
	if got, want := p.call("find", c, -1, "{}").String(), `{"t":0,"o":[],"v":[0,2,0,1],"d":[{"id":"a\n"},{"id":"b","n":1}]}`; got != want {
		t.Errorf("find: %s, want %s", got, want)
	}
	out = p.call("write", c, inBytes("p\"b\"\n{\"n\":2}\nr0:2:\"a\\n\"\n{\"id\":\"a\\n\",\"x\":1}\nr0:9:\"b\"\n{\"id\":\"b\"}\nd\"b\"\n\n")).String()
	if want := `{"v":[0,3,0,4,0,0,0,3],"s":[0],"b":[[0,{"id":"b","n":2}]],"e":[[2,"changed","collection: document has changed meanwhile: \"b\""]]}`; out != want {
		t.Errorf("write: %s, want %s", out, want)
	}
	if got, want := p.call("get", c, `["b","a\n","x"]`).String(), `{"t":6,"o":[],"v":[0,4],"d":[{"id":"a\n","x":1}]}`; got != want {
		t.Errorf("get: %s, want %s", got, want)
	}
	if n := p.call("count", c, "{}").Int(); n != 1 {
		t.Errorf("count: %d", n)
	}
	if got := p.call("info", c).String(); !strings.Contains(got, `"documents":1,"tombstones":1`) {
		t.Errorf("info: %s", got)
	}
	want := []string{
		`changes {"t":4,"n":2,"o":[0,0],"v":[0,1,0,2],"d":[{"id":"b","n":1},{"id":"a\n"}],"b":[null,null]}`,
		`changes {"t":6,"n":1,"o":[1,2],"v":[0,4,0,3],"d":[{"id":"a\n","x":1},{"id":"b"}],"b":[{"id":"a\n"},{"id":"b","n":1}]}`,
	}
	if !slices.Equal(p.events, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(p.events, "\n"), strings.Join(want, "\n"))
	}
	p.call("watch", c, watchOff)
	p.call("write", c, inBytes("u\"c\"\n{\"id\":\"c\"}\n"))
	if len(p.events) != len(want) {
		t.Errorf("events after the watch: %v", p.events)
	}
	p.call("closeDatabase", db)
	for method, args := range map[string][]any{"find": {c, -1, "{}"}, "count": {c, "{}"}, "info": {c}, "observe": {c, -1, "{}"}} {
		if code := p.code(method, args...); code != jsbridge.CodeClosed {
			t.Errorf("%s after close: %s", method, code)
		}
	}
}

func TestBadCalls(t *testing.T) {
	p := start(t)
	db, c := p.collection("memory")
	for _, call := range []struct {
		method string
		args   []any
		code   string
	}{
		{"open", nil, "TypeError"},
		{"open", []any{1}, "TypeError"},
		{"open", []any{"{"}, "TypeError"},
		{"open", []any{true}, "TypeError"},
		{"open", []any{map[string]any{}}, "TypeError"},
		{"closeDatabase", []any{c}, "closed"},
		{"closeDatabase", []any{"x"}, "TypeError"},
		{"addCollection", []any{db, todosOptions}, "exists"},
		{"addCollection", []any{db, strings.Replace(todosOptions, "todos", strings.Repeat("x", 300), 1)}, jsbridge.CodeOther},
		{"write", []any{db, inBytes("")}, "closed"},
		{"write", []any{c, "text"}, "TypeError"},
		{"write", []any{c, inBytes("i\"a\"\n")}, jsbridge.CodeOther},
		{"get", []any{c, `[1]`}, "TypeError"},
		{"addCollection", []any{db, `{"name":"a","schema":{"primaryKey":"id","properties":{"id":{}},"indexes":["nope"]}}`}, "TypeError"},
		{"addCollection", []any{db, `{"name":"a","schema":[]}`}, "TypeError"},
		{"find", []any{c, -1, `{"selector":{"nope":1}}`}, "TypeError"},
		{"find", []any{c, -1, `{"selector":{"id":{"$regex":"("}}}`}, "TypeError"},
		{"count", []any{c, `{`}, "TypeError"},
		{"explain", []any{c}, "TypeError"},
		{"observe", []any{c, "x", `{}`}, "TypeError"},
		{"unobserve", []any{c, -99}, "TypeError"},
		{"watch", []any{c, "x"}, "TypeError"},
		{"replicate", []any{c, `{"topic":"short","connection":{"network":99}}`}, "closed"},
		{"awaitInSync", []any{c}, "closed"},
		{"networkEvent", []any{0}, ""},
		{"cancel", []any{99}, ""},
	} {
		if call.code == "" {
			p.call(call.method, call.args...)
			continue
		}
		if code := p.code(call.method, call.args...); code != call.code {
			t.Errorf("%s %v: code %q, want %q", call.method, call.args, code, call.code)
		}
	}
	number := p.call("addNetwork")
	p.answer = func(string, string, []byte) (any, error) { return nil, nil }
	if code := p.code("networkEvent", number, "nonsense", "peer"); code != "TypeError" {
		t.Errorf("unknown event: code %q", code)
	}
	if code := p.code("replicate", c, fmt.Sprintf(`{"topic":"short","connection":{"network":%d}}`, number.Int())); code != jsbridge.CodeOther {
		t.Errorf("short topic: code %q", code)
	}
}

// TestLiveQuery has what a page is told of a live query, of a live count, and of a result that is told in parts.
func TestLiveQuery(t *testing.T) {
	p := start(t)
	_, c := p.collection("memory")
	p.call("write", c, inBytes("i\"a\"\n{\"id\":\"a\",\"n\":1}\ni\"b\"\n{\"id\":\"b\",\"n\":2}\n"))
	p.call("observe", c, -1, `{"selector":{"n":{"$gt":0}},"sort":[{"n":"asc"}]}`)
	p.call("observeCount", c, -2, `{"selector":{"n":{"$gt":1}}}`)
	p.call("write", c, inBytes("p\"b\"\n{\"n\":0.5}\ni\"c\"\n{\"id\":\"c\"}\n"))
	p.call("find", c, -3, "{}") // what is observed is up to date afterwards
	want := []string{
		`rows {"t":0,"o":[],"v":[0,1,0,2],"d":[{"id":"a","n":1},{"id":"b","n":2}]}`,
		`count 1`,
		`edits {"e":[2,1,1,0],"o":[],"v":[0,3],"d":[{"id":"b","n":0.5}]}`,
		`count 0`,
	}
	if !slices.Equal(p.events, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(p.events, "\n"), strings.Join(want, "\n"))
	}
	p.call("unobserve", c, -1)
	p.call("unobserve", c, -2)
	big := strings.Repeat("x", 100<<10)
	p.call("write", c, inBytes(fmt.Sprintf("u\"a\"\n{\"id\":\"a\",\"n\":1,\"x\":%[1]q}\nu\"b\"\n{\"id\":\"b\",\"n\":2,\"x\":%[1]q}\nu\"c\"\n{\"id\":\"c\",\"n\":3,\"x\":%[1]q}\n", big)))
	p.events = nil
	last := p.call("find", c, -3, `{"selector":{"n":{"$gt":0}}}`).String()
	if len(p.events) != 0 || strings.Count(last, big) != 3 { // the third part is the last
		t.Errorf("%d events, %d documents at the end", len(p.events), strings.Count(last, big))
	}
	p.call("write", c, inBytes(fmt.Sprintf("u\"d\"\n{\"id\":\"d\",\"n\":4,\"x\":%q}\n", big)))
	last = p.call("find", c, -3, `{"selector":{"n":{"$gt":0}}}`).String()
	if len(p.events) != 1 || strings.Count(p.events[0], big) != 3 || strings.Count(last, big) != 1 {
		t.Errorf("%d events, %d documents at the end", len(p.events), strings.Count(last, big))
	}
	if got := p.call("explain", c, `{"selector":{"n":4}}`).String(); !strings.Contains(got, `"index":["n","id"]`) {
		t.Errorf("explain: %s", got)
	}
	if n := p.call("count", c, `{"selector":{"id":{"$regex":"^[A-D]$","$options":"i"}}}`).Int(); n != 4 {
		t.Errorf("count by a regular expression: %d", n)
	}
}

func TestRows(t *testing.T) {
	c := newCore(js.Undefined(), js.Undefined())
	for _, bad := range []string{
		"i", "i\"a\"", "i\"a\"\n", "x\"a\"\n{}\n", "\n\n", "ia\n{}\n", "i\"\n{}\n", "i\"\\x\"\n{}\n",
		"r\"a\"\n{}\n", "r0:1\n{}\n", "r0:1:\"a\"\n{}\n", "rx:1:\"a\"\n{}\n", "r-1:1:\"a\"\n{}\n", "r0:-1:\"a\"\n{}\n",
	} {
		if writes, err := c.rows([]byte(bad)); err == nil {
			t.Errorf("%q: %v, want an error", bad, writes)
		}
	}
	if writes, err := c.rows(nil); err != nil || len(writes) != 0 {
		t.Errorf("no rows: %v, %v", writes, err)
	}
}

// TestStored has what IndexedDB keeps when a page closes and another opens.
func TestStored(t *testing.T) {
	if os.Getenv("BROWSERTEST") == "" {
		p := start(t)
		if code := p.code("open", `{"name":"x","storage":"indexeddb","durability":"relaxed"}`); code != "unsupported" {
			t.Errorf("without IndexedDB: code %q", code)
		}
		return
	}
	p := start(t)
	db, c := p.collection("indexeddb")
	p.call("write", c, inBytes("i\"a\"\n{\"id\":\"a\"}\n"))
	info := p.call("info", c).String()
	p.call("closeDatabase", db)
	db, c = p.collection("indexeddb")
	if again := p.call("info", c).String(); again != info {
		t.Errorf("opened again it has %s, had %s", again, info)
	}
	p.call("removeDatabase", db)
	db, c = p.collection("indexeddb")
	if n := p.call("count", c, "{}").Int(); n != 0 {
		t.Errorf("a removed database has %d documents", n)
	}
	p.call("removeDatabase", db)
}

// TestCodes compares the codes with those that users are told of.
func TestCodes(t *testing.T) {
	source, err := os.ReadFile("../web/src/errors.ts")
	if os.Getenv("BROWSERTEST") != "" {
		t.Skip("a page has no files; the same runs in Node.js")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, union, found := strings.Cut(string(source), "export type ErrorCode =")
	union, _, end := strings.Cut(union, ";")
	if !found || !end {
		t.Fatal("errors.ts has no type ErrorCode")
	}
	var listed []string
	for _, m := range regexp.MustCompile(`'([a-z-]+)'`).FindAllStringSubmatch(union, -1) {
		listed = append(listed, m[1])
	}
	mine := []string{jsbridge.CodeFatal, jsbridge.CodeClosed, jsbridge.CodeOther, codeCallback, "signaling"}
	for _, c := range codes() {
		mine = append(mine, c.code)
	}
	for _, code := range mine {
		if !slices.Contains(listed, code) {
			t.Errorf("errors.ts does not list %q", code)
		}
	}
	for _, c := range codes() {
		if got := codeOf(fmt.Errorf("wrapped: %w", c.err)); got != c.code {
			t.Errorf("%v has the code %q, want %q", c.err, got, c.code)
		}
	}
}

// TestNetworks connects two networks: what the connection handler of one is to send, that of the other delivers.
func TestNetworks(t *testing.T) {
	p := start(t)
	var collections, networks []js.Value
	for i := range 2 {
		db := p.call("open", fmt.Sprintf(`{"name":"n%d","storage":"memory"}`, i))
		collections = append(collections, p.call("addCollection", db, todosOptions))
		networks = append(networks, p.call("addNetwork"))
	}
	p.answer = func(kind, peer string, data []byte) (any, error) {
		if kind == requestSend { // each network's only peer is the other one, which goes by its number
			for i, n := range networks {
				if peer == fmt.Sprint(n.Int()) {
					p.object.Call("networkEvent", n, "message", fmt.Sprint(networks[1-i].Int()), jsbridge.Uint8Array(data))
				}
			}
		}
		return nil, nil
	}
	p.call("write", collections[0], inBytes("i\"a\"\n{\"id\":\"a\"}\n"))
	var pools []js.Value
	for i, c := range collections {
		pools = append(pools, p.call("replicate", c, fmt.Sprintf(`{"topic":"a topic","connection":{"network":%d},"pull":{},"push":{}}`, networks[i].Int())))
	}
	for i, n := range networks {
		p.call("networkEvent", n, "connect", fmt.Sprint(networks[1-i].Int()))
	}
	for _, pool := range pools {
		p.call("awaitInSync", pool)
	}
	if got := p.call("get", collections[1], `["a"]`).String(); !strings.Contains(got, `{"id":"a"}`) {
		t.Errorf("the other one has %s", got)
	}
	p.call("networkEvent", networks[0], "disconnect", fmt.Sprint(networks[1].Int()))
	p.call("networkEvent", networks[1], "message", fmt.Sprint(networks[0].Int()), inBytes(""))
	for _, pool := range pools {
		p.call("cancel", pool)
		p.call("cancel", pool)
	}
	p.call("wake")
}
