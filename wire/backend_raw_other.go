//go:build !linux

// Systems without the raw transport use the portable one.

package wire

import "net"

func newRawBackend(net.Conn) backendIO { return nil }
