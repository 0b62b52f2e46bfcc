//go:build linux && !race && !386

// System calls on non-blocking sockets, without telling the scheduler: they return at once, and telling it costs more than
// some of them do. They are those of sockets: read and write go by way of the file system's layer, which costs a tenth of a microsecond each.

package wire

import (
	"syscall"
	"unsafe"
)

// sysRead reads into p, which is not empty. It never blocks: fd is a non-blocking socket.
func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, no := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		if no == 0 {
			return int(n), 0
		}
		if no != syscall.EINTR {
			return 0, no
		}
	}
}

// sysWritev writes what v, which is not empty, describes. It never blocks. (A write to a reset socket gives EPIPE: the runtime ignores SIGPIPE there.)
func sysWritev(fd uintptr, v []syscall.Iovec) (int, syscall.Errno) {
	if len(v) == 1 {
		return sysWrite(fd, unsafe.Slice(v[0].Base, v[0].Len))
	}
	for {
		n, _, no := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)))
		if no == 0 {
			return int(n), 0
		}
		if no != syscall.EINTR {
			return 0, no
		}
	}
}
