package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMutationsFit: each still breaks the rule that it names; whether a test notices takes long, and is for main.
func TestMutationsFit(t *testing.T) {
	for _, m := range mutations {
		source, err := os.ReadFile(filepath.Join("../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if broken, err := m.apply(string(source)); err != nil || broken == string(source) {
			t.Errorf("%s: %v", m.rule, err)
		}
	}
}
