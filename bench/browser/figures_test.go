package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// figures are the times of one row, in milliseconds, by what was measured. The first one added is what the others are compared with.
type figures struct {
	title string
	order []string
	times map[string][]float64
}

func newFigures(title string, order ...string) *figures {
	return &figures{title: title, order: order, times: make(map[string][]float64)}
}

func (f *figures) add(what string, ms ...float64) {
	if !slices.Contains(f.order, what) {
		f.order = append(f.order, what)
	}
	f.times[what] = append(f.times[what], ms...)
}

func median(times []float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// print writes the median, the least and the greatest, and how many times the first one's median that is.
func (f *figures) print(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-56s %10s %19s %4s %8s\n", f.title, "median", "least - most", "n", "ratio")
	var first float64
	for _, what := range f.order {
		times := f.times[what]
		if len(times) == 0 {
			continue
		}
		m := median(times)
		if first == 0 {
			first = m
		}
		fmt.Fprintf(&b, "  %-54s %10s %19s %4d %7.2fx\n", what, format(m), format(slices.Min(times))+" - "+format(slices.Max(times)), len(times), m/first)
	}
	fmt.Print(b.String()) // not t.Log: it is what the run is for
}

func format(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

func TestMedian(t *testing.T) {
	for want, times := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := median(times); got != want {
			t.Errorf("median of %v: %v", times, got)
		}
	}
}
