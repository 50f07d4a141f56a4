//go:build !js

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/shared/collection"
)

// api answers what commands ask, by HTTP. Nothing of it is meant for other programs: both ends are the same binary, or nearly.
type api struct {
	db      *shoal.Database
	command string
	options shoal.CollectionOptions    // of collections that it opens
	schemas map[string]json.RawMessage // by name

	mu     sync.Mutex // guards the following field
	opened map[shoal.Stored]*shoal.Collection
}

func newAPI(db *shoal.Database, command string, c *config) *api {
	return &api{
		db: db, command: command, schemas: c.schemas,
		options: shoal.CollectionOptions{PrimaryKey: c.primaryKey}, opened: make(map[shoal.Stored]*shoal.Collection),
	}
}

func (a *api) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /status":      a.getStatus,
		"GET /collections": a.getCollections,
		"GET /documents":   a.getDocuments,
		"GET /document":    a.getDocument,
		"POST /documents":  a.postDocuments,
		"DELETE /document": a.deleteDocument,
		"GET /watch":       a.watch,
		"GET /verify":      a.verify,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := answer(w, r); err != nil {
				fail(w, err)
			}
		})
	}
	return mux
}

// Statuses by which the client tells errors apart.
const (
	statusNotFound = http.StatusNotFound
	statusFault    = http.StatusUnprocessableEntity
)

func fail(w http.ResponseWriter, err error) {
	code := statusFault
	if errors.Is(err, shoal.ErrNotFound) {
		code = statusNotFound
	}
	http.Error(w, err.Error(), code)
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// status says who has the directory.
type status struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	Version string `json:"version"`
}

func (a *api) getStatus(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, status{os.Getpid(), a.command, flags.Build()})
}

// versionOf returns the version of the schema of a collection, if it has one.
func (a *api) versionOf(name string) (version uint32, has bool, err error) {
	text, has := a.schemas[name]
	if !has {
		return 0, false, nil
	}
	var schema struct{ Version uint32 }
	if err := json.Unmarshal(text, &schema); err != nil {
		return 0, false, fmt.Errorf("schema of %q: %w", name, err)
	}
	return schema.Version, true, nil
}

// find returns the collection that a name stands for: of the version that it has, else that of its schema, else the highest that is stored.
func (a *api) find(ctx context.Context, name string) (s shoal.Stored, there bool, err error) {
	if s, err = parseStored(name); err != nil {
		return s, false, err
	}
	version, has, err := a.versionOf(name)
	if err != nil {
		return s, false, err
	}
	if has {
		s.SchemaVersion = version
	}
	all, err := a.db.Stored(ctx)
	if err != nil {
		return s, false, err
	}
	a.mu.Lock()
	all = slices.AppendSeq(all, maps.Keys(a.opened))
	a.mu.Unlock()
	for _, o := range all {
		if o.Name == s.Name && (o.SchemaVersion == s.SchemaVersion || name == s.Name && !has && o.SchemaVersion > s.SchemaVersion) {
			s, there = o, true
		}
	}
	return s, there, nil
}

// open returns a collection, opened if need be.
func (a *api) open(ctx context.Context, s shoal.Stored) (*shoal.Collection, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.opened[s]; c != nil {
		return c, nil
	}
	version, has, err := a.versionOf(s.Name)
	if err != nil {
		return nil, err
	}
	opts := a.options
	opts.SchemaVersion = s.SchemaVersion
	if has && version == s.SchemaVersion {
		opts.Schema, opts.Validate = a.schemas[s.Name], true
	}
	c, err := a.db.Collection(ctx, s.Name, &opts)
	if err == nil {
		a.opened[s] = c
	}
	return c, err
}

// existing returns the collection of a request, which must be there.
func (a *api) existing(ctx context.Context, name string) (*shoal.Collection, error) {
	s, there, err := a.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("there is no collection %q in %s", name, a.db.Dir())
	}
	return a.open(ctx, s)
}

