//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

// Systems without a way to look for unread bytes.

package wire

import "net"

func lookAt(c net.Conn) func() bool { return lookByReading(c) }
