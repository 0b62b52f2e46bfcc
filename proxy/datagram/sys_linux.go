// Small system calls.

package datagram

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendOne sends a datagram on a connected socket; an empty one is one, too.
func sendOne(fd int, p []byte) error {
	var first unsafe.Pointer
	if len(p) > 0 {
		first = unsafe.Pointer(&p[0])
	}
	for {
		_, _, no := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(first), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch no {
		case 0:
			return nil
		case syscall.EINTR:
			continue
		}
		return no
	}
}

// cannotSegment reports whether datagrams could not be sent because they were sent in one: the interface or the way there does not take that.
func cannotSegment(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.EOPNOTSUPP)
}

// inet4 sees a name as one of IPv4.
func inet4(name *unix.RawSockaddrInet6) *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
}

// nameOf is a name as a message points to it.
func nameOf(name *unix.RawSockaddrInet6) *byte { return (*byte)(unsafe.Pointer(name)) }

// memDrops is the place of the count of drops in what SO_MEMINFO gives (linux/sock_diag.h).
const memDrops = 8

// socketDrops reads that count.
func socketDrops(fd int) (uint32, bool) {
	var info [memDrops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, no := syscall.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[memDrops], no == 0 && size == uint32(unsafe.Sizeof(info))
}
