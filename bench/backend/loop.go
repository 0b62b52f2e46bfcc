//go:build linux

// The event loop: accepts, reads heads, writes prepared answers, and waits for writability only when an answer did not fit.

package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"
)

// maxConns bounds file descriptors, which index the table of connections.
const maxConns = 1 << 16

// conn is one connection. It is made once a descriptor and reused with it.
type conn struct {
	in   [8192]byte
	n    int    // bytes in hand
	rest []byte // what is left of an answer that did not fit into the socket's buffer
}

// loop owns everything; one thread runs it.
type loop struct {
	epoll, listener int
	conns           [maxConns]*conn
	small, large    []byte
}

// answer makes a whole response with a body of the given length.
func answer(length int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", length)
	return append([]byte(head), bytes.Repeat([]byte{'x'}, length)...)
}

// serve listens on addr and answers until something that it needs fails.
func serve(addr netip.AddrPort) error {
	l := &loop{small: answer(128), large: answer(64 << 10)}
	var err error
	if l.listener, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err = syscall.SetsockoptInt(l.listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("setsockopt: %w", err)
	}
	if err = syscall.Bind(l.listener, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return fmt.Errorf("bind %s: %w", addr, err)
	}
	if err = syscall.Listen(l.listener, 4096); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	if err = l.watch(syscall.EPOLL_CTL_ADD, l.listener, syscall.EPOLLIN); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return l.run()
}

func (l *loop) watch(op, fd int, events uint32) error {
	return syscall.EpollCtl(l.epoll, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

func (l *loop) run() error {
	events := make([]syscall.EpollEvent, 256)
	for {
		n, err := syscall.EpollWait(l.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range max(n, 0) {
			fd := int(events[i].Fd)
			switch {
			case fd == l.listener:
				l.accept()
			case l.conns[fd].rest != nil:
				l.resume(fd)
			default:
				l.read(fd)
			}
		}
	}
}

func (l *loop) accept() {
	for {
		fd, _, err := syscall.Accept4(l.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		if fd >= maxConns || syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) != nil {
			_ = syscall.Close(fd)
			continue
		}
		if l.conns[fd] == nil {
			l.conns[fd] = new(conn)
		}
		l.conns[fd].n, l.conns[fd].rest = 0, nil
		if l.watch(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN) != nil {
			_ = syscall.Close(fd)
		}
	}
}

var endOfHead = []byte("\r\n\r\n")

// read takes what has arrived and answers every whole head in it.
func (l *loop) read(fd int) {
	c := l.conns[fd]
	n, errno := transfer(syscall.SYS_READ, fd, c.in[c.n:])
	if n <= 0 {
		if n == 0 || errno != syscall.EAGAIN {
			_ = syscall.Close(fd)
		}
		return
	}
	c.n += n
	for c.rest == nil {
		end := bytes.Index(c.in[:c.n], endOfHead)
		if end < 0 {
			break
		}
		response := l.small
		if line := bytes.IndexByte(c.in[:end], '\r'); line > 0 && bytes.Contains(c.in[:line], []byte("/64k")) {
			response = l.large
		}
		c.n = copy(c.in[:], c.in[end+len(endOfHead):c.n])
		if !l.write(fd, response) {
			return
		}
	}
	if c.n == len(c.in) {
		_ = syscall.Close(fd)
	}
}

// write sends an answer or as much of it as fits, and reports whether the connection still lives.
func (l *loop) write(fd int, p []byte) bool {
	n, errno := transfer(syscall.SYS_WRITE, fd, p)
	if n < 0 && errno != syscall.EAGAIN {
		_ = syscall.Close(fd)
		return false
	}
	if n = max(n, 0); n < len(p) {
		l.conns[fd].rest = p[n:]
		return l.watch(syscall.EPOLL_CTL_MOD, fd, syscall.EPOLLOUT) == nil
	}
	return true
}

// resume goes on with an answer that did not fit, and afterwards with requests that arrived meanwhile.
func (l *loop) resume(fd int) {
	c := l.conns[fd]
	n, errno := transfer(syscall.SYS_WRITE, fd, c.rest)
	if n < 0 {
		if errno != syscall.EAGAIN {
			c.rest = nil
			_ = syscall.Close(fd)
		}
		return
	}
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
		_ = l.watch(syscall.EPOLL_CTL_MOD, fd, syscall.EPOLLIN)
	}
}

// transfer is read(2) or write(2) on a non-blocking descriptor, without telling the scheduler: it never waits.
func transfer(call uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), 0
}
