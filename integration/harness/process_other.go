//go:build !linux

package harness

import "syscall"

// ownGroup puts a child into a process group of its own, so that it is killed with its children.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
