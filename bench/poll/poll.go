//go:build linux

// Package poll is what the benchmark's backend and load generators share: non-blocking sockets around one epoll descriptor, driven
// by one thread with raw system calls, so that the two ends of a measurement cost less than any proxy between them.
package poll

import (
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// Loop waits for readiness. It belongs to one goroutine.
type Loop struct {
	epoll  int
	events []syscall.EpollEvent
}

// New makes a loop.
func New() (*Loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	return &Loop{epoll: fd, events: make([]syscall.EpollEvent, 256)}, nil
}

// Close ends the loop; descriptors that it watched stay open.
func (l *Loop) Close() { _ = syscall.Close(l.epoll) }

// Add watches fd for reading, and also for writing if write is true.
func (l *Loop) Add(fd int, write bool) error { return l.control(syscall.EPOLL_CTL_ADD, fd, write) }

// Change says anew what fd is watched for.
func (l *Loop) Change(fd int, write bool) error { return l.control(syscall.EPOLL_CTL_MOD, fd, write) }

func (l *Loop) control(op, fd int, write bool) error {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	if write {
		e.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(l.epoll, op, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// epollPwait2 is epoll_pwait2(2), which takes nanoseconds and has this number on every architecture.
const epollPwait2 = 441

// Wait returns what is ready, within the time given; a negative time waits for as long as it takes. The slice is valid until the next call.
func (l *Loop) Wait(d time.Duration) ([]syscall.EpollEvent, error) {
	var timeout *syscall.Timespec
	if d >= 0 {
		t := syscall.NsecToTimespec(int64(d))
		timeout = &t
	}
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(l.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(l.events))),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(timeout)), 0, 0)
	runtime.KeepAlive(timeout)
	if errno == syscall.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	return l.events[:n], nil
}

// Read is read(2), without telling the scheduler: the descriptor is non-blocking. It returns 0 at the end of the stream and an
// error number when nothing was read.
func Read(fd int, p []byte) (int, syscall.Errno) { return transfer(syscall.SYS_READ, fd, p) }

// Write is write(2) of the same kind.
func Write(fd int, p []byte) (int, syscall.Errno) { return transfer(syscall.SYS_WRITE, fd, p) }

func transfer(call uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

const flags = syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC

// Listen opens a listening socket.
func Listen(addr netip.AddrPort) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|flags, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, fmt.Errorf("setsockopt: %w", err)
	}
	if err := syscall.Bind(fd, sockaddr(addr)); err != nil {
		return 0, fmt.Errorf("bind %s: %w", addr, err)
	}
	if err := syscall.Listen(fd, 4096); err != nil {
		return 0, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// Accept takes a connection that waits, and reports whether there was one.
func Accept(listener int) (int, bool) {
	fd, _, err := syscall.Accept4(listener, flags)
	if err != nil {
		return 0, false
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	return fd, true
}

// Connect begins a connection; what is written before it is established meets EAGAIN.
func Connect(addr netip.AddrPort) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|flags, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err := syscall.Connect(fd, sockaddr(addr)); err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return fd, nil
}

// Datagrams opens a UDP socket with large buffers: bound to addr, or, if remote is true, to a port of the system's choice and with addr
// as its peer.
func Datagrams(addr netip.AddrPort, remote bool) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|flags, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<20)
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<20)
	join := syscall.Bind
	if remote {
		join = syscall.Connect
	}
	if err := join(fd, sockaddr(addr)); err != nil {
		_ = syscall.Close(fd)
		return 0, fmt.Errorf("address %s: %w", addr, err)
	}
	return fd, nil
}

func sockaddr(addr netip.AddrPort) syscall.Sockaddr {
	return &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
}
