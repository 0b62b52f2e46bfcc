//go:build linux && !race && !386

// System calls of the raw backend transport; see sys_linux.go.

package wire

import (
	"syscall"
	"unsafe"
)

// sysWrite writes p, which is not empty, or a part of it. It never blocks.
func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, no := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
		if no == 0 {
			return int(n), 0
		}
		if no != syscall.EINTR {
			return 0, no
		}
	}
}

// sysQuiet reports whether a connected socket has nothing to be read, neither bytes nor an end nor an error.
func sysQuiet(fd uintptr) bool {
	var p [1]byte
	for {
		_, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if e != syscall.EINTR {
			return e == syscall.EAGAIN
		}
	}
}
