// IO by raw system calls, within callbacks of a RawConn. One Receive is one RawConn.Read: a callback that returns false parks the goroutine until the
// poller sees an edge, and readiness that came while the callback ran is not missed. Each wake-up reads until there is nothing, so that an
// end which came in one edge with the last bytes is seen.

package wire

import (
	"net"
	"syscall"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

type rawIO struct {
	rc syscall.RawConn

	// The callbacks are made once; these are what they work on.
	readable, single, writable, attempt func(uintptr) bool

	space    func() []byte
	received func(int) bool
	pause    func()
	in       []byte
	read     int
	rerr     error

	out     []byte
	written int
	werr    error
}

// newRawIO returns nil if the connection has no descriptor of its own to work on.
func newRawIO(c net.Conn) IO {
	rc := plain(c)
	if rc == nil {
		return nil
	}
	t := &rawIO{rc: rc}
	t.readable, t.single, t.writable, t.attempt = t.onReadable, t.onSingle, t.onWritable, t.onAttempt
	return t
}

func (t *rawIO) Receive(space func() []byte, received func(n int) bool, pause func()) error {
	t.space, t.received, t.pause, t.rerr = space, received, pause, nil
	err := t.rc.Read(t.readable)
	t.space, t.received, t.pause = nil, nil, nil
	if err == nil {
		err = t.rerr
	}
	return err
}

// onReadable returns false to wait.
func (t *rawIO) onReadable(fd uintptr) bool {
	for {
		n, no := sysRead(fd, t.space())
		switch {
		case no == syscall.EAGAIN:
			t.pause()
			return false
		case no != 0 || n == 0:
			t.rerr = eofOr(no)
			return true
		}
		if !t.received(n) {
			return true
		}
	}
}

// Read implements direct. It must not be called while something receives.
func (t *rawIO) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.in, t.read, t.rerr = p, 0, nil
	err := t.rc.Read(t.single)
	t.in = nil
	if err == nil {
		err = t.rerr
	}
	return t.read, err
}

// onSingle returns false to wait.
func (t *rawIO) onSingle(fd uintptr) bool {
	n, no := sysRead(fd, t.in)
	if no == syscall.EAGAIN {
		return false
	}
	if t.read = n; n == 0 {
		t.rerr = eofOr(no)
	}
	return true
}

func (t *rawIO) Write(p []byte) (int, error) { return t.write(p, t.writable) }

func (t *rawIO) TryWrite(p []byte) (int, error) { return t.write(p, t.attempt) }

func (t *rawIO) write(p []byte, callback func(uintptr) bool) (int, error) {
	t.out, t.written, t.werr = p, 0, nil
	err := t.rc.Write(callback)
	t.out = nil
	if err == nil {
		err = t.werr
	}
	return t.written, err
}

// onWritable returns false to wait.
func (t *rawIO) onWritable(fd uintptr) bool {
	for t.written < len(t.out) {
		n, no := sysWrite(fd, t.out[t.written:])
		if no == syscall.EAGAIN {
			return false
		}
		if no != 0 {
			t.werr = no
			return true
		}
		t.written += n
	}
	return true
}

func (t *rawIO) onAttempt(fd uintptr) bool {
	t.onWritable(fd)
	return true
}

// plain gives access to the socket that a connection is; nil if it is something above one.
func plain(c net.Conn) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn, *proxyproto.Conn:
	default:
		return nil
	}
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}
