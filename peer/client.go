//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/shoaldb/shoal"
)

// client asks the process that has the data directory.
type client struct{ http http.Client }

func newClient(dial func(ctx context.Context) (net.Conn, error)) *client {
	return &client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
}

func (c *client) close() error {
	c.http.CloseIdleConnections()
	return nil
}

// errGone tells that the process ended while it was asked.
var errGone = errors.New("the process that has the data directory ended meanwhile")

// do sends a request. The caller closes the body.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "peer", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("%w (%w)", errGone, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errGone, err)
	}
	fault := errors.New(strings.TrimSpace(string(text)))
	if resp.StatusCode == statusNotFound {
		return nil, hiddenCause{fault, shoal.ErrNotFound}
	}
	return nil, fault
}

// hiddenCause is an error that also matches another one.
type hiddenCause struct {
	error
	cause error
}

func (h hiddenCause) Unwrap() error { return h.cause }

// ask sends a request and reads the answer into v.
func (c *client) ask(ctx context.Context, method, path string, query url.Values, body io.Reader, v any) error {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("%w (%w)", errGone, err)
	}
	return nil
}

func (c *client) status(ctx context.Context) (*status, error) {
	var s status
	if err := c.ask(ctx, http.MethodGet, "/status", nil, nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// rows calls take with each row of a stream, up to its end. Where the stream has none it ends with ctx, or when the process does.
func (c *client) rows(ctx context.Context, path string, query url.Values, take func(*row) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for in := json.NewDecoder(resp.Body); ; {
		var r row
		if err := in.Decode(&r); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("%w (%w)", errGone, err)
		}
		if r.Collection == "" {
			return nil
		}
		if err := take(&r); err != nil {
			return err
		}
	}
}

// post stores rows that are there as lines of JSON.
func (c *client) post(ctx context.Context, lines []byte) (*outcome, error) {
	var o outcome
	return &o, c.ask(ctx, http.MethodPost, "/documents", nil, bytes.NewReader(lines), &o)
}
