// Package replication is one session: the replication of one collection between two connected replicas.
//
// A [Session] decides what to send and takes what arrives. It does no I/O of its own, but to the collection, and has no
// clock: whoever runs it passes frames and the time. Frames are made at the moment at which the connection can take one, never
// before; so nothing piles up for a slow peer, and what is sent is the newest there is.
//
// # What is sent
//
// In answer to a Pull the session walks the log to its end, and sends each current entry that the receiver has not told to know. The walk goes on the bulk lane, at the pace of the connection. Besides, from the start,
// new entries go on the live lane: the replica's own writes at once; those of others once the walk is through, held back for a
// while, and then only if the receiver has not told meanwhile that it knows them. In a full mesh it has them from the writer
// itself; where links are missing, this is how a change travels on.
//
// # What is claimed
//
// A frame may say that its receiver, once it has taken it, knows all that the sender knows. That is so only if a walk to it has
// reached the end and nothing is held back. While something is held back the claim can be for the sender's own writes, which never
// are. While a walk runs there are no claims; and the receiver ignores those of live frames, which may overtake the frames
// of the walk. A session that filters never claims anything.
package replication
