//go:build linux && (race || 386)

// System calls of the raw backend transport for the race detector (see sys_linux_race.go), and for 386, where calls on sockets have no numbers of their own.

package wire

import "syscall"

func sysWrite(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

func sysQuiet(fd uintptr) bool { return peekQuiet(fd) }
