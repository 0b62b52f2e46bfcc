//go:build unix

// Waiting for what arrives on a connection, without taking it.

package patient

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Arrived waits until something can be read from a connection: bytes, the end or an error. It takes nothing.
func Arrived(t testing.TB, c syscall.Conn) {
	t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	Until(t, "something arrives", func() bool {
		n := 0
		failed := rc.Control(func(fd uintptr) {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		})
		if failed != nil {
			t.Fatal(failed)
		}
		return n > 0 && err == nil
	})
}
