// The raw transport towards backends: system calls within the callbacks of a RawConn, which spare the read that would only say that
// there is nothing yet.
//
// Within one RawConn.Read the poller's readiness is consumed before the first callback and nothing that comes later is missed. So the first
// callback looks (MSG_PEEK), writes the request and returns false, which parks the goroutine; the second one reads the response. What came
// before the RawConn.Read is no longer announced, and that is what the look is for: bytes, or an end, that wait already would otherwise be
// slept over, or taken for the answer. For the same reason every other RawConn.Read begins by reading.
//
// A wait ends when a deadline of the connection passes; Cancel sets one in the past, and it stays there.

package wire

import (
	"io"
	"net"
	"syscall"
)

type rawBackend struct {
	rc syscall.RawConn

	// The callbacks are made once; these are what they work on.
	starter func(uintptr) bool
	in      *inbox
	out     *outbox // nil: written
	sent    int
	err     error
	filler  func(uintptr) bool
	wait    bool

	relayed inbox // of relay
}

// newRawBackend returns nil if the connection has no descriptor of its own to work on.
func newRawBackend(c net.Conn) backendIO {
	rc := plain(c)
	if rc == nil {
		return nil
	}
	t := &rawBackend{rc: rc}
	t.starter, t.filler = t.onStart, t.onFill
	return t
}

// quiet: start looks, where it has the descriptor anyway.
func (t *rawBackend) quiet() bool { return true }

func (t *rawBackend) start(in *inbox, out *outbox, wait bool) (int, error) {
	t.in, t.out, t.wait = in, out, wait
	t.sent, t.err = 0, nil
	err := t.rc.Read(t.starter)
	t.in, t.out = nil, nil
	if err == nil {
		err = t.err
	}
	return t.sent, err
}

// onStart returns false to wait for the response.
func (t *rawBackend) onStart(fd uintptr) bool {
	if t.out == nil {
		return t.onFill(fd)
	}
	if !sysQuiet(fd) {
		t.err = errStale
		return true
	}
	n, no := sysWrite(fd, t.out.bytes)
	if no != 0 && no != syscall.EAGAIN {
		t.err = no
		return true
	}
	if t.sent = n; n < len(t.out.bytes) {
		return true
	}
	t.out.release()
	t.out = nil
	return !t.wait
}

func (t *rawBackend) fill(in *inbox) error {
	t.in, t.err = in, nil
	err := t.rc.Read(t.filler)
	t.in = nil
	if err == nil {
		err = t.err
	}
	return err
}

func (t *rawBackend) relay(w io.Writer) (int, error) {
	defer t.relayed.release()
	if err := t.fill(&t.relayed); err != nil {
		return 0, err
	}
	return w.Write(t.relayed.bytes())
}

// onFill returns false to wait.
func (t *rawBackend) onFill(fd uintptr) bool {
	n, no := sysRead(fd, t.in.space())
	switch {
	case no == syscall.EAGAIN:
		t.in.idle()
		return false
	case no != 0:
		t.err = no
	case n == 0:
		t.err = io.EOF
	default:
		t.in.got(n)
	}
	return true
}
