//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

// Looking for unread bytes or an end on a connection without taking them.

package wire

import (
	"net"
	"syscall"
)

// lookAt returns a function that reports whether nothing waits to be read on c: no bytes, no end, no error.
func lookAt(c net.Conn) func() bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return lookByReading(c)
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return lookByReading(c)
	}
	quiet := false
	look := func(fd uintptr) { quiet = peekQuiet(fd) }
	return func() bool { return rc.Control(look) == nil && quiet }
}

func peekQuiet(fd uintptr) bool {
	var p [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err == syscall.EAGAIN
		}
	}
}
