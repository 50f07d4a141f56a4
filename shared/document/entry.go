package document

import "cmp"

// MaxMerges is how many conflict resolutions may follow one another on a document without a user's write between them. At
// the bound the greater version wins.
const MaxMerges = 32

// Entry is one version of one document. An Entry is never changed once it was made; Body in particular is shared.
type Entry struct {
	ID      string // the primary key
	Dot     Dot    // names this version
	Base    Dot    // names the version that it replaced, as far as others can know that one; zero for none
	Time    Time
	Merges  uint8  // conflict resolutions since the last user's write
	Deleted bool   // a tombstone
	Body    []byte // one JSON object; may be empty in a tombstone
}

// Compare orders versions of one document: by time, then by dot. It returns 0 for the same version only.
func (e *Entry) Compare(o *Entry) int {
	if c := cmp.Compare(e.Time, o.Time); c != 0 {
		return c
	}
	return e.Dot.Compare(o.Dot)
}

// Order returns a and b with the smaller version first.
func Order(a, b *Entry) (lo, hi *Entry) {
	if a.Compare(b) > 0 {
		return b, a
	}
	return a, b
}

// Decision is what becomes of a version that arrived.
type Decision uint8

const (
	Same     Decision = iota // it is the version held: nothing to do
	Take                     // it replaces the version held, whose content its writer knew
	Drop                     // it was taken or beaten here before
	Conflict                 // neither writer knew of the other's version
)

// String names d.
func (d Decision) String() string {
	return [...]string{"same", "take", "drop", "conflict"}[d]
}

// Decide judges the version remote, which arrived in a frame. local is the version held of the same document, or nil; known
// is the own knowledge; seen is what the sender knew when it read remote.
//
// It follows rule 3 of the package. That the order of versions is asked first makes the outcome safe whatever a peer claims to have
// seen: the greater version, or something greater than both, is held afterwards.
func Decide(local, remote *Entry, known, seen *Knowledge) Decision {
	switch {
	case local == nil:
		return Take
	case local.Dot == remote.Dot && local.Time == remote.Time:
		return Same
	case remote.Compare(local) > 0:
		if remote.Base == local.Dot || seen.Covers(local.Dot) {
			return Take
		}
	case local.Base == remote.Dot || known.Covers(remote.Dot):
		return Drop
	}
	return Conflict
}
