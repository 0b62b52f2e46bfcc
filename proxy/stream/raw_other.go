//go:build !linux

// Where there are no system calls of ours every direction is portable.

package stream

import (
	"net"
	"sync/atomic"
)

// rawFlows: there are none here, directions are portable.
const rawFlows = false

// rawFlow does not exist here.
type rawFlow struct{}

func newRawFlow(*conn, net.Conn, net.Conn, *atomic.Int64) *rawFlow { return nil }
func (*rawFlow) run() (ending, error)                              { return ended, nil }
