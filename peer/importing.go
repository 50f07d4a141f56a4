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
	"os"
	"strings"
	"time"
)

const (
	batchBytes = 256 << 10 // of lines that are stored together
	maxLine    = 20 << 20  // a document has at most 16 MiB
	maxFaults  = 20        // that are printed
	barWidth   = 30
	barEvery   = 100 * time.Millisecond
)

// importer sends lines to be stored, in batches: what was read is never far from what is stored.
type importer struct {
	*app
	client     *client
	collection string // of lines that are bare documents; "" where they tell theirs
	total      int64  // bytes to come, 0 if that is not known
	bar        bool
	name       string // of the input, for messages

	batch  bytes.Buffer
	line   int
	read   int64
	faults int
	sum    outcome
	began  time.Time
	drawn  time.Time
}

func (a *app) importing(ctx context.Context) error {
	in, name := a.stdin, "standard input"
	if len(a.args) > 0 && a.args[0] != "-" {
		f, err := os.Open(a.args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, a.args[0]
	}
	return a.with(ctx, "import", func(c *client) error {
		w := &importer{app: a, client: c, total: size(in), bar: a.progress || isTerminal(a.stderr), name: name}
		err := w.run(ctx, in)
		if w.bar {
			w.draw(true)
		}
		fmt.Fprintf(a.stderr, "stored %d documents, %d were there already\n", w.sum.Stored, w.sum.Unchanged)
		if err != nil {
			return fmt.Errorf("%w; import the same again to go on, nothing is stored twice", err)
		}
		return w.verdict()
	})
}

// size returns how much a file has, 0 for what is none.
func size(in io.Reader) int64 {
	f, ok := in.(*os.File)
	if !ok {
		return 0
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run reads all lines and stores them.
func (w *importer) run(ctx context.Context, in io.Reader) error {
	w.began = time.Now()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		w.line++
		w.read += int64(len(lines.Bytes())) + 1
		if err := w.add(lines.Bytes()); err != nil {
			return err
		}
		if w.batch.Len() >= batchBytes {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read line %d: %w", w.line+1, err)
	}
	return w.flush(ctx)
}

// add takes a line. What is no row is told, and left out.
func (w *importer) add(line []byte) error {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return nil
	}
	r := row{Collection: w.collection, Document: line}
	if w.collection == "" {
		r = row{}
		if err := json.Unmarshal(line, &r); err != nil {
			return w.fault(fmt.Sprintf("line %d: %v", w.line, err))
		}
		if r.Collection == "" || len(r.Document) == 0 {
			return w.fault(fmt.Sprintf(`line %d: not {"collection": …, "document": …}, as export prints`, w.line))
		}
	} else if !json.Valid(line) {
		return w.fault(fmt.Sprintf("line %d: not JSON", w.line))
	}
	return w.print(&w.batch, &r)
}

func (w *importer) fault(text string) error {
	if w.faults++; w.faults <= maxFaults {
		w.clear()
		_, err := fmt.Fprintln(w.stderr, "shoal-peer:", text)
		return err
	}
	return nil
}

// flush stores what has gathered.
func (w *importer) flush(ctx context.Context) error {
	if w.batch.Len() > 0 {
		o, err := w.client.post(ctx, w.batch.Bytes())
		if err != nil {
			return err
		}
		w.batch.Reset()
		w.sum.Stored += o.Stored
		w.sum.Unchanged += o.Unchanged
		for _, f := range o.Faults {
			if err := w.fault(f); err != nil {
				return err
			}
		}
	}
	if w.bar {
		w.draw(false)
	}
	return nil
}

// verdict is the error of documents that were not stored.
func (w *importer) verdict() error {
	if w.faults == 0 {
		return nil
	}
	if w.faults > maxFaults {
		fmt.Fprintf(w.stderr, "shoal-peer: and %d more\n", w.faults-maxFaults)
	}
	return fmt.Errorf("%d documents were not stored: %w", w.faults, errors.New("see above"))
}

// draw shows how far it is, on one line of a terminal.
func (w *importer) draw(last bool) {
	now := time.Now()
	if !last && now.Sub(w.drawn) < barEvery {
		return
	}
	w.drawn = now
	docs := w.sum.Stored + w.sum.Unchanged + w.faults
	text := fmt.Sprintf("%d documents, %.1f MB", docs, float64(w.read)/1e6)
	if took := now.Sub(w.began).Seconds(); took > 0 {
		text += fmt.Sprintf(", %.0f documents/s", float64(docs)/took)
		if w.total > 0 && w.read > 0 && !last {
			left := took * float64(w.total-min(w.read, w.total)) / float64(w.read)
			text += fmt.Sprintf(", %.0f s left", left)
		}
	}
	if w.total > 0 {
		part := min(1, float64(w.read)/float64(w.total))
		full := int(part * barWidth)
		text = fmt.Sprintf("[%s%s] %3.0f%% %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), part*100, text)
	}
	fmt.Fprintf(w.stderr, "\r\x1b[K%s", text)
	if last {
		fmt.Fprintln(w.stderr)
	}
}

// clear takes the bar away before a message.
func (w *importer) clear() {
	if w.bar {
		fmt.Fprint(w.stderr, "\r\x1b[K")
	}
}
