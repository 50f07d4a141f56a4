package rxdb

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
	"github.com/tidwall/gjson"
)

var update = flag.Bool("update", false, "write what RxDB says to shared/protocol/testdata/rxdb")

var goldenDir = filepath.Join("..", "..", "shared", "protocol", "testdata", "rxdb")

// TestGolden has two RxDB clients replicate, and compares the form of what they say with the golden files, which have what they said once. With
// -update it writes these.
func TestGolden(t *testing.T) {
	name := versions(t)
	script := bundle(t)
	t.Run(name, func(t *testing.T) {
		said := capture(t, script)
		if *update {
			for name, frame := range said {
				if err := os.WriteFile(filepath.Join(goldenDir, name+".json"), []byte(frame+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
		files, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no golden files: %v", err)
		}
		for _, file := range files {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			got, ok := said[name]
			if !ok {
				t.Errorf("RxDB says nothing like %s", name)
			} else if a, b := form(got), form(string(want)); a != b {
				t.Errorf("%s has the form\n\t%s\nthe golden file has\n\t%s", name, a, b)
			}
			delete(said, name)
		}
		for name, frame := range said {
			t.Errorf("there is no golden file %s for %.200s", name, frame)
		}
	})
}

// capture returns one frame of each kind.
func capture(t *testing.T, script string) map[string]string {
	s := shoalserver.Start(t)
	browser := chrome.NewProfile(t).Open(t, nil)
	tabs := []*chrome.Tab{page(browser, s, script), page(browser, s, script)}
	for i, tab := range tabs {
		chrome.Eval[string](tab, fmt.Sprintf(`rx.open({ name: 'app%d' })`, i))
		goOnline(tab, s)
	}
	for _, tab := range tabs {
		tab.Do(`await rx.pool.awaitFirstPeer()`)
	}
	fork, master := tabs[0], tabs[1]
	if chrome.Eval[string](fork, `rx.role()`) == "master" {
		fork, master = master, fork
	}
	fork.Do(`await rx.todos.insert({ id: 'f', title: 'from the fork' })`)
	master.Do(`await rx.until(() => rx.get('f')); await rx.todos.insert({ id: 'm', title: 'from the master' })`)
	fork.Do(`await rx.until(() => rx.get('m')); await (await rx.todos.findOne('m').exec()).patch({ title: 'changed' })`)
	master.Do(`await rx.until(async () => (await rx.get('m')).title === 'changed'); await (await rx.todos.findOne('m').exec()).remove()`)
	fork.Do(`await rx.until(async () => !(await rx.get('m')))`)
	t.Log("a conflict, and a message of several chunks that cut characters in two")
	fork.Do(`await rx.offline(); await (await rx.todos.findOne('f').exec()).patch({ title: "the fork's" })`)
	master.Do(`await (await rx.todos.findOne('f').exec()).patch({ title: "the master's" })`)
	goOnline(fork, s)
	fork.Do(`await rx.until(async () => (await rx.get('f')).title === "the master's")`)
	fork.Do(`await rx.todos.insert({ id: 'big', title: '😀'.repeat(10000) }); await rx.todos.insert({ id: 'odd', title: 'x' + '😀'.repeat(10000) })`)
	master.Do(`await rx.until(() => rx.get('odd'))`)
	t.Log("an error")
	master.Do(`rx.pool.masterReplicationHandler.masterChangesSince = () => Promise.reject(new Error('no')); await rx.todos.insert({ id: 'e' })`)
	fork.Do(`await rx.offline()`)
	goOnline(fork, s)
	fork.Do(`await rx.until(() => rx.errors.length > 0)`)

	said := make(map[string]string)
	for _, tab := range tabs {
		for _, frame := range chrome.Eval[[]string](tab, `[...rx.frames, ...rx.signals]`) {
			if name := kind(frame); name != "" && (said[name] == "" || strings.Contains(name, "chunk") && len(frame) > len(said[name])) {
				said[name] = frame
			}
		}
	}
	chunks(t, fork, said)
	said["answer-error"] = stack.ReplaceAllString(said["answer-error"], `"stack":"Error: no"`)
	return said
}

// stack is what depends on where the page was loaded from.
var stack = regexp.MustCompile(`"stack":"[^"]*"`)

// chunks puts the chunks of one message in the place of any.
func chunks(t *testing.T, tab *chrome.Tab, said map[string]string) {
	t.Helper()
	of := make(map[string][]string)
	for _, frame := range chrome.Eval[[]string](tab, `rx.frames`) {
		if id := gjson.Get(frame, "chunk.id").Str; id != "" {
			of[id] = append(of[id], frame)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if list := of[id]; len(list) == 2 && strings.Contains(list[0], `\ud83d"`) {
			said["chunk-0"], said["chunk-1"] = list[0], list[1]
			return
		}
	}
	t.Error("no message was cut within a character")
}

// kind names the kind of a frame, "" for what is of no interest.
func kind(frame string) string {
	m := gjson.Parse(frame)
	result := m.Get("result")
	switch {
	case m.Get("type").Str == "signal":
		return "signal-" + m.Get("data.type").Str
	case m.Get("type").Exists() || m.Get("chunk").Exists():
		return ""
	case m.Get("method").Str == "masterChangesSince" && m.Get("params.0").IsObject():
		return "masterChangesSince-checkpoint"
	case m.Get("method").Str == "masterWrite" && m.Get("params.0.0.assumedMasterState").IsObject():
		return "masterWrite-assumed"
	case m.Get("method").Exists():
		return m.Get("method").Str
	case m.Get("error").Exists():
		return "answer-error"
	case m.Get("id").Str == "masterChangeStream$" && result.Str == "RESYNC":
		return "event-resync"
	case m.Get("id").Str == "masterChangeStream$" && result.Get("documents.0._deleted").Bool():
		return "event-deleted"
	case m.Get("id").Str == "masterChangeStream$":
		return "event"
	case result.Type == gjson.String:
		return "answer-token"
	case result.IsArray() && len(result.Array()) > 0:
		return "answer-conflict"
	case result.IsArray():
		return "answer-written"
	case len(result.Get("documents").Array()) > 0:
		return "answer-changes"
	}
	return "answer-no-changes"
}

// form is a JSON text with the type of each value in its place. Of arrays the first element counts.
func form(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err.Error()
	}
	out, _ := json.Marshal(types(v))
	return string(out)
}

func types(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		for k, x := range v {
			out[k] = types(x)
		}
		return out
	case []any:
		if len(v) > 1 {
			v = v[:1]
		}
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = types(x)
		}
		return out
	}
	return fmt.Sprintf("%T", v)
}
