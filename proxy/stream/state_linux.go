// The state of a socket, without taking anything from it: bytes that wait hide an error from whoever only peeks at them.

package stream

import "syscall"

const canSeeResets = true

// tcpClose is TCP_CLOSE of the kernel's tcp_states.h: the state after a reset.
const tcpClose = 7

// hasReset reports whether the connection of a socket has failed. An end of the other side's direction is no failure.
func hasReset(fd uintptr) bool {
	// The first byte of struct tcp_info is the state. This is the call that copies as few as four bytes, and as bytes.
	info, err := syscall.GetsockoptInet4Addr(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	return err == nil && info[0] == tcpClose
}
