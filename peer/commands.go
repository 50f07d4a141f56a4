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
	"net/http"
	"net/url"
	"slices"
)

// with connects, runs do and closes again.
func (a *app) with(ctx context.Context, name string, do func(c *client) error) error {
	c, closeAll, err := a.connect(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(do(c), closeAll())
}

func (a *app) list(ctx context.Context) error {
	if len(a.args) == 0 && a.query != "" {
		return fmt.Errorf("--query is about the documents of a collection: shoal-peer ls COLLECTION --query QUERY%w", hidden{errUsage})
	}
	return a.with(ctx, "ls", func(c *client) error {
		if len(a.args) == 0 {
			return a.listCollections(ctx, c)
		}
		query := url.Values{"collection": a.args}
		if a.query != "" {
			query.Set("query", a.query)
		}
		out := bufio.NewWriter(a.stdout)
		err := c.rows(ctx, "/documents", query, func(r *row) error {
			line := []byte(r.ID)
			if a.long {
				line = r.Document
			}
			_, err := out.Write(append(line, '\n'))
			return err
		})
		return errors.Join(err, out.Flush())
	})
}

func (a *app) listCollections(ctx context.Context, c *client) error {
	var list []summary
	if err := c.ask(ctx, http.MethodGet, "/collections", nil, nil, &list); err != nil {
		return err
	}
	for _, s := range list {
		if a.long {
			line, err := json.Marshal(s)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s\n", line)
			continue
		}
		fmt.Fprintf(a.stdout, "%s\t%d documents\t%d bytes\n", s.Name, s.Documents, s.Bytes)
	}
	return nil
}

func (a *app) get(ctx context.Context) error {
	return a.with(ctx, "get", func(c *client) error {
		resp, err := c.do(ctx, http.MethodGet, "/document", url.Values{"collection": a.args[:1], "id": a.args[1:]}, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(a.stdout, resp.Body)
		return err
	})
}

func (a *app) put(ctx context.Context) error {
	var in io.Reader = a.stdin
	if docs := a.args[1:]; len(docs) > 0 && !slices.Equal(docs, []string{"-"}) {
		var lines bytes.Buffer
		for _, d := range docs {
			if !json.Valid([]byte(d)) {
				return fmt.Errorf("put: %s is not JSON", d)
			}
			lines.WriteString(d + "\n")
		}
		in = &lines
	}
	return a.with(ctx, "put", func(c *client) error {
		w := &importer{app: a, client: c, collection: a.args[0]}
		if err := w.run(ctx, in); err != nil {
			return err
		}
		return w.verdict()
	})
}

func (a *app) remove(ctx context.Context) error {
	return a.with(ctx, "rm", func(c *client) error {
		var errs []error
		for _, id := range a.args[1:] {
			var done struct{}
			errs = append(errs, c.ask(ctx, http.MethodDelete, "/document", url.Values{"collection": a.args[:1], "id": {id}}, nil, &done))
		}
		return errors.Join(errs...)
	})
}

func (a *app) watch(ctx context.Context) error {
	query := url.Values{"collection": a.args}
	if a.initial {
		query.Set("initial", "")
	}
	err := a.with(ctx, "watch", func(c *client) error {
		return c.rows(ctx, "/watch", query, func(r *row) error { return a.print(a.stdout, r) })
	})
	if ctx.Err() != nil {
		return nil // that is how it ends
	}
	return err
}

func (a *app) export(ctx context.Context) error {
	return a.with(ctx, "export", func(c *client) error {
		out := bufio.NewWriterSize(a.stdout, 64<<10)
		err := c.rows(ctx, "/documents", url.Values{"collection": a.args}, func(r *row) error {
			r.ID = "" // the document has it
			return a.print(out, r)
		})
		return errors.Join(err, out.Flush())
	})
}

// print writes a row as a line.
func (a *app) print(w io.Writer, r *row) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

func (a *app) verify(ctx context.Context) error {
	return a.with(ctx, "verify", func(c *client) error {
		var v verdict
		if err := c.ask(ctx, http.MethodGet, "/verify", nil, nil, &v); err != nil {
			return err
		}
		damaged := 0
		if v.Fault != "" {
			fmt.Fprintln(a.stdout, v.Fault)
			damaged++
		}
		for _, r := range v.Collections {
			fmt.Fprintf(a.stdout, "%s: %d documents in %d records of %d bytes", r.Name, r.Documents, r.Records, r.Bytes)
			switch {
			case r.Fault != "":
				fmt.Fprintf(a.stdout, ", cannot be read: %s", r.Fault)
			case len(r.Damaged) > 0:
				fmt.Fprintf(a.stdout, ", %d damaged", len(r.Damaged))
			default:
				fmt.Fprint(a.stdout, ", all good")
			}
			if r.Repaired > 0 {
				fmt.Fprintf(a.stdout, "; %d damaged records were left out before, and asked of peers", r.Repaired)
			}
			fmt.Fprintln(a.stdout)
			for _, d := range r.Damaged {
				fmt.Fprintln(a.stdout, " ", d)
			}
			if r.Fault != "" || len(r.Damaged) > 0 {
				damaged++
			}
		}
		if damaged > 0 {
			fmt.Fprintln(a.stderr, "shoal-peer: there is damage. shoal-peer run leaves it out and gets from the others of the room what they have; "+
				"first copy the directory, or put a backup in its place, if nobody has it")
			return errSaid
		}
		return nil
	})
}
