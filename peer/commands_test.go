//go:build !js

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoaldb/shoal/shared/store/boltlog"
)

func TestCommands(t *testing.T) {
	data := filepath.Join(t.TempDir(), "made by put")
	t.Setenv("SHOAL_DATA", data)
	must(t, nil, "put", "todos", `{"id":"b","title":"Milk"}`, `{"id":"a","n":1}`)
	must(t, strings.NewReader("{\"id\":\"c\"}\n\n{\"id\":\"-d\"}\n"), "put", "users@2")
	for _, tt := range []struct {
		name   string
		args   []string
		stdout string
		stderr string // a part of it
		code   int
	}{
		{"collections", []string{"ls"}, "todos\t2 documents\t43 bytes\nusers@2\t2 documents\t24 bytes\n", "", 0},
		{"primary keys", []string{"ls", "todos"}, "a\nb\n", "", 0},
		{"documents", []string{"ls", "todos", "--long"}, "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"title\":\"Milk\"}\n", "", 0},
		{"document", []string{"get", "todos", "b"}, "{\"id\":\"b\",\"title\":\"Milk\"}\n", "", 0},
		{"the version that is there", []string{"get", "users", "c"}, "{\"id\":\"c\"}\n", "", 0},
		{"argument like a flag", []string{"get", "users", "--", "-d"}, "{\"id\":\"-d\"}\n", "", 0},
		{"another version", []string{"get", "users@1", "c"}, "", `there is no collection "users@1"`, 1},
		{"no document", []string{"get", "todos", "x"}, "", "document not found: x in todos", 1},
		{"no collection", []string{"ls", "nope"}, "", `there is no collection "nope"`, 1},
		{"no directory", []string{"ls", "--data", data + "/nope"}, "", "no such file", 1},
		{"query", []string{"ls", "todos", "--query", `{"selector":{"n":{"$gt":0}}}`}, "a\n", "", 0},
		{"bad query", []string{"ls", "todos", "--query", `{"selector":{"n":{"$foo":0}}}`}, "", "$foo", 1},
		{"no document to delete", []string{"rm", "todos", "x"}, "", "document not found", 1},
		{"delete", []string{"rm", "todos", "a", "b"}, "", "", 0},
		{"deleted", []string{"ls", "todos"}, "", "", 0},
		{"export", []string{"export"}, "{\"collection\":\"users@2\",\"document\":{\"id\":\"-d\"}}\n{\"collection\":\"users@2\",\"document\":{\"id\":\"c\"}}\n", "", 0},
		{"not JSON", []string{"put", "todos", `{"id":`}, "", "is not JSON", 1},
		{"no primary key", []string{"put", "todos", `{"name":"x"}`}, "", `primary key "id" is missing`, 1},
		{"another primary key", []string{"put", "people", `{"name":"x"}`, "--primary-key", "name"}, "", "", 0},
		{"no command", []string{"nope"}, "", `there is no command "nope"`, 2},
		{"too few arguments", []string{"get", "todos"}, "", "usage: shoal-peer get COLLECTION ID", 2},
		{"a query of nothing", []string{"ls", "--query", "{}"}, "", "ls COLLECTION --query", 2},
		{"too many", []string{"verify", "todos"}, "", "usage: shoal-peer verify", 2},
		{"flag of another command", []string{"get", "todos", "a", "--long"}, "", "see shoal-peer get --help", 2},
		{"no server", []string{"run"}, "", "which signaling server", 2},
		{"bad server", []string{"run", "--signal", "http://127.0.0.1", "--room", room}, "", "it must be like wss://", 2},
		{"no room", []string{"--signal", "ws://127.0.0.1:1/"}, "", "which room", 2},
		{"bad room", []string{"run", "--signal", "ws://127.0.0.1:1/", "--room", "r"}, "", `topic "r" has 1 characters`, 1},
		{"bad version", []string{"run", "--signal", "ws://127.0.0.1:1/", "--room", room, "--collections", "a@b"}, "", "what follows @", 1},
		{"bad conflicts", []string{"run", "--conflicts", "first"}, "", `--conflicts is "first"`, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := call(t, nil, tt.args...)
			if o.stdout != tt.stdout || o.code != tt.code || !strings.Contains(o.stderr, tt.stderr) || tt.stderr == "" && o.stderr != "" {
				t.Errorf("exit code %d, want %d\n%q, want\n%q\n%q, want\n%q", o.code, tt.code, o.stdout, tt.stdout, o.stderr, tt.stderr)
			}
		})
	}
}

