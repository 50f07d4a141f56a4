package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// bench is what to measure, and how.
type bench struct {
	sides    []side
	runs     int
	duration time.Duration // of the measuring of a rate
	pin      bool
}

// all runs the scenarios and prints a line for each figure. One that fails, as it does where a server does not keep up, leaves the others.
func (b *bench) all(ctx context.Context, only string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	header := []string{"figure"}
	for _, s := range b.sides {
		header = append(header, s.name, "min-max")
	}
	if len(b.sides) == 2 {
		header = append(header, "times better")
	}
	fmt.Fprintln(table, strings.Join(header, "\t"))
	var errs []error
	for _, s := range scenarios() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		results, err := b.scenario(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		for i, f := range s.figures {
			fmt.Fprintln(table, strings.Join(b.row(f, i, results), "\t"))
		}
		table.Flush()
	}
	return errors.Join(errs...)
}

// scenario returns, for each side, the figures of each run. The sides take turns, each run with a fresh server.
func (b *bench) scenario(ctx context.Context, s scenario) ([][][]float64, error) {
	results := make([][][]float64, len(b.sides))
	for range b.runs {
		for i, side := range b.sides {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			figures, err := b.once(ctx, s, side)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", side.name, err)
			}
			results[i] = append(results[i], figures)
		}
	}
	return results, nil
}

func (b *bench) once(ctx context.Context, s scenario, side side) ([]float64, error) {
	p, err := side.start(ctx, b.pin)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return s.measure(b, p)
}

// row is the line of one figure.
func (b *bench) row(f figure, i int, results [][][]float64) []string {
	row := []string{f.name}
	var medians []float64
	for _, runs := range results {
		values := make([]float64, len(runs))
		for r := range runs {
			values[r] = runs[r][i]
		}
		slices.Sort(values)
		median := values[len(values)/2]
		medians = append(medians, median)
		row = append(row, fmt.Sprintf(f.format, median), fmt.Sprintf(f.format+" - "+f.format, values[0], values[len(values)-1]))
	}
	if len(medians) == 2 && !strings.Contains(f.name, "busy") {
		ratio := medians[0] / medians[1]
		if !f.higher {
			ratio = medians[1] / medians[0]
		}
		if !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			row = append(row, fmt.Sprintf("%.2f", ratio))
		}
	}
	return row
}
