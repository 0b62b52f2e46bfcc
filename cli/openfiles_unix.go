//go:build linux || darwin

// The limit of open files, from which that of connections follows.

package cli

import (
	"math"
	"syscall"
)

// openFiles is how many files the process may have open; 0: nobody says, or any number.
func openFiles() int64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > math.MaxInt32 {
		return 0
	}
	return int64(limit.Cur)
}
