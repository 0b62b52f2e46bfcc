// The way back: from the sessions' sockets to the clients.

package datagram

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// answers is what the second goroutine works with.
type answers struct {
	*raw
	events [events]unix.EpollEvent
	ready  []*rawLink // of one round
	again  []*rawLink // that have more
	in     *batch     // answers as they were read
	out    *batch     // the same as they are sent
	of     [outBatch]*rawLink
	sizes  [outBatch]int // of the segments of each; 0: it is one datagram
	n      int           // of these
	gso    bool          // our socket can send many datagrams in one
}

// giveBack is the second goroutine. Deadlines make it look after the sessions between its rounds.
func (r *raw) giveBack() {
	a := &answers{raw: r, in: newBatch(outBatch, true), out: newBatch(outBatch, false), gso: true}
	defer a.bury()
	for {
		err := r.polled.Read(func(uintptr) bool {
			for a.round() && !r.ended() {
			}
			return false
		})
		a.bury()
		if r.ended() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		r.next(r.socket.sweep())
		a.bury()
	}
}

func (r *raw) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// next sets the next deadline, or none if there is nothing to look after.
func (r *raw) next(left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if r.ticks = left; left {
		_ = r.file.SetReadDeadline(time.Now().Add(r.socket.server.tick))
		return
	}
	_ = r.file.SetReadDeadline(time.Time{})
}

// bury closes the sockets of links that are not used any more. No event of theirs is known.
func (a *answers) bury() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.dead {
		a.links[l.fd] = nil
		_ = unix.Close(l.fd)
	}
	clear(a.dead)
	a.dead = a.dead[:0]
}

// round reads from the sessions that have something, sends it, and reports whether there may be more.
func (a *answers) round() bool {
	n, err := unix.EpollWait(a.epoll, a.events[:], 0)
	if err != nil {
		n = 0
	}
	a.ready = append(a.ready[:0], a.again...)
	a.again = a.again[:0]
	a.mu.Lock()
	for i := range n {
		if l := a.links[a.events[i].Fd]; l != nil && !l.waits && !l.gone.Load() {
			a.ready = append(a.ready, l)
		}
	}
	a.mu.Unlock()
	now := a.socket.server.now()
	for _, l := range a.ready {
		l.waits = false
		a.read(l, now)
	}
	a.flush()
	clear(a.ready)
	if n == events || len(a.again) > 0 {
		return true
	}
	a.buryMany()
	return false
}

// buryMany is bury for when that is worth it: under load nobody waits for a deadline.
func (a *answers) buryMany() {
	a.mu.Lock()
	many := len(a.dead) >= outBatch
	a.mu.Unlock()
	if many {
		a.bury()
	}
}

// read takes what a session's endpoint has sent.
func (a *answers) read(l *rawLink, now int64) {
	for range 2 {
		if outBatch-a.n < perSession {
			a.flush()
		}
		n, no := a.in.receive(l.fd, a.n, perSession, false)
		switch {
		case no == 0:
		case no == syscall.EAGAIN:
			return
		case unreachable(no):
			l.flow.lost(no)
			continue
		default:
			continue // it is told once
		}
		for range n {
			a.take(l)
		}
		l.flow.heard(now)
		l.fit(n)
		if n < perSession {
			return
		}
	}
	l.waits = true
	a.again = append(a.again, l)
}

// fit makes a socket with much to do fit for it.
func (l *rawLink) fit(n int) {
	if l.answers >= busy {
		return
	}
	if l.answers += n; l.answers < busy {
		return
	}
	for _, o := range [...][2]int{{unix.SO_RCVBUF, unix.SO_RCVBUFFORCE}, {unix.SO_SNDBUF, unix.SO_SNDBUFFORCE}} {
		if unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, o[1], sessionBuffer) != nil {
			_ = unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, o[0], sessionBuffer)
		}
	}
	_ = unix.SetsockoptInt(l.fd, unix.SOL_UDP, unix.UDP_GRO, 1)
}

// take makes a message to the client of the one that was read last.
func (a *answers) take(l *rawLink) {
	i := a.n
	a.n++
	a.of[i] = l
	var nowhere [16]byte
	segment := a.in.beside(i, &nowhere)
	m := &a.out.messages[i]
	m.head.Name, m.head.Namelen = nameOf(&l.name), l.nameLen
	a.out.pieces[i].Base = &a.in.buffers[i*slot]
	a.out.pieces[i].SetLen(int(a.in.messages[i].n))
	a.sizes[i] = segment
	beside := a.out.controls[i].bytes()[:0]
	beside = append(beside, l.beside...)
	if segment != 0 {
		beside = appendSegment(beside, segment)
	}
	m.head.Control = nil
	if len(beside) > 0 {
		m.head.Control = &beside[0]
	}
	m.head.SetControllen(len(beside))
}

// flush sends what was taken. What the system does not send is dropped; while it only has no room for more, it is waited for.
func (a *answers) flush() {
	for at := 0; at < a.n; {
		end := at
		for end < a.n && (a.gso || a.sizes[end] == 0) {
			end++
		}
		if end == at {
			a.split(at)
			at++
			continue
		}
		done, no := a.send(at, end-at)
		for i := at; i < at+done; i++ {
			a.of[i].flow.session.answeredWith(int(a.in.messages[i].n), a.sizes[i])
		}
		at += done
		switch {
		case no == 0:
		case a.sizes[at] != 0 && cannotSegment(no):
			a.gso = false // the interface there cannot; it is taken apart here
		default:
			a.socket.failed(a.of[at].flow.session, no)
			at++
		}
	}
	clear(a.of[:a.n])
	a.n = 0
}

// send sends n messages from at on.
func (a *answers) send(at, n int) (done int, no syscall.Errno) {
	if done, no = a.out.send(a.fd, at, n); no != syscall.EAGAIN {
		return done, no
	}
	err := a.conn.Write(func(fd uintptr) bool {
		done, no = a.out.send(int(fd), at, n)
		return no != syscall.EAGAIN
	})
	if err != nil && no == syscall.EAGAIN {
		no = syscall.EBADF // the socket is being closed
	}
	return done, no
}

// split sends the datagrams of a message one by one.
func (a *answers) split(at int) {
	l, size := a.of[at], a.sizes[at]
	m, piece := &a.out.messages[at], &a.out.pieces[at]
	m.head.Control = nil
	if len(l.beside) > 0 {
		m.head.Control = &l.beside[0]
	}
	m.head.SetControllen(len(l.beside))
	for rest := a.in.bytes(at); len(rest) > 0; {
		n := min(size, len(rest))
		piece.Base = &rest[0]
		piece.SetLen(n)
		if _, no := a.send(at, 1); no == 0 {
			l.flow.session.answeredWith(n, 0)
		} else {
			a.socket.failed(l.flow.session, no)
		}
		rest = rest[n:]
	}
}
