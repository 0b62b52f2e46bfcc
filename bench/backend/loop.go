//go:build linux

// The event loop: accepts, reads, lets the connection's session answer, and waits for writability only when an answer did not fit.

package main

import (
	"net/netip"
	"syscall"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// maxConns bounds file descriptors, which index the table of connections.
const maxConns = 1 << 17

// session is one connection's protocol.
type session interface {
	// receive takes what arrived (all bytes that are not consumed yet) and says how many bytes of it are done with. What is to be
	// sent goes to w. An error ends the connection.
	receive(p []byte, w *writer) (int, error)
	// more is asked when everything was sent, for those who send without being asked.
	more(w *writer)
}

// writer is what a connection has to send: slices that are not copied, since sessions hand in prepared ones.
type writer struct{ queue [][]byte }

func (w *writer) send(p []byte) { w.queue = append(w.queue, p) }

// conn is one connection.
type conn struct {
	session session
	in      []byte // what the session did not consume
	out     writer
	waits   bool // for writability
}

type loop struct {
	*poll.Loop
	listener int
	conns    [maxConns]*conn
	open     func() session
	buffer   [1 << 18]byte
}

// serve listens on addr and answers until something that it needs fails.
func serve(addr netip.AddrPort, open func() session) error {
	p, err := poll.New()
	if err != nil {
		return err
	}
	l := &loop{Loop: p, open: open}
	if l.listener, err = poll.Listen(addr); err != nil {
		return err
	}
	if err := l.Add(l.listener, false); err != nil {
		return err
	}
	for {
		events, err := l.Wait(-1)
		if err != nil {
			return err
		}
		for _, e := range events {
			l.handle(int(e.Fd))
		}
	}
}

func (l *loop) handle(fd int) {
	if fd == l.listener {
		l.accept()
		return
	}
	c := l.conns[fd]
	if c == nil || (c.waits && !l.flush(fd, c)) || c.waits {
		return
	}
	n, errno := poll.Read(fd, l.buffer[:])
	if n == 0 {
		if errno != syscall.EAGAIN {
			l.close(fd)
		}
		return
	}
	p := l.buffer[:n]
	if len(c.in) > 0 {
		p = append(c.in, p...)
	}
	done, err := c.session.receive(p, &c.out)
	if err != nil {
		l.close(fd)
		return
	}
	c.in = append(c.in[:0], p[done:]...)
	l.flush(fd, c)
}

func (l *loop) accept() {
	for {
		fd, ok := poll.Accept(l.listener)
		if !ok {
			return
		}
		if fd >= maxConns || l.Add(fd, false) != nil {
			_ = syscall.Close(fd)
			continue
		}
		l.conns[fd] = &conn{session: l.open()}
	}
}

func (l *loop) close(fd int) {
	l.conns[fd] = nil
	_ = syscall.Close(fd)
}

// flush sends what is queued, or as much of it as fits, and reports whether the connection still lives.
func (l *loop) flush(fd int, c *conn) bool {
	for range 8 { // in turns with the other connections, even where there is always more
		for len(c.out.queue) > 0 {
			p := c.out.queue[0]
			n, errno := poll.Write(fd, p)
			if errno != 0 && errno != syscall.EAGAIN {
				l.close(fd)
				return false
			}
			if n < len(p) {
				c.out.queue[0] = p[n:]
				return l.wait(fd, c, true)
			}
			c.out.queue = c.out.queue[1:]
		}
		c.out.queue = nil
		if c.session.more(&c.out); c.out.queue == nil {
			return l.wait(fd, c, false)
		}
	}
	return l.wait(fd, c, true)
}

// wait sees to it that the connection is watched for writability exactly if it waits for that.
func (l *loop) wait(fd int, c *conn, write bool) bool {
	if c.waits == write {
		return true
	}
	c.waits = write
	if l.Change(fd, write) != nil {
		l.close(fd)
		return false
	}
	return true
}
