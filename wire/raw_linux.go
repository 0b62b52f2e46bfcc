// The raw transport: the whole life of a connection inside one callback of RawConn.Read.
//
// Returning false from the callback parks the goroutine until the runtime's poller has seen an edge, without the read that would say EAGAIN first. That
// is safe here because the poller's readiness was consumed before the callback ran, and whatever arrives later sets it again; a
// read that filled its space is repeated. Two cases need care:
//
//   - A fresh RawConn.Read discards readiness that came before it: its first callback always reads.
//   - Data and FIN that came in one edge: the read returns the data, and no further edge tells of the FIN. The sweeper looks once
//     after every connection that has become idle.
//
// Close waits for the callback to return, so it is never called inside; whoever wants the connection to end sets a past deadline.

package wire

import (
	"io"
	"syscall"
)

// raw implements transport.
type raw struct {
	c      *conn
	rc     syscall.RawConn
	within bool
	fd     uintptr // valid while within: the callback holds the descriptor
	next   verdict

	readable func(uintptr) bool // c.run's callback, made once
	watchID  uint64             // in the sweeper's epoll; 0: not there

	// of read
	fetch func(uintptr) bool
	limit int
	got   *buffer
	n     int
	rerr  error

	// of send
	flush   func(uintptr) bool
	parts   [3][]byte
	vec     [3]syscall.Iovec
	stalled bool
	werr    error
}

// newRaw returns nil if the connection has no descriptor of its own to work on.
func newRaw(c *conn) transport {
	rc := plain(c.nc)
	if rc == nil {
		return nil
	}
	t := &raw{c: c, rc: rc}
	t.readable, t.fetch, t.flush = t.onReadable, t.onFetch, t.onFlush
	return t
}

func (t *raw) inside() bool { return t.within }
func (t *raw) stop()        {}

func (t *raw) run() verdict {
	for {
		t.next = park
		err := t.rc.Read(t.readable)
		t.within = false
		switch {
		case t.next == leave:
			if !t.c.serve() || t.c.advance() == over {
				return over
			}
		case t.next == over || err == nil:
			return over
		default:
			if v := t.c.interrupted(err); v != park {
				return v
			}
		}
	}
}

// onReadable returns true to leave the callback.
func (t *raw) onReadable(fd uintptr) bool {
	t.within, t.fd = true, fd
	for {
		x := t.c.acquire()
		space := x.space()
		n, no := sysRead(fd, space)
		switch {
		case no == syscall.EAGAIN:
			t.c.relinquish()
			if t.c.lastRead {
				t.next = over
			}
			return t.c.lastRead
		case no != 0 || n == 0:
			t.c.ended(eofOr(no))
			t.next = over
			return true
		}
		if t.next = t.c.received(n); t.next != park {
			return true
		}
		if n < len(space) && !t.c.lastRead {
			return false
		}
	}
}

// eofOr is the error of a read that brought nothing.
func eofOr(no syscall.Errno) error {
	if no == 0 {
		return io.EOF
	}
	return no
}

func (t *raw) read(limit int) (*buffer, int, error) {
	t.limit, t.got, t.n, t.rerr = limit, nil, 0, nil
	if err := t.rc.Read(t.fetch); err != nil {
		return nil, 0, err
	}
	if t.rerr != nil {
		return nil, 0, t.rerr
	}
	return t.got, t.n, nil
}

// onFetch holds a buffer only while there is something to put into it.
func (t *raw) onFetch(fd uintptr) bool {
	b := getBuffer()
	n, no := sysRead(fd, b[:min(t.limit, bufferSize)])
	if n > 0 {
		t.got, t.n = b, n
		return true
	}
	putBuffer(b)
	if no == syscall.EAGAIN {
		return false
	}
	t.rerr = eofOr(no)
	return true
}

func (t *raw) relay(w io.Writer) (int, error) {
	b, n, err := t.read(bufferSize)
	if err != nil {
		return 0, err
	}
	defer putBuffer(b)
	return w.Write(b[:n])
}

// send writes at once where it is called within run's callback: that holds the descriptor, and what RawConn.Write adds to the system call is felt.
// It is needed to wait for a client that takes no more, and to notice deadlines, which are set in the past on a connection that is to end.
func (t *raw) send(a, b, c []byte) error {
	at := t.within && !t.c.closing.Load()
	if at && len(b)+len(c) == 0 {
		n, no := sysWrite(t.fd, a)
		switch {
		case no != 0 && no != syscall.EAGAIN:
			return no
		case n == len(a):
			return nil
		}
		a = a[n:]
	}
	t.parts = [3][]byte{a, b, c}
	t.werr, t.stalled = nil, false
	var err error
	if !at || !t.onFlush(t.fd) {
		err = t.rc.Write(t.flush)
	}
	t.parts = [3][]byte{}
	clear(t.vec[:])
	if t.stalled && t.c.begin(phaseServing, t.c.s.clock.Load()) && err == nil {
		err = errStalled
	}
	if err != nil {
		return err
	}
	return t.werr
}

// onFlush writes until everything is written or the socket takes no more.
func (t *raw) onFlush(fd uintptr) bool {
	for {
		n := 0
		for _, p := range t.parts {
			if len(p) > 0 {
				t.vec[n].Base = &p[0]
				t.vec[n].SetLen(len(p))
				n++
			}
		}
		if n == 0 {
			return true
		}
		written, no := sysWritev(fd, t.vec[:n])
		if no == syscall.EAGAIN {
			t.stalled = true
			if t.c.begin(phaseWriting, t.c.s.clock.Load()) {
				t.werr = errStalled
				return true
			}
			return false
		}
		if no != 0 {
			t.werr = no
			return true
		}
		for i := range t.parts {
			k := min(written, len(t.parts[i]))
			t.parts[i] = t.parts[i][k:]
			written -= k
		}
	}
}
