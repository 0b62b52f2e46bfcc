//go:build linux && (race || 386)

// System calls of the raw backend transport for the race detector (see sys_linux_race.go), and for 386, where calls on sockets have no numbers of their own.

package wire

import "syscall"

func sysWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), p)
		if no := errno(err); no != syscall.EINTR {
			return max(n, 0), no
		}
	}
}

func sysQuiet(fd uintptr) bool { return peekQuiet(fd) }
