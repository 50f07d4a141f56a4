package document

import "time"

// Time is a hybrid logical time (Kulkarni et al., "Logical Physical Clocks", 2014): milliseconds since 1970 in the upper 48
// bits and, below, a count that keeps times of one millisecond apart. A full count runs over into the milliseconds.
type Time uint64

const logicalBits = 16

// MaxSkew is how far ahead of the own clock a time from another replica may be. A time beyond it is refused rather than
// adopted: adopted, it would make one wrong clock everybody's.
const MaxSkew = 10 * time.Minute

// TimeOf returns the least time of the millisecond of wall.
func TimeOf(wall time.Time) Time {
	ms := wall.UnixMilli()
	if ms < 0 {
		return 0
	}
	return Time(ms) << logicalBits
}

// Next returns the time for a new write: the wall clock's, or a little after last, whichever is later. last is the time of the version that the
// write replaces, 0 for none; the one right after it is left for giving that version another dot. With a salt at random for each writer, two writers hardly ever give the same time.
func (last Time) Next(wall time.Time, salt uint16) Time {
	return max(TimeOf(wall)+Time(salt), last+2+Time(salt%256))
}

// Wall returns the millisecond that t names.
func (t Time) Wall() time.Time { return time.UnixMilli(int64(t >> logicalBits)) }

// TooFarAhead reports whether t is more than MaxSkew ahead of the clock that shows wall.
func (t Time) TooFarAhead(wall time.Time) bool {
	return t > TimeOf(wall.Add(MaxSkew))|(1<<logicalBits-1)
}
