package rtc

import (
	"fmt"
	"slices"
	"strings"
)

// maxGatherFaults is how many faults of STUN and TURN servers an error tells.
const maxGatherFaults = 3

// seen is what an attempt has found out about paths, for who has to find out why there is none.
type seen struct {
	own, theirs []string // types of candidates
	faults      []string // of STUN and TURN servers
}

// typeOfCandidate reads the type out of a candidate attribute (RFC 8839 section 5.1), "" where there is none that is known.
func typeOfCandidate(attribute string) string {
	_, rest, _ := strings.Cut(attribute, " typ ")
	typ, _, _ := strings.Cut(rest, " ")
	switch typ {
	case "host", "srflx", "prflx", "relay":
		return typ
	}
	return ""
}

func noteTypes(types []string, candidates []candidate) []string {
	for _, c := range candidates {
		if typ := typeOfCandidate(c.Candidate); typ != "" && !slices.Contains(types, typ) {
			types = append(types, typ)
		}
	}
	return types
}

func (s *seen) fault(err error) {
	if text := err.Error(); len(s.faults) < maxGatherFaults && !slices.Contains(s.faults, text) {
		s.faults = append(s.faults, text)
	}
}

// explain adds to the error of an attempt what was seen.
func (s *seen) explain(err error) error {
	list := func(types []string) string {
		if len(types) == 0 {
			return "none"
		}
		return strings.Join(types, ", ")
	}
	text := fmt.Sprintf("candidates here: %s; there: %s", list(s.own), list(s.theirs))
	if len(s.faults) > 0 {
		text += "; servers: " + strings.Join(s.faults, ", ")
	}
	return fmt.Errorf("%w; %s", err, text)
}
