//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

// Systems without a way to look for unread bytes.

package wire

import "net"

func lookAt(c net.Conn) func() bool { return lookByReading(c) }

func readNow(c net.Conn) func([]byte) (int, error) { return readSoon(c) }
