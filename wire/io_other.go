//go:build !linux

// Systems without raw system calls use the connection's own methods.

package wire

import "net"

func newRawIO(net.Conn) IO { return nil }
