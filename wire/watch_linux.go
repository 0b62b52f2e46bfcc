// Watching clients of slow requests: one epoll for all of them, in which a request's connection is entered once it has taken some 100 ms, so that quick
// requests pay nothing. The sweeper looks into it on its ticks.

package wire

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watches belongs to the sweeper.
type watches struct {
	epoll  int // -1: not made yet
	last   uint64
	byID   map[uint64]*raw
	fresh  map[uint64]bool // entered on this tick
	events [128]syscall.EpollEvent
}

func newWatches() *watches {
	return &watches{epoll: -1, byID: make(map[uint64]*raw), fresh: make(map[uint64]bool)}
}

// arm enters the connection. What its first look shows came before: see collect.
func (t *raw) arm(w *watches) bool {
	if w.epoll < 0 {
		var err error
		if w.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
			w.epoll = -1
			return false
		}
	}
	op, known := syscall.EPOLL_CTL_MOD, t.watchID != 0
	if !known {
		op = syscall.EPOLL_CTL_ADD
		w.last++
		t.watchID = w.last
	}
	if err := t.enter(w, op, syscall.EPOLLRDHUP); err != nil {
		if !known {
			t.watchID = 0
		}
		return false
	}
	w.byID[t.watchID] = t
	w.fresh[t.watchID] = true
	return true
}

// enter adds or changes the entry, to report once. Errors and hang-ups are always reported.
func (t *raw) enter(w *watches, op int, events uint32) error {
	e := syscall.EpollEvent{
		Events: events | syscall.EPOLLONESHOT,
		Fd:     int32(uint32(t.watchID)), Pad: int32(uint32(t.watchID >> 32)),
	}
	var result error
	err := t.rc.Control(func(fd uintptr) { result = syscall.EpollCtl(w.epoll, op, int(fd), &e) })
	if err != nil {
		return err
	}
	return result
}

// collect tells those whose clients have left. A connection that was entered on this tick and reports the end of the client's
// stream already had it: if it came together with the request, the client has only half-closed and waits for the answer, and from
// then on the whole connection's end counts. If it came later, the client has left.
func (w *watches) collect() {
	if w.epoll < 0 {
		return
	}
	for n := len(w.events); n == len(w.events); {
		var err error
		if n, err = syscall.EpollWait(w.epoll, w.events[:], 0); err != nil {
			break
		}
		for i := range max(n, 0) {
			e := &w.events[i]
			id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
			if t := w.byID[id]; t != nil {
				w.report(t, e.Events, w.fresh[id])
			}
		}
	}
	clear(w.fresh)
}

func (w *watches) report(t *raw, events uint32, fresh bool) {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.watch.armed: // of an exchange that is over
	case events&(syscall.EPOLLERR|syscall.EPOLLHUP) != 0 || !fresh || t.endedLater():
		c.watch.leave()
	default:
		_ = t.enter(w, syscall.EPOLL_CTL_MOD, 0) // fails only if the connection is being closed
	}
}

// aloneTime is how long after the last data an end must have come to be taken for one that did not belong to it.
const aloneTime = 50 * time.Millisecond

// endedLater reports whether the end of the client's stream came some time after its last data. The kernel keeps when the last data and when the last
// acknowledgement came, and a segment that only ends the stream is one of the latter.
func (t *raw) endedLater() bool {
	later := false
	_ = t.rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		gap := time.Duration(int64(info.Last_data_recv)-int64(info.Last_ack_recv)) * time.Millisecond
		later = gap > aloneTime
	})
	return later
}

// forget drops connections that were closed; the kernel has already.
func (w *watches) forget() {
	for id, t := range w.byID {
		if t.c.done.Load() {
			delete(w.byID, id)
		}
	}
}

func (w *watches) close() {
	if w.epoll >= 0 {
		_ = syscall.Close(w.epoll)
	}
}

// hungUp peeks: no byte and no EAGAIN means that the client's end came in one edge with its last request.
func (t *raw) hungUp() bool {
	ended := false
	_ = t.rc.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return ended
}
