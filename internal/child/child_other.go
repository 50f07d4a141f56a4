//go:build !linux && !js

// Package child is for tests and measurements that run programs in processes of their own.
package child

import "os/exec"

// EndsWithParent has a command that is about to be started killed when this process ends, even if that is killed itself. Where the system
// cannot do that it has no effect.
func EndsWithParent(*exec.Cmd) {}
