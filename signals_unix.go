//go:build unix

// The signal by which programs that rotate logs ask for new files.

package main

import (
	"os"
	"syscall"
)

func reopenSignals() []os.Signal { return []os.Signal{syscall.SIGUSR1} }
