package pool

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "how many seeds the simulation runs")
	simFrom  = flag.Uint64("sim.from", 1, "the first of them")
	simTrace = flag.Bool("sim.trace", false, "print what happens")
)

// TestSimulation lets replicas write, lose connections, crash, come back and be put back to backups, as a seed says. After every step it checks
// that what each claims to know is true; at the end, that all hold the same, and that nothing that was acknowledged is
// lost. A seed that fails is run again without this and that, until what is left is needed for the failure.
func TestSimulation(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that a seed does the same each time, nearly always
	ran := 0
	for seed := *simFrom; seed < *simFrom+uint64(*simSeeds); seed++ {
		p := newPlan(seed)
		if ran++; *simTrace {
			simulate(t, p, true)
		}
		if faults := simulate(t, p, false); len(faults) > 0 {
			if p = shrink(t, p); *simTrace {
				simulate(t, p, true)
			}
			t.Errorf("seed %d: %s\n\nshrunken to\n%s\nreplay: go test ./shared/pool -run Simulation -sim.from %d -sim.seeds 1 -sim.trace",
				seed, strings.Join(faults, "\n"), p, seed)
			break
		}
	}
	t.Logf("%d seeds", ran)
}

// simulate runs a plan and returns what it broke.
func simulate(t *testing.T, p *plan, trace bool) (faults []string) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(p)
		if trace {
			start := time.Now()
			w.trace = func(format string, args ...any) {
				fmt.Fprintf(os.Stderr, "%9.3f  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
			}
			w.trace("%s", p)
		}
		w.run()
		faults = w.faults
	})
	return faults
}

// shrink returns a plan with fewer steps that still breaks something.
func shrink(t *testing.T, p *plan) *plan {
	const tries = 400
	tried := 0
	for part := len(p.steps) / 2; part >= 1 && tried < tries; {
		smaller := false
		for at := 0; at+part <= len(p.steps) && tried < tries; {
			q := p.without(at, part)
			tried++
			if len(simulate(t, q, false)) > 0 {
				p, smaller = q, true
			} else {
				at += part
			}
		}
		if !smaller || part > len(p.steps) {
			part /= 2
		}
	}
	return p
}
