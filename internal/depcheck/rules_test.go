package depcheck

// module is the prefix of the project's import paths. The package at the top is ".".
const module = "github.com/shoaldb/shoal/"

// layer says what a package and those below it may import of the project. The packages below one another are free to do so.
type layer struct {
	path string
	may  []string // with all that is below each
	why  string
}

// layers lists all packages. Of those that match, the longest path counts.
func layers() []layer {
	values := []string{"shared/document", "shared/block", "shared/protocol", "shared/query"}
	data := append([]string{"shared/store", "shared/collection"}, values...)
	network := []string{"shared/replication", "shared/rxdb", "shared/transport", "shared/signaling"}
	core := append(append([]string{"shared/pool", "shared/finder", "shared/migration", "shared/cpace", "shared/x25519", "internal/gate"}, network...), data...)
	return []layer{
		{"shared/document", nil, "it is values and pure functions, on which all else stands"},
		{"shared/block", []string{"shared/document"}, "it packs entries and knows no more than them"},
		{"shared/protocol", []string{"shared/document", "shared/block"}, "it is what crosses a wire, whoever sends it"},
		{"shared/cpace", []string{"shared/x25519"}, "a proof knows nothing of what it is for"},
		{"shared/x25519", nil, "it is one function"},
		{"shared/query", []string{"shared/document"}, "it reads JSON bytes, wherever they are stored"},
		{"shared/migration", data, "it carries documents from one collection into another, whoever replicates them"},
		{"shared/validate", nil, "it checks JSON bytes by a schema, wherever they are stored"},
		{"shared/store", []string{"internal/gate"}, "a log keeps records without knowing what is in them"},
		{"shared/collection", data, "documents are kept the same whether or not anybody replicates them"},
		{"shared/finder", data, "queries are answered the same whether or not anybody replicates"},
		{"shared/replication", data, "a session knows neither connections nor pools; it has no I/O of its own"},
		{"shared/rxdb", append([]string{"shared/replication"}, data...), "it sits beside package replication and knows neither connections nor pools"},
		{"shared/transport", []string{"shared/x25519"}, "connections carry bytes, whatever these mean"},
		{"shared/signaling", []string{"shared/protocol"}, "it is a client of the signaling server and nothing else"},
		{"shared/pool", core, "it is the top of the replication core, and knows none of the programs that use it"},
		{"server", []string{"shared/protocol", "internal/flags"}, "the server introduces replicas to one another and holds no documents"},
		{".", append([]string{"shared/validate"}, core...), "it is the core as a library for native programs, and has to do with neither server nor browser"},
		{"peer", append([]string{".", "internal/flags"}, core...), "it is the core as a native program, and has to do with neither server nor browser"},
		{"wasm", core, "it is the core as an object of JavaScript, and has to do with neither server nor native programs"},
		{"bench", []string{".", "shared", "internal", "e2e"}, "a benchmark measures what users get"},
		{"e2e", []string{".", "shared", "internal", "peer"}, "it tests what users get, from outside"},
		{"internal", nil, "helpers stand alone"},
	}
}

// place says that something may be imported in some packages only.
type place struct {
	what    string // an import path, with all that is below it
	only    []string
	testing []string // where tests may have it besides
	why     string
}

func places() []place {
	return []place{
		{"github.com/pion", []string{"shared/transport/rtc", "server/turn"}, []string{"server"}, "all others use WebRTC through package transport, and TURN through server/turn"},
		{"github.com/coder/websocket", []string{"shared/signaling", "server/hub"}, []string{"server", "e2e"}, "all others use the signaling server through package signaling"},
		{"github.com/hack-pad/go-indexeddb", []string{"wasm/idblog"}, nil, "its last release is old, and it may have to be replaced"},
		{"go.etcd.io/bbolt", []string{"shared/store/boltlog"}, nil, "all others store through package store"},
		{"github.com/chromedp", []string{"e2e", "internal/browsertest", "bench"}, nil, "only tests and benchmarks drive a browser"},
		{"github.com/gobwas/ws", []string{"server", "bench"}, nil, "it is the server's WebSocket, and does not compile for browsers as a client"},
		{"syscall/js", []string{"shared/transport/rtc", "shared/signaling", "wasm", "bench", "internal/browsertest"}, nil, "the rest of the core is the same on all targets"},
		{"github.com/nats-io/nats.go", []string{"server/cluster"}, nil, "all others know of other nodes through the hub's Cluster"},
		{"github.com/nats-io/nats-server", nil, []string{"server", "e2e"}, "the server uses a NATS that runs for itself"},
		{"github.com/prometheus", []string{"server"}, nil, "parts of the server count, and package main tells Prometheus"},
		{module + "shared/store/logtest", nil, []string{"shared/store", "wasm/idblog"}, "it is for tests"},
		{module + "shared/transport/transporttest", nil, []string{"shared/transport"}, "it is for tests"},
		{module + "shared/transport/rtc/rtctest", []string{"bench"}, []string{"shared/transport", "shared/pool", "e2e"}, "it is for tests"},
		{module + "internal/leakcheck", nil, []string{""}, "it is for tests"},
		{module + "internal/browsertest", []string{"internal/browsertest", "bench"}, []string{""}, "it is for tests"},
	}
}

// banned says that a package, or one below it, does not have to do with something at all, not even by way of others.
type banned struct {
	path string
	goos string // "" for both
	what []string
	why  string
}

func bans() []banned {
	return []banned{
		{
			"wasm", "js",
			[]string{"go.etcd.io/bbolt", "github.com/gobwas/ws", "github.com/andybalholm/brotli", "github.com/chromedp", "github.com/santhosh-tekuri/jsonschema", "github.com/pion", "github.com/coder/websocket", "net/http", module + "server"},
			"a page would load it in vain",
		},
		{
			"server/hub", "linux",
			[]string{"github.com/pion", "go.etcd.io/bbolt", "github.com/chromedp", module + "shared/collection"},
			"the hub passes messages on and knows neither WebRTC nor documents",
		},
	}
}

// pure lists the packages that are given all they work on, and pass on all they make: their results follow from what they are called
// with, on every target and in the simulation.
func pure() []string {
	return []string{"shared/document", "shared/block", "shared/protocol", "shared/query", "shared/collection", "shared/finder", "shared/migration", "shared/replication", "shared/rxdb"}
}

// outside lists what those do not import. (Package net is missing because of its ErrClosed.)
func outside() []string {
	return []string{"os", "net/http", "syscall", "plugin"}
}
