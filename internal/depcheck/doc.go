// Package depcheck holds the rules of which package may import which, for both targets, as a test. The table "The tree" in
// docs/design.md says the same in prose.
package depcheck
