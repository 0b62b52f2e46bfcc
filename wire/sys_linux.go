//go:build linux && !race

// System calls on non-blocking sockets, without telling the scheduler: they return at once, and telling it costs more than
// some of them do.

package wire

import (
	"syscall"
	"unsafe"
)

// sysRead reads into p, which is not empty. It never blocks: fd is a non-blocking socket.
func sysRead(fd uintptr, p []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, errnoError(e)
		}
	}
}

// sysWritev writes what v, which is not empty, describes. It never blocks. (A write to a reset socket gives EPIPE: the runtime ignores SIGPIPE there.)
func sysWritev(fd uintptr, v []syscall.Iovec) (int, error) {
	for {
		var n uintptr
		var e syscall.Errno
		if len(v) == 1 {
			n, _, e = syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(v[0].Base)), uintptr(v[0].Len))
		} else {
			n, _, e = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
		}
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, errnoError(e)
		}
	}
}

// errnoError makes an error of e; the usual one without allocating.
func errnoError(e syscall.Errno) error {
	if e == syscall.EAGAIN {
		return errAgain
	}
	return e
}
