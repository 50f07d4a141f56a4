// Package child is for tests and measurements that run programs in processes of their own.
package child

import (
	"os/exec"
	"syscall"
)

// EndsWithParent has a command that is about to be started killed when this process ends, even if that is killed itself. Where the system
// cannot do that it has no effect.
//
// Linux does it when the thread ends that started the command: see prctl(2), PR_SET_PDEATHSIG. Go ends threads only with goroutines
// that are locked to them.
func EndsWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
