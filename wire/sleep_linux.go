// The sleepers: sockets of connections that rest, in one epoll descriptor that the runtime's poller knows, so that waiting for all of them takes one
// goroutine and no thread.

package wire

import (
	"os"
	"sync"
	"syscall"
)

// sleepers belong to one run of the sweeper. Entries are reported once, by level: what arrived before the entry is reported, too. The lock of a
// connection is taken before theirs.
type sleepers struct {
	mu     sync.Mutex
	epoll  int
	file   *os.File // of epoll; nil: not made yet
	last   uint64
	byID   map[uint64]*conn // an id is never used again, as descriptors are
	events [128]syscall.EpollEvent
}

func newSleepers() *sleepers { return &sleepers{byID: make(map[uint64]*conn)} }

// enter has c woken when there is something to read, and reports whether it could.
func (s *sleepers) enter(c *conn, socket syscall.RawConn) (id uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil && s.open() != nil {
		return 0, false
	}
	s.last++
	id = s.last
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	var failed error
	if err := socket.Control(func(fd uintptr) { failed = syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, int(fd), &e) }); err != nil || failed != nil {
		return 0, false
	}
	s.byID[id] = c
	return id, true
}

// leave takes back an entry, whether it was reported or not.
func (s *sleepers) leave(id uint64, socket syscall.RawConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
	if socket != nil { // else it is closed, and the kernel has forgotten it
		_ = socket.Control(func(fd uintptr) { _ = syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_DEL, int(fd), nil) })
	}
}

// open makes the descriptor and the goroutine that looks into it. The caller holds mu.
func (s *sleepers) open() error {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(epoll, true); err != nil {
		_ = syscall.Close(epoll)
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(epoll), "resting-connections")
	polled, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return err
	}
	s.epoll, s.file = epoll, file
	go func() {
		_ = polled.Read(func(uintptr) bool { // ends when file is closed
			s.collect()
			return false
		})
	}()
	return nil
}

// collect wakes those about whom there is an event.
func (s *sleepers) collect() {
	for n := len(s.events); n == len(s.events); {
		var err error
		for n, err = syscall.EpollWait(s.epoll, s.events[:], 0); err == syscall.EINTR; {
			n, err = syscall.EpollWait(s.epoll, s.events[:], 0)
		}
		for i := range max(n, 0) {
			e := &s.events[i]
			s.report(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
	}
}

// report wakes the connection that sleeps under id, if it still does.
func (s *sleepers) report(id uint64) {
	s.mu.Lock()
	c := s.byID[id]
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asleep == id {
		c.wake()
	}
}

// close ends the goroutine. Nobody sleeps any more.
func (s *sleepers) close() {
	s.mu.Lock()
	file := s.file
	s.mu.Unlock()
	if file != nil {
		_ = file.Close()
	}
}
