//go:build js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/finder"
	"github.com/shoaldb/shoal/shared/migration"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/store"
	"github.com/shoaldb/shoal/shared/store/memlog"
	"github.com/shoaldb/shoal/wasm/idblog"
	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// database is what createDatabase of web/ made.
type database struct {
	core   *core
	number int
	name   string
	memory bool
	logs   store.Database

	mu          sync.Mutex // guards the following fields
	closed      bool
	collections map[string]*coll
	meshes      map[string]*sharedMesh // by the text of their options
}

// databaseOptions is the argument of open.
type databaseOptions struct {
	Name       string           `json:"name"`
	Storage    string           `json:"storage"`
	Durability store.Durability `json:"durability"`
}

// open (options) opens a database and returns its number.
func (c *core) open(ctx context.Context, a arguments) (any, error) {
	var opts databaseOptions
	if err := options(a, 0, &opts); err != nil {
		return nil, err
	}
	d := &database{
		core: c, name: opts.Name, memory: opts.Storage == "memory",
		collections: make(map[string]*coll), meshes: make(map[string]*sharedMesh),
	}
	if d.memory {
		d.logs = memlog.New(nil).Open(nil)
	} else {
		logs, err := idblog.Open(ctx, opts.Name, &idblog.Options{Durability: opts.Durability})
		if err != nil {
			return nil, err
		}
		d.logs = logs
		c.persist()
	}
	d.number = c.add(d)
	return d.number, nil
}

// persist asks the browser to keep what this origin stores even if space is short. Its answer, which may be the user's and take long, changes
// nothing here, and neither does its failure.
func (c *core) persist() {
	c.tasks.Promise(func(ctx context.Context) (any, error) {
		_, _ = idblog.Persist(ctx)
		return nil, nil
	})
}

// options reads the argument that is a JSON text.
func options(a arguments, i int, into any) error {
	text, err := at[string](a, i)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("argument %d: %w: %w", i, jsbridge.TypeError("not what is expected"), err)
	}
	return nil
}

// closeDatabase (database) closes it with its pools and collections.
func (c *core) closeDatabase(_ context.Context, a arguments) (any, error) {
	d, err := thing[*database](c, a)
	if err != nil {
		return nil, err
	}
	return nil, d.close()
}

func (d *database) close() error {
	d.mu.Lock()
	d.closed = true
	collections := d.collections
	d.collections = nil
	d.mu.Unlock()
	for _, r := range all[*replicating](d.core) {
		if r.coll.db == d {
			r.cancel()
		}
	}
	var errs []error
	for _, coll := range collections {
		errs = append(errs, coll.close())
		d.core.forget(coll.number)
	}
	d.core.forget(d.number)
	return errors.Join(append(errs, d.logs.Close())...)
}

// removeDatabase (database) closes it and deletes what it held, for all tabs.
func (c *core) removeDatabase(ctx context.Context, a arguments) (any, error) {
	d, err := thing[*database](c, a)
	if err != nil {
		return nil, err
	}
	if err := d.close(); err != nil || d.memory {
		return nil, err
	}
	return nil, idblog.Delete(ctx, d.name)
}

// collectionOptions is an argument of addCollection.
type collectionOptions struct {
	Name    string          `json:"name"`
	Schema  json.RawMessage `json:"schema"`
	Final   []string        `json:"final"`   // fields that no write may change
	Handler string          `json:"handler"` // "ask": conflicts are for requestEqual and requestResolve
	// Migration is of JavaScript's choice, below 0: what eventMigration and requestMigrate are of.
	Migration int `json:"migration"`
}

// schema is what the core reads of a collection's schema.
type schema struct {
	Version uint32
	Hash    [32]byte
	*query.Schema
}

func parseSchema(text []byte) (*schema, error) {
	var versioned struct {
		Version uint32 `json:"version"`
	}
	s := &schema{}
	err := json.Unmarshal(text, &versioned)
	if err == nil {
		s.Hash, err = collection.HashSchema(text)
	}
	if err == nil {
		s.Schema, err = query.ParseSchema(text)
	}
	if err != nil {
		return nil, jsbridge.TypeError(err.Error())
	}
	s.Version, s.Regexp = versioned.Version, compileRegexp
	return s, nil
}

