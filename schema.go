//go:build !js

package shoal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/shoaldb/shoal/shared/collection"
	"github.com/shoaldb/shoal/shared/migration"
	"github.com/shoaldb/shoal/shared/query"
	"github.com/shoaldb/shoal/shared/query/jsregexp"
	"github.com/shoaldb/shoal/shared/validate"
)

// MigrationStrategy makes of the body of a document of one version of the schema what it is in the next; nil gives it up. What it makes must
// depend on the document alone: each replica migrates its own copy.
type MigrationStrategy func(body json.RawMessage) (json.RawMessage, error)

// ErrNewer tells that the data directory has the documents under a later version of the schema.
var ErrNewer = migration.ErrNewer

// schema is what CollectionOptions say of one.
type schema struct {
	*query.Schema
	version  uint32
	hash     [32]byte
	final    []string
	validate func(body []byte) error
}

func (o *CollectionOptions) schema() (*schema, error) {
	if o.Schema == nil {
		key := o.PrimaryKey
		if key == "" {
			key = "id"
		}
		return &schema{Schema: &query.Schema{PrimaryPath: key, Regexp: jsregexp.Compile}, version: o.SchemaVersion}, nil
	}
	var text struct {
		Version    uint32 `json:"version"`
		Properties map[string]struct {
			Final bool `json:"final"`
		} `json:"properties"`
	}
	s := &schema{}
	err := json.Unmarshal(o.Schema, &text)
	if err == nil {
		s.hash, err = collection.HashSchema(o.Schema)
	}
	if err == nil {
		s.Schema, err = query.ParseSchema(o.Schema)
	}
	if err == nil && o.Validate {
		s.validate, err = validate.Compile(o.Schema)
	}
	switch {
	case err != nil:
		return nil, err
	case o.PrimaryKey != "" && o.PrimaryKey != s.PrimaryPath:
		return nil, fmt.Errorf("the primary key is %q in the schema and %q in the options", s.PrimaryPath, o.PrimaryKey)
	case o.SchemaVersion != 0 && o.SchemaVersion != text.Version:
		return nil, fmt.Errorf("the version is %d in the schema and %d in the options", text.Version, o.SchemaVersion)
	}
	for name, p := range text.Properties {
		if p.Final {
			s.final = append(s.final, name)
		}
	}
	slices.Sort(s.final)
	s.Regexp, s.version = jsregexp.Compile, text.Version
	return s, nil
}

// migrate carries over what is stored under older versions of the schema, if the options say how.
func (db *Database) migrate(ctx context.Context, c *collection.Collection, s *schema, o *CollectionOptions) error {
	if o.MigrationStrategies == nil {
		return nil
	}
	transform := func(_ context.Context, from uint32, docs []collection.Document) ([]json.RawMessage, error) {
		bodies := make([]json.RawMessage, len(docs))
		for i, d := range docs {
			var err error
			if bodies[i], err = o.migrated(from, s, d.Body); err != nil {
				return nil, &collection.DocumentError{ID: d.ID, Err: err}
			}
		}
		return bodies, nil
	}
	return migration.Run(ctx, db.logs, c, s.version, transform, &migration.Options{PrimaryKey: s.PrimaryPath})
}

func (o *CollectionOptions) migrated(from uint32, s *schema, body json.RawMessage) (json.RawMessage, error) {
	for v := from + 1; v <= s.version && body != nil; v++ {
		strategy := o.MigrationStrategies[v]
		if strategy == nil {
			return nil, fmt.Errorf("there is no migration strategy for version %d", v)
		}
		var err error
		if body, err = strategy(body); err != nil {
			return nil, fmt.Errorf("migrate to version %d: %w", v, err)
		}
	}
	if body != nil && s.validate != nil {
		return body, s.validate(body)
	}
	return body, nil
}
