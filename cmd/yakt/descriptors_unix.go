//go:build unix

package main

import "syscall"

// mayOpen is how many descriptors this process may have, 0 where that is not known. Go has raised the limit as far as it may.
func mayOpen() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
