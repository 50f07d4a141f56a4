//go:build js

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall/js"

	"github.com/shoaldb/shoal/shared/document"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// The events that a core tells.
const (
	eventFatal     = "fatal"     // text says why; nothing works any more
	eventDamaged   = "damaged"   // of a database; text says what could not be read, and was left out
	eventChanges   = "changes"   // of a collection; see feed
	eventRows      = "rows"      // of a find or a live query: a part of its result; a reading
	eventEdits     = "edits"     // of a live query: what has changed of its result; see edits
	eventCount     = "count"     // of a live count: the number
	eventMigration = "migration" // of addCollection: how many documents there are, and how many are done
	eventPeers     = "peers"     // of a pool; see states
	eventFailed    = "failed"    // of a pool; see failure
	eventConflict  = "conflict"  // of a pool; see clash
)

// The requests that a core makes. Texts are JSON.
const (
	requestEqual   = "equal"   // of a collection: do two versions say the same?
	requestResolve = "resolve" // of a collection: what comes out of a conflict?
	requestMigrate = "migrate" // of addCollection: what become of documents of an older schema?
	requestValid   = "valid"   // of a pool: may a peer take part?
	requestPull    = "pull"    // of a pool: what becomes of a document that arrives?
	requestPush    = "push"    // of a pool: what becomes of a document that leaves?
	requestToken   = "token"   // of a pool: the token for its topic, as text
	requestSend    = "send"    // of a connection handler: pass bytes to the peer that text names
	requestClose   = "close"   // of a connection handler: end
)

// core is what one ShoalCore holds. What it gives out has numbers, one row of them for everything.
type core struct {
	onEvent   js.Value
	onRequest js.Value
	tasks     *jsbridge.Tasks
	funcs     []*jsbridge.Func

	mu       sync.Mutex // guards the following fields
	last     int
	things   map[int]any // *database, *collection, *replication and *network by number
	replicas []document.ReplicaID
	numbers  map[document.ReplicaID]int // in replicas
}

func newCore(onEvent, onRequest js.Value) *core {
	c := &core{onEvent: onEvent, onRequest: onRequest, things: make(map[int]any), numbers: make(map[document.ReplicaID]int)}
	c.tasks = jsbridge.NewTasks(&jsbridge.TasksOptions{Code: codeOf, Fatal: func(err error) { c.tell(eventFatal, 0, err.Error()) }})
	return c
}

// method is what JavaScript calls. It runs in a goroutine of its own.
type method func(ctx context.Context, a arguments) (any, error)

// object makes the object that JavaScript calls. Its functions live as long as the core.
func (c *core) object() js.Value {
	object := js.Global().Get("Object").New()
	for name, m := range map[string]method{
		"open":            c.open,
		"closeDatabase":   c.closeDatabase,
		"removeDatabase":  c.removeDatabase,
		"addCollection":   c.addCollection,
		"write":           c.write,
		"find":            c.find,
		"get":             c.get,
		"count":           c.count,
		"explain":         c.explain,
		"observe":         c.observe,
		"observeCount":    c.observeCount,
		"unobserve":       c.unobserve,
		"info":            c.info,
		"watch":           c.watch,
		"replicate":       c.replicate,
		"cancel":          c.cancel,
		"awaitFirstPeer":  c.awaitFirstPeer,
		"awaitInSync":     c.awaitInSync,
		"awaitReplicated": c.awaitReplicated,
		"stats":           c.stats,
		"wake":            c.wake,
		"addNetwork":      c.addNetwork,
		"networkEvent":    c.networkEvent,
	} {
		f := jsbridge.NewFunc(func(_ js.Value, args []js.Value) any {
			a, err := take(args)
			return c.tasks.Promise(func(ctx context.Context) (any, error) {
				if err != nil {
					return nil, err
				}
				return m(ctx, a)
			})
		})
		c.funcs = append(c.funcs, f)
		object.Set(name, f.Value)
	}
	return object
}