// collections returns those that the request names, all by default.
func (a *api) collections(r *http.Request) ([]*shoal.Collection, []shoal.Stored, error) {
	names := r.URL.Query()["collection"]
	var stored []shoal.Stored
	if len(names) == 0 {
		all, err := a.db.Stored(r.Context())
		if err != nil {
			return nil, nil, err
		}
		stored = all
	}
	for _, n := range names {
		s, there, err := a.find(r.Context(), n)
		if err != nil {
			return nil, nil, err
		}
		if !there {
			return nil, nil, fmt.Errorf("there is no collection %q in %s", n, a.db.Dir())
		}
		stored = append(stored, s)
	}
	var list []*shoal.Collection
	for _, s := range stored {
		c, err := a.open(r.Context(), s)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, c)
	}
	return list, stored, nil
}

// summary is a collection in a list.
type summary struct {
	Name      string `json:"name"`
	Documents int    `json:"documents"`
	Bytes     int64  `json:"bytes"`
}

func (a *api) getCollections(w http.ResponseWriter, r *http.Request) error {
	list, stored, err := a.collections(r)
	if err != nil {
		return err
	}
	summaries := []summary{}
	for i, c := range list {
		info := c.Info()
		summaries = append(summaries, summary{stored[i].String(), info.Documents, info.Bytes})
	}
	return answer(w, summaries)
}

// row is a document in a stream of several collections: what export prints and import reads, and, with Deleted, what watch prints.
type row struct {
	Collection string          `json:"collection"`
	ID         string          `json:"id,omitempty"`
	Deleted    bool            `json:"deleted,omitempty"`
	Document   json.RawMessage `json:"document,omitempty"`
}

// getDocuments streams the documents of the collections, all or those of a query.
func (a *api) getDocuments(w http.ResponseWriter, r *http.Request) error {
	list, stored, err := a.collections(r)
	if err != nil {
		return err
	}
	results := make([]iter.Seq[shoal.Document], len(list))
	for i, c := range list {
		if results[i], err = documentsOf(r, c); err != nil {
			return err
		}
	}
	out := newRows(w)
	for i, docs := range results {
		for d := range docs {
			if err := out.write(row{Collection: stored[i].String(), ID: d.ID, Document: d.Body}); err != nil {
				return nil // nobody reads any more
			}
		}
	}
	return out.end()
}

func documentsOf(r *http.Request, c *shoal.Collection) (iter.Seq[shoal.Document], error) {
	query := r.URL.Query().Get("query")
	if query == "" {
		return c.All(), nil
	}
	q, err := c.Query(query)
	if err != nil {
		return nil, err
	}
	docs, err := q.Find(r.Context())
	return slices.Values(docs), err
}

func (a *api) getDocument(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	c, err := a.existing(r.Context(), q.Get("collection"))
	if err != nil {
		return err
	}
	d, ok := c.Get(q.Get("id"))
	if !ok {
		return fmt.Errorf("%w: %s in %s", shoal.ErrNotFound, q.Get("id"), q.Get("collection"))
	}
	_, err = w.Write(slices.Concat(d.Body, []byte{'\n'})) // the body is the collection's
	return err
}

func (a *api) deleteDocument(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	c, err := a.existing(r.Context(), q.Get("collection"))
	if err != nil {
		return err
	}
	if _, err := c.Remove(r.Context(), q.Get("id")); err != nil {
		return err
	}
	return answer(w, struct{}{})
}

// outcome is what became of rows that were written.
type outcome struct {
	Stored    int      `json:"stored"`
	Unchanged int      `json:"unchanged"` // they were there already
	Faults    []string `json:"faults,omitempty"`
}

// postDocuments stores those rows of the request that differ from what is there: so an import that was broken off can be begun anew and
// writes nothing twice. The answer comes when they are stored.
func (a *api) postDocuments(w http.ResponseWriter, r *http.Request) error {
	batches := make(map[string][][]byte)
	var o outcome
	in := json.NewDecoder(bufio.NewReader(r.Body))
	for {
		var d row
		if err := in.Decode(&d); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read documents: %w", err)
		}
		batches[d.Collection] = append(batches[d.Collection], d.Document)
	}
	for _, name := range slices.Sorted(maps.Keys(batches)) {
		if err := a.store(r.Context(), name, batches[name], &o); err != nil {
			return err
		}
	}
	return answer(w, o)
}

