//go:build !unix

// Waiting for what arrives, where nothing tells of it.

package patient

import (
	"syscall"
	"testing"
	"time"
)

// Arrived gives what was sent on loopback some time to arrive.
func Arrived(testing.TB, syscall.Conn) { time.Sleep(100 * time.Millisecond) }
