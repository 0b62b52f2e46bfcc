//go:build linux && !race && (amd64 || arm64)

// System calls on non-blocking sockets without telling the scheduler: they return at once, and telling it costs more than some of them do. They are
// those of sockets: read and write go by way of the file system's layer, which costs a tenth of a microsecond each.

package stream

import (
	"syscall"
	"unsafe"
)

// message is what receive gives to the kernel.
type message struct {
	head  syscall.Msghdr
	piece syscall.Iovec
}

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

// receive reads bytes into p and control messages into oob, and says how much of each.
func (f *rawFlow) receive(fd uintptr, p []byte) (n, noob int, no syscall.Errno) {
	m := &f.message
	m.piece.Base = &p[0]
	m.piece.SetLen(len(p))
	m.head.Iov, m.head.Iovlen, m.head.Control = &m.piece, 1, &f.oob[0]
	for {
		m.head.SetControllen(len(f.oob))
		got, _, no := syscall.RawSyscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&m.head)), 0)
		if no == syscall.EINTR {
			continue
		}
		m.piece.Base = nil // the buffer is not kept
		if no != 0 {
			return 0, 0, no
		}
		return int(got), int(m.head.Controllen), 0
	}
}

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

// sysAnnounce asks for TCP_INQ with what receive brings, and reports whether the kernel knows that.
func sysAnnounce(fd uintptr) bool {
	on := int32(1)
	_, _, no := syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.IPPROTO_TCP, tcpINQ, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
	return no == 0
}
