package cluster

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/server/hub"
)

// TestPartsOfTwoAnswers has a node that was asked twice, for its answer took long, be understood by the first part of one answer and the
// second of the other.
func TestPartsOfTwoAnswers(t *testing.T) {
	s := newSender(&Cluster{})
	const members = changesMax + 100
	for i := range members {
		p := hub.Presence{Peer: fmt.Sprintf("peer%08d", i)}
		s.do(&op{kind: opJoined, room: fmt.Sprintf("room-%d", i%7), presence: p})
		s.changes = nil // told
	}
	one, two := s.parts(), s.parts()
	if len(one) != 2 || len(two) != 2 {
		t.Fatalf("%d and %d parts", len(one), len(two))
	}
	there := make(map[string]bool)
	for _, c := range append(one[0], two[1]...) {
		there[c.Peer] = true
	}
	if len(there) != members {
		t.Errorf("%d members of %d", len(there), members)
	}
}
