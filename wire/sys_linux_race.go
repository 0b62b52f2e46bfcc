//go:build linux && race

// System calls on non-blocking sockets, for the race detector: it knows syscall.Read and syscall.Write, and would take what a raw system call
// writes for untouched memory.

package wire

import (
	"syscall"
	"unsafe"
)

func sysRead(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// sysWritev writes the first buffer of v: callers go on with the rest.
func sysWritev(fd uintptr, v []syscall.Iovec) (int, error) {
	for {
		n, err := syscall.Write(int(fd), unsafe.Slice(v[0].Base, v[0].Len))
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