func (a *api) store(ctx context.Context, name string, bodies [][]byte, o *outcome) error {
	s, _, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	c, err := a.open(ctx, s)
	if err != nil {
		return err
	}
	fresh := slices.DeleteFunc(bodies, func(b []byte) bool { return holds(c, b) })
	o.Unchanged += len(bodies) - len(fresh)
	for _, r := range c.BulkUpsert(ctx, fresh) {
		if r.Err != nil {
			o.Faults = append(o.Faults, fmt.Sprintf("%s: %v", name, r.Err))
		} else {
			o.Stored++
		}
	}
	return nil
}

// holds reports whether a collection has the document just so.
func holds(c *shoal.Collection, body []byte) bool {
	var fields map[string]json.RawMessage
	var id string
	if json.Unmarshal(body, &fields) != nil || json.Unmarshal(fields[c.PrimaryKey()], &id) != nil {
		return false
	}
	d, ok := c.Get(id)
	return ok && (bytes.Equal(d.Body, body) || collection.EqualContent(collection.Content{Body: d.Body}, collection.Content{Body: body}))
}

// watch streams changes until the client goes, or the process.
func (a *api) watch(w http.ResponseWriter, r *http.Request) error {
	list, stored, err := a.collections(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	out := newRows(w)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i, c := range list {
		changes := c.Watch(ctx)
		if r.URL.Query().Has("initial") {
			for d := range c.All() {
				if out.write(row{Collection: stored[i].String(), ID: d.ID, Document: d.Body}) != nil {
					return nil
				}
			}
		}
		wg.Go(func() {
			for change := range changes {
				e := change.After
				if out.writeNow(row{Collection: stored[i].String(), ID: e.ID, Deleted: e.Deleted, Document: bodyOf(e.Deleted, e.Body)}) != nil {
					cancel()
					return
				}
			}
		})
	}
	if err := out.flush(); err != nil {
		return nil
	}
	<-ctx.Done()
	return nil
}

func bodyOf(deleted bool, body []byte) []byte {
	if deleted {
		return nil
	}
	return body
}

// rows writes lines of JSON. All methods may be called concurrently.
type rows struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	buf *bufio.Writer
	enc *json.Encoder
}

func newRows(w http.ResponseWriter) *rows {
	w.Header().Set("Content-Type", "application/x-ndjson")
	buf := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return &rows{w: w, buf: buf, enc: enc}
}

func (o *rows) write(r row) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.enc.Encode(r)
}

// writeNow also sends what was written.
func (o *rows) writeNow(r row) error {
	if err := o.write(r); err != nil {
		return err
	}
	return o.flush()
}

func (o *rows) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.buf.Flush(); err != nil {
		return err
	}
	return http.NewResponseController(o.w).Flush()
}

// end ends a stream that is complete: with an empty row, for a connection that breaks off looks like an end to some readers.
func (o *rows) end() error {
	_ = o.writeNow(row{}) // the client notices that it is missing
	return nil
}

// verdict is what verify found.
type verdict struct {
	Fault       string    `json:"fault,omitempty"` // of the file
	Collections []checked `json:"collections"`
}

// checked is what verify found of a collection.
type checked struct {
	Name      string   `json:"name"`
	Documents int      `json:"documents"`
	Records   int      `json:"records"`
	Bytes     int64    `json:"bytes"`
	Damaged   []string `json:"damaged,omitempty"`
	Repaired  int      `json:"repaired,omitempty"`
	Fault     string   `json:"fault,omitempty"` // it could not be read at all
}

func (a *api) verify(w http.ResponseWriter, r *http.Request) error {
	var v verdict
	if err := a.db.CheckFile(r.Context()); err != nil {
		v.Fault = err.Error()
	}
	stored, err := a.db.Stored(r.Context())
	if err != nil {
		return err
	}
	for _, s := range stored {
		report, err := a.db.Check(r.Context(), s)
		c := checked{Name: s.String(), Documents: report.Documents, Records: report.Records, Bytes: report.Bytes, Repaired: len(report.Repaired)}
		if err != nil {
			c.Fault = err.Error()
		}
		for _, d := range report.Damaged {
			c.Damaged = append(c.Damaged, fmt.Sprintf("record at position %d: %v", d.Position, d.Err))
		}
		v.Collections = append(v.Collections, c)
	}
	return answer(w, v)
}