// TestSchemas refuses what does not follow the schema, which tells the version and the primary key as well.
func TestSchemas(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "schemas.json")
	if err := os.WriteFile(file, []byte(`{"people":{"version":2,"primaryKey":"name","type":"object",
		"properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer"}},"required":["name","age"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHOAL_SCHEMAS", file)
	t.Setenv("SHOAL_DATA", filepath.Join(dir, "data"))
	must(t, nil, "put", "people", `{"name":"Ada","age":36}`)
	if o := call(t, nil, "put", "people", `{"name":"Bob","age":"x"}`); o.code != 1 || !strings.Contains(o.stderr, "age") {
		t.Errorf("a bad document: %+v", o)
	}
	if got := must(t, nil, "ls"); got != "people@2\t1 documents\t26 bytes\n" {
		t.Errorf("ls says %q", got)
	}
	if got := must(t, nil, "get", "people", "Ada"); got != "{\"name\":\"Ada\",\"age\":36}\n" {
		t.Errorf("get says %q", got)
	}
	if err := os.WriteFile(file, []byte(`[]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := call(t, nil, "ls"); o.code != 1 || !strings.Contains(o.stderr, "is not a JSON object of schemas") {
		t.Errorf("a bad file: %+v", o)
	}
}

func TestHelp(t *testing.T) {
	all := must(t, nil, "--help")
	for _, c := range commands() {
		if !strings.Contains(all, "\n  "+c.name+" ") {
			t.Errorf("help does not tell of %s", c.name)
		}
		if own := must(t, nil, c.name, "--help"); !strings.Contains(own, "usage: shoal-peer "+c.name) || !strings.Contains(own, "-data") {
			t.Errorf("%s --help says %s", c.name, own)
		}
	}
	if got := must(t, nil, "--version"); !strings.HasPrefix(got, "shoal-peer ") {
		t.Errorf("version %q", got)
	}
	t.Setenv("SHOAL_VERSION", "1.2.3") // which containers have for something else
	if o := call(t, nil, "ls"); o.code != 2 || !strings.Contains(o.stderr, "SHOAL_DATA") {
		t.Errorf("without a directory: %+v", o)
	}
}

// TestWatch has a watch that has the directory itself, and a put that goes through it.
func TestWatch(t *testing.T) {
	data := t.TempDir()
	must(t, nil, "put", "todos", `{"id":"a"}`, `{"id":"b"}`, "--data", data)
	f := follow(t, "", data)
	f.count(2)
	must(t, nil, "put", "todos", `{"id":"a","title":"<changed>"}`, "--data", data)
	f.until("the change", func(docs map[string]string) bool { return docs["a"] == `{"id":"a","title":"<changed>"}` })
	must(t, nil, "rm", "todos", "b", "--data", data)
	f.until("the deletion", func(docs map[string]string) bool { return len(docs) == 1 })
	f.stop(os.Interrupt)
	if got := must(t, nil, "ls", "todos", "--data", data); got != "a\n" {
		t.Errorf("afterwards there is %q", got)
	}
}

func TestExportImport(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, strings.NewReader(documents(0, 5000, "first")), "import", "--data", from)
	must(t, strings.NewReader(`{"collection":"a/b@7","document":{"id":"\ud83d\ude00 \ud800 <&>","big":12345678901234567890.10,"u":"`+"\u2028ä"+`"}}`), "import", "--data", from)
	file := filepath.Join(t.TempDir(), "export.ndjson")
	content := exported(t, from)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	o := call(t, nil, "import", file, "--data", to, "--progress")
	if o.code != 0 || !strings.Contains(o.stderr, "stored 5001 documents, 0 were there already") || !strings.Contains(o.stderr, "[##############################] 100% 5001 documents") {
		t.Fatalf("import: %+v", o)
	}
	expectSame(t, exported(t, to), content)
	if n := strings.Count(content, "\n"); n != 5001 || !strings.Contains(content, `"big":12345678901234567890.10`) {
		t.Errorf("%d lines were exported, the last %s", n, content[strings.LastIndex(content[:len(content)-1], "\n"):])
	}
	if o := call(t, nil, "import", file, "--data", to); !strings.Contains(o.stderr, "stored 0 documents, 5001 were there already") {
		t.Errorf("again: %+v", o)
	}
	o = call(t, strings.NewReader("{}\nnope\n"+documents(0, 1, "changed")), "import", "--data", to)
	if o.code != 1 || !strings.Contains(o.stderr, "line 1: not {") || !strings.Contains(o.stderr, "line 2: ") ||
		!strings.Contains(o.stderr, "stored 1 documents") || !strings.Contains(o.stderr, "2 documents were not stored") {
		t.Errorf("with faults: %+v", o)
	}
}

// TestOneProcess refuses a second replica, serves commands through the first, and tells who does not answer.
func TestOneProcess(t *testing.T) {
	signal, data := serve(t), filepath.Join(t.TempDir(), strings.Repeat("long path/", 12)) // longer than a socket's can be
	p := run(t, "first", signal, data)
	o := call(t, nil, "run", "--signal", signal, "--room", room, "--collections", "todos", "--data", data)
	if o.code != 1 || !strings.Contains(o.stderr, "is in use by shoal-peer run (process ") || !strings.Contains(o.stderr, "give --data another directory") {
		t.Errorf("a second: %+v", o)
	}
	must(t, nil, "put", "todos", `{"id":"a"}`, "--data", data)
	must(t, strings.NewReader(documents(0, 1000, "x")), "import", "--data", data)
	if got := must(t, nil, "ls", "--data", data); !strings.HasPrefix(got, "todos\t1001 documents") {
		t.Errorf("ls says %q", got)
	}
	if got := must(t, nil, "verify", "--data", data); !strings.Contains(got, "1001 documents") || !strings.Contains(got, "all good") {
		t.Errorf("verify says %q", got)
	}
	p.kill() // and leaves its socket
	if got := must(t, nil, "get", "todos", "a", "--data", data); got != "{\"id\":\"a\"}\n" {
		t.Errorf("afterwards there is %q", got)
	}
	p = run(t, "next", signal, data)
	if info, err := os.Stat(filepath.Join(data, socketName)); err != nil || info.Mode()&0o777 != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	p.stop(syscall.SIGINT)

	db, err := boltlog.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if o := call(t, nil, "ls", "--data", data); o.code != 1 || !strings.Contains(o.stderr, "is in use by another process, which does not answer") {
		t.Errorf("while another program has it: %+v", o)
	}
}