// close ends all that is under way and releases what JavaScript calls. Only tests do so: a page ends without a word.
func (c *core) close() {
	for _, d := range all[*database](c) {
		_ = d.close() // the log says why
	}
	c.tasks.Close()
	for _, f := range c.funcs {
		f.Release()
	}
}

// arguments are what JavaScript gave, copied: numbers as float64, texts as string, bytes as []byte.
type arguments []any

func take(values []js.Value) (arguments, error) {
	a := make(arguments, len(values))
	for i, v := range values {
		switch v.Type() {
		case js.TypeNumber:
			a[i] = v.Float()
		case js.TypeString:
			a[i] = v.String()
		case js.TypeObject:
			data, err := jsbridge.Bytes(v)
			if err != nil {
				return nil, fmt.Errorf("argument %d: %w", i, err)
			}
			a[i] = data
		default:
			return nil, fmt.Errorf("argument %d: %w", i, jsbridge.TypeError(v.Type().String()+" cannot be passed"))
		}
	}
	return a, nil
}

// at returns an argument.
func at[T any](a arguments, i int) (T, error) {
	if i < len(a) {
		if v, ok := a[i].(T); ok {
			return v, nil
		}
	}
	var zero T
	return zero, fmt.Errorf("argument %d: %w", i, jsbridge.TypeError(fmt.Sprintf("%T is needed", zero)))
}

// add gives a thing its number. Numbers that JavaScript gives are below 0.
func (c *core) add(thing any) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.things[c.last] = thing
	return c.last
}

func (c *core) forget(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.things, number)
}

// thing returns the thing with the number that is the first argument.
func thing[T any](c *core, a arguments) (T, error) {
	var zero T
	number, err := at[float64](a, 0)
	if err != nil {
		return zero, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.things[int(number)].(T)
	if !ok {
		return zero, net.ErrClosed
	}
	return t, nil
}

// all returns the things of one kind, in the order in which they were made.
func all[T any](c *core) []T {
	type numbered struct {
		number int
		thing  T
	}
	var found []numbered
	c.mu.Lock()
	for number, t := range c.things {
		if t, ok := t.(T); ok {
			found = append(found, numbered{number, t})
		}
	}
	c.mu.Unlock()
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	things := make([]T, len(found))
	for i := range found {
		things[i] = found[i].thing
	}
	return things
}

// number returns the small number that stands for a replica at the border.
func (c *core) number(r document.ReplicaID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.numbers[r]
	if !ok {
		n = len(c.replicas)
		c.replicas = append(c.replicas, r)
		c.numbers[r] = n
	}
	return n
}

// dot returns the version that a replica's number and a counter stand for.
func (c *core) dot(number int, counter uint64) (document.Dot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number < 0 || number >= len(c.replicas) {
		return document.Dot{}, errors.New("version of a replica that was never told")
	}
	return document.Dot{Replica: c.replicas[number], Counter: counter}, nil
}

// tell tells JavaScript of an event. It does not block: the other side only notes it down.
func (c *core) tell(kind string, of int, text string) {
	if err := jsbridge.Do(func() { c.onEvent.Invoke(kind, of, text) }); err != nil {
		js.Global().Get("console").Call("error", "shoal: event "+kind+" was not taken: "+err.Error())
	}
}

// ask makes a request of JavaScript and blocks for the answer.
func (c *core) ask(ctx context.Context, kind string, of int, text string, data []byte) (string, error) {
	bytes := js.Undefined()
	if data != nil {
		bytes = jsbridge.Uint8Array(data)
	}
	promise, err := jsbridge.Try(func() js.Value { return c.onRequest.Invoke(kind, of, text, bytes) })
	if err == nil {
		promise, err = jsbridge.Await(ctx, promise)
	}
	if err != nil {
		return "", err
	}
	if promise.Type() != js.TypeString {
		return "", nil
	}
	return promise.String(), nil
}
