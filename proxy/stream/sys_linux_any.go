//go:build linux && (race || !(amd64 || arm64))

// System calls of package syscall: for the race detector, which knows what they write, and for the rarer processors.

package stream

import "syscall"

// message is what receive needs elsewhere.
type message struct{}

func sysRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(int(fd), p)
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), no
		}
	}
}

// receive reads bytes into p and control messages into oob, and says how much of each.
func (f *rawFlow) receive(fd uintptr, p []byte) (n, noob int, no syscall.Errno) {
	for {
		n, noob, _, _, err := syscall.Recvmsg(int(fd), p, f.oob[:], 0)
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), noob, no
		}
	}
}

func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), p)
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), no
		}
	}
}

// sysAnnounce asks for TCP_INQ with what receive brings, and reports whether the kernel knows that.
func sysAnnounce(fd uintptr) bool {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpINQ, 1) == nil
}
