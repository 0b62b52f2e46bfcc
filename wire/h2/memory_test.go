// Tests of what connections hold while they wait.

package h2

import (
	"net"
	"net/netip"
	"testing"
	"unsafe"
)

func TestAWaitingConnectionHoldsNoBuffer(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := newConn(NewServer(Options{}), near, netip.AddrPort{}, nil)
	defer c.release()
	holds := func(when string, want int) {
		t.Helper()
		got := 0
		if c.small != nil {
			got += int(unsafe.Sizeof(*c.small))
		}
		if c.big != nil {
			got += int(unsafe.Sizeof(*c.big))
		}
		if got != want {
			t.Fatalf("%s it holds %d bytes, not %d", when, got, want)
		}
	}
	room := func(when string, want int) {
		t.Helper()
		if got := len(c.space()); got != want {
			t.Fatalf("%s there is room for %d bytes, not %d", when, got, want)
		}
	}
	holds("from the beginning", 0)
	room("at first", smallBuffer)
	c.pause()
	holds("after a pause", 0)

	room("again", smallBuffer)
	c.n = copy(c.in, "a_part of a frame")
	c.pause()
	holds("with a part of a frame in hand", smallBuffer)
	room("behind that", smallBuffer-c.n)
	c.n, c.filled = len(c.in), true
	c.in[1] = 'b'
	room("behind a full buffer", readBuffer-smallBuffer)
	holds("behind a full buffer", readBuffer)
	if got := string(c.in[:6]); got != "abpart" {
		t.Fatalf("what was in hand is now %q", got)
	}

	c.n, c.filled, c.running = 0, false, 1
	c.pause()
	holds("while a body is arriving", 0)
	room("for the next part of a body", readBuffer)
	c.pause()
	c.running = 0
	room("for what comes after the body", readBuffer)
	c.filled = false
	c.pause()
	holds("at rest", 0)
	room("after that", smallBuffer)
}
