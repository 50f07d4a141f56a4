package pool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shoaldb/shoal/shared/document"
)

// plan is all that a simulation does, laid out beforehand, so that a part of it can be left out.
type plan struct {
	seed     uint64
	shape    string
	replicas []simConfig
	links    [][2]int // who may be connected
	docs     int
	merging  bool
	maxDelay time.Duration
	rate     int // bytes in a second, 0 for no limit
	steps    []step
}

// simConfig is what one replica is like.
type simConfig struct {
	tabs    int
	native  bool          // one tab, a new id after each start, backups
	latency time.Duration // of a commit
	skew    time.Duration // of its clock
	batch   int           // documents in a frame, 0 for no bound
	compact time.Duration // how soon the log is compacted
}

// step is one thing that happens.
type step struct {
	kind string
	a, b int // replicas
	doc  int
	n    int
	then time.Duration // to wait
}

func newPlan(seed uint64) *plan {
	rng := rand.New(rand.NewPCG(seed, 3))
	p := &plan{
		seed:     seed,
		docs:     1 + rng.IntN(6),
		merging:  rng.IntN(2) == 0,
		maxDelay: time.Duration(1+rng.IntN(120)) * time.Millisecond,
	}
	if rng.IntN(3) == 0 {
		p.rate = 2000 << rng.IntN(6)
	}
	n := 2 + rng.IntN(7)
	if rng.IntN(8) == 0 {
		n = 9 + rng.IntN(8)
	}
	for range n {
		p.replicas = append(p.replicas, newSimConfig(rng))
	}
	p.layOut(rng)
	for range 60 + rng.IntN(60) {
		p.steps = append(p.steps, p.newStep(rng))
	}
	return p
}

func newSimConfig(rng *rand.Rand) simConfig {
	c := simConfig{
		tabs:    1 + rng.IntN(3),
		native:  rng.IntN(3) == 0,
		latency: time.Duration(rng.IntN(8)) * time.Millisecond,
		batch:   rng.IntN(4),
		compact: time.Duration(50<<rng.IntN(6)) * time.Millisecond,
	}
	if c.native {
		c.tabs = 1
	}
	switch rng.IntN(8) {
	case 0: // within the bound
		c.skew = time.Duration(rng.Int64N(int64(document.MaxSkew)*9/5)) - document.MaxSkew*9/10
	case 1: // beyond it: refused until the others' clocks come near
		c.skew = document.MaxSkew + time.Duration(rng.IntN(60))*time.Second
	}
	return c
}

// layOut decides who may be connected to whom.
func (p *plan) layOut(rng *rand.Rand) {
	shapes := []string{"full mesh", "line", "ring", "star", "partial mesh"}
	p.shape = shapes[rng.IntN(len(shapes))]
	n := len(p.replicas)
	for i := range n {
		for j := i + 1; j < n; j++ {
			on := map[string]bool{
				"full mesh":    true,
				"line":         j == i+1,
				"ring":         j == i+1 || i == 0 && j == n-1,
				"star":         i == 0,
				"partial mesh": j == i+1 || rng.IntN(3) == 0,
			}[p.shape]
			if on {
				p.links = append(p.links, [2]int{i, j})
			}
		}
	}
}

func (p *plan) newStep(rng *rand.Rand) step {
	l := p.links[rng.IntN(len(p.links))]
	s := step{
		a:    rng.IntN(len(p.replicas)),
		doc:  rng.IntN(p.docs),
		n:    rng.IntN(6),
		then: time.Duration(rng.IntN(300)) * time.Millisecond,
	}
	kinds := []string{
		"write", "write", "write", "write", "write", "remove", "burst", "all", "mend", "mend", "mend", "mend all",
		"sever", "sever", "fuse", "restart", "restart", "backup", "restore", "copy", "damage",
	}
	s.kind = kinds[rng.IntN(len(kinds))]
	switch s.kind {
	case "mend", "sever":
		s.a, s.b = l[0], l[1]
	case "fuse", "all", "copy", "damage":
		if rng.IntN(3) > 0 {
			s.kind = "write"
		}
	}
	return s
}

func (p *plan) without(at, n int) *plan {
	q := *p
	q.steps = slices.Delete(slices.Clone(p.steps), at, at+n)
	return &q
}

func name(i int) string { return string(rune('a' + i)) }

// String lists what happens.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %d, %d documents, merging %v, delay up to %v, rate %d\n", p.shape, len(p.replicas), p.docs, p.merging, p.maxDelay, p.rate)
	for i, c := range p.replicas {
		fmt.Fprintf(&b, "  %s %+v\n", name(i), c)
	}
	for _, s := range p.steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}

// String says what happens.
func (s step) String() string {
	text := fmt.Sprintf("%s %s", s.kind, name(s.a))
	switch s.kind {
	case "mend", "sever":
		text += "-" + name(s.b)
	case "write", "remove", "all":
		text += fmt.Sprintf(" d%d, tab %d", s.doc, s.n)
	case "burst", "fuse":
		text += fmt.Sprint(" ", s.n)
	}
	return fmt.Sprintf("%s, wait %v", text, s.then)
}