// addCollection (database, options) opens a collection and returns its number.
func (c *core) addCollection(ctx context.Context, a arguments) (any, error) {
	d, err := thing[*database](c, a)
	if err != nil {
		return nil, err
	}
	var opts collectionOptions
	if err := options(a, 1, &opts); err != nil {
		return nil, err
	}
	schema, err := parseSchema(opts.Schema)
	if err != nil {
		return nil, err
	}
	coll := &coll{db: d, key: schema.PrimaryPath, lives: make(map[int]func())}
	coll.number = c.add(coll)
	if err := coll.open(ctx, &opts, schema); err != nil {
		c.forget(coll.number)
		return nil, err
	}
	return coll.number, nil
}

// open opens the log of a collection and what is in it, with what was stored under older versions of the schema.
func (o *coll) open(ctx context.Context, opts *collectionOptions, schema *schema) error {
	older, err := migration.Pending(ctx, o.db.logs, opts.Name, schema.Version)
	if err != nil {
		return err
	}
	o.log = migration.LogName(opts.Name, schema.Version)
	log, err := o.db.logs.Log(ctx, o.log)
	if err != nil {
		return err
	}
	copts := &collection.Options{PrimaryKey: o.key, SchemaVersion: schema.Version, SchemaHash: schema.Hash, Final: opts.Final}
	copts.OnDamage = func(e *collection.DamageError) { o.db.core.tell(eventDamaged, o.db.number, e.Error()) }
	switch opts.Handler {
	case "ask":
		copts.Handler = conflictHandler{o}
	case "merge-fields":
		copts.Handler = collection.FieldMerge{}
	}
	if o.Collection, err = collection.Open(ctx, opts.Name, log, copts); err != nil {
		return err
	}
	if len(older) > 0 {
		if err := o.migrate(ctx, opts, schema.Version); err != nil {
			return errors.Join(err, o.Close())
		}
	}
	o.finder = finder.New(o.Collection, schema.Schema, &finder.Options{Pause: jsbridge.Yield})
	if err := o.db.adopt(o); err != nil {
		return errors.Join(err, o.close())
	}
	return nil
}

// migrate carries over what was stored under older versions of the schema. The application transforms it.
func (o *coll) migrate(ctx context.Context, opts *collectionOptions, version uint32) error {
	core := o.db.core
	transform := func(ctx context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error) {
		text := strconv.AppendUint([]byte(`{"from":`), uint64(from), 10)
		text = append(text, `,"docs":[`...)
		for i, d := range docs {
			text = append(separate(text, i), d.Body...)
		}
		answer, err := core.ask(ctx, requestMigrate, opts.Migration, string(append(text, "]}"...)), nil)
		if err != nil {
			return nil, err
		}
		var bodies []json.RawMessage
		if err := json.Unmarshal([]byte(answer), &bodies); err != nil {
			return nil, err
		}
		for i := range bodies {
			if string(bodies[i]) == "null" {
				bodies[i] = nil
			}
		}
		return bodies, nil
	}
	return migration.Run(ctx, o.db.logs, o.Collection, version, transform, &migration.Options{
		PrimaryKey: o.key,
		Progress: func(p migration.Progress) {
			core.tell(eventMigration, opts.Migration, fmt.Sprintf(`{"total":%d,"handled":%d}`, p.Total, p.Handled))
		},
	})
}

func (o *coll) close() error {
	o.stopWatch()
	o.finder.Close()
	return o.Close()
}

// adopt makes o one of the collections.
func (d *database) adopt(o *coll) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return net.ErrClosed
	case d.collections[o.Name()] != nil:
		return fmt.Errorf("collection %q was added before: %w", o.Name(), collection.ErrExists)
	}
	d.collections[o.Name()] = o
	return nil
}
