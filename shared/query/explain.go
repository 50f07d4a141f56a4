package query

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Explanation tells how a query is or was answered.
type Explanation struct {
	Index      []string     `json:"index"`      // fields of the index; the last is the primary key
	Bounds     []string     `json:"bounds"`     // what is scanned of the first fields; none: all of the index
	Candidates int          `json:"candidates"` // documents in these bounds (of more than 64 ranges an estimate), and those that the index cannot order
	Unordered  int          `json:"unordered"`  // candidates that the index cannot order: an indexed field holds an array or object
	Settled    bool         `json:"settled"`    // the bounds settle the selector: no other candidate's body is read
	Sort       string       `json:"sort"`       // "index", "index, groups in memory" or "memory"
	Examined   int          `json:"examined"`   // candidates looked at so far by Find, Count or Each
	Reason     string       `json:"reason"`
	Considered []Considered `json:"considered"` // the indexes that were weighed and not taken
}

// Considered is an index that a plan did not take.
type Considered struct {
	Index      []string `json:"index"`
	Candidates int      `json:"candidates"`
	Sort       string   `json:"sort"`
	Cost       float64  `json:"cost"` // in documents matched
}

func (w *way) considered() Considered {
	return Considered{Index: w.index.names(), Candidates: w.size, Sort: w.order.String(), Cost: math.Round(w.cost*10) / 10}
}

func (o order) String() string {
	switch {
	case o.full, o.ties:
		return "index"
	case o.fields > 0:
		return "index, groups in memory"
	}
	return "memory"
}

// Explain says which index the plan uses and why, and how many documents have been looked at since the plan was made.
func (p *Plan) Explain() Explanation {
	e := Explanation{
		Index:      p.way.index.names(),
		Candidates: p.way.size,
		Unordered:  len(p.way.index.odd),
		Settled:    len(p.way.residual) == 0,
		Sort:       p.way.order.String(),
		Examined:   p.looked,
		Reason:     p.why(),
	}
	for i := range p.ways {
		if &p.ways[i] != p.way {
			e.Considered = append(e.Considered, p.ways[i].considered())
		}
	}
	for i, set := range p.way.bounds {
		e.Bounds = append(e.Bounds, describe(p.way.index.fields[i].name, set))
	}
	return e
}

func (p *Plan) why() string {
	switch {
	case p.q.hint != nil:
		return "the query names this index"
	case len(p.way.bounds) > 0 && p.way.bounds[0].arePoints() && p.way.index.fields[0].primary:
		return "the selector names primary keys"
	case len(p.way.bounds) > 0:
		return fmt.Sprintf("fewest documents to look at for their cost (%.1f); the selector bounds %s", p.way.cost, listed(p.way.index.names()[:len(p.way.bounds)]))
	case p.way.order.String() == "index" && len(p.ways) > 1:
		return "no index bounds the selector; this one is in the order of the sort"
	}
	return "no index bounds the selector or is in the order of the sort: full scan"
}

// describe writes the bounds of a field for people.
func describe(field string, set intervals) string {
	const most = 5
	parts := make([]string, 0, most)
	for i, r := range set {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(set)-most))
			break
		}
		parts = append(parts, r.String())
	}
	if len(parts) == 0 {
		return field + ": nothing"
	}
	return field + ": " + strings.Join(parts, ", ")
}

// String writes an interval of one field's values.
func (i interval) String() string {
	if i.isPoint() {
		text, _ := boundText(i.lo)
		return text
	}
	lo, loBehind := boundText(i.lo)
	hi, hiBehind := boundText(i.hi)
	open, end := "[", ")"
	if loBehind {
		open = "("
	}
	if hiBehind {
		end = "]"
	}
	return open + lo + ", " + hi + end
}

// boundText writes the value that a bound begins with. behind says that the bound lies behind it.
func boundText(bound string) (text string, behind bool) {
	names := map[byte]string{
		orderMissing: "missing", orderNull: "null", orderNumber: "numbers", orderNumber + 1: "end of numbers",
		orderString: "strings", orderString + 1: "end of strings", orderBool: "booleans", orderBool + 1: "end of booleans",
	}
	if bound == "" || bound == after {
		return map[string]string{"": "first", after: "last"}[bound], false
	}
	behind = strings.HasSuffix(bound, after)
	switch tag := bound[0]; {
	case len(bound) == 1, tag == orderMissing, tag == orderNull:
		return names[tag], behind
	case tag == orderNumber && len(bound) > 8:
		return strconv.FormatFloat(orderedNumber(bound[1:9]), 'g', -1, 64), behind
	case tag == orderBool:
		return strconv.FormatBool(bound[1] == 1), behind
	case tag == orderString:
		text, _, _ := strings.Cut(bound[1:], "\x00\x01")
		return strconv.Quote(textToUTF8(strings.ReplaceAll(text, "\x00\xFF", "\x00"))), behind
	}
	return strconv.Quote(bound), behind
}

// orderedNumber is the inverse of appendNumberOrder, without the tag.
func orderedNumber(key string) float64 {
	bits := binary.BigEndian.Uint64([]byte(key))
	if bits>>63 != 0 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	return math.Float64frombits(bits)
}
