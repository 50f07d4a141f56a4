// Package browser measures Shoal in real headless Chromium beside RxDB with Dexie storage and beside what the browser can do by itself, all in
// one run on one machine: a process and a profile on disk for each peer, the sides in turns. It is run with
//
//	make bench-quick            all rows
//	make bench-quick ROWS=sync  those whose names match
//
// # Fairness
//
// RxDB is used as its documentation says: production build, multiInstance as it is by default, all of a bulk in one bulkInsert. For replication its
// store is filled by bulkInserts of 20, as documents of one bulkInsert share a timestamp, and its checkpoints scan those again
// and again: filled at once, a first sync takes ten times as long. It runs with its default batch size and with one at
// which it was fastest, in both roles: one of two peers is the fork, which pulls and pushes, and which one it is depends on random tokens. Contexts
// of one browser process would keep IndexedDB in memory, so nobody gets any. A first sync is timed from the open data channel, so
// that RxDB's election of a leader, and the load of Shoal's wasm, are left out of it.
package browser
