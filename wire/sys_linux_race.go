//go:build linux && (race || 386)

// System calls on non-blocking sockets, for 386 and for the race detector: it knows syscall.Read and syscall.Write, and would take what a raw system call
// writes for untouched memory.

package wire

import (
	"errors"
	"syscall"
	"unsafe"
)

func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), p)
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), no
		}
	}
}

// sysWritev writes the first buffer of v: callers go on with the rest.
func sysWritev(fd uintptr, v []syscall.Iovec) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), unsafe.Slice(v[0].Base, v[0].Len))
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), no
		}
	}
}

func errno(err error) syscall.Errno {
	no, ok := errors.AsType[syscall.Errno](err)
	if err != nil && !ok {
		return syscall.EIO // package syscall has no other errors here
	}
	return no
}
