// Package document holds the versions of documents and the rules that compare them: pure functions on values.
//
// # Words
//
// A replica is one copy of a database. Every write of a replica has a [Dot]: the replica's id and a counter that grows by one
// for each write of a collection. An [Entry] is the current version of one document. [Knowledge] is the set of writes that a
// replica accounts for.
//
// # Rules
//
// All replicas that follow these rules, and whose knowledge is equal, hold the same version of every document. docs/design.md
// has the proof; the simulation in shared/pool asserts the rules on every step.
//
//  1. Versions of a document have one total order, [Entry.Compare]: by hybrid logical time, then by dot. A write's time is
//     greater than that of every version its writer had seen, so an order by cause is part of it.
//  2. A replica holds, of each document, the greatest of all versions that its knowledge covers. A write is covered as soon
//     as it is held, or something that beat it is held; so knowledge only ever claims what is true.
//  3. A version that arrives is judged by [Decide]. One that is greater than the version held is taken if its sender had
//     seen the held one, or replaced that very version; one that is smaller is dropped if it was already covered, or is the
//     base of the version held. In all other cases the two writes did not know of each other: a conflict.
//  4. A conflict is resolved by a pure function of the two versions, which both ends compute alike. Its result is either the
//     greater version, kept as it is, or a new write that is greater than both; never the smaller version under its old
//     dot, which would break rule 2 (three writes of which each one "wins" against the next would then leave replicas with
//     equal knowledge and different documents).
//  5. New writes that come from conflicts carry a count, [Entry.Merges]; at [MaxMerges] the greater version wins. So a
//     handler without any rhyme or reason comes to rest as well.
package document
