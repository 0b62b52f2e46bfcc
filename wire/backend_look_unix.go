//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

// Looking for unread bytes or an end on a connection without taking them.

package wire

import (
	"errors"
	"io"
	"net"
	"os"
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

// readNow returns a function that reads from c what is there, or fails with os.ErrDeadlineExceeded.
func readNow(c net.Conn) func([]byte) (int, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return readSoon(c)
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return readSoon(c)
	}
	return func(p []byte) (n int, err error) {
		failed := rc.Read(func(fd uintptr) bool {
			n, err = syscall.Read(int(fd), p)
			for errors.Is(err, syscall.EINTR) {
				n, err = syscall.Read(int(fd), p)
			}
			return true
		})
		switch {
		case failed != nil:
			return 0, failed
		case errors.Is(err, syscall.EAGAIN):
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
