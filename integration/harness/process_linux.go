package harness

import "syscall"

// ownGroup puts a child into a process group of its own, so that it is killed with its children, and has the kernel
// kill it when the test process dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
