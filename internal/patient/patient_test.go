// Tests of what tests wait with.

package patient

import (
	"net"
	"testing"
)

func TestArrivedTakesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	Arrived(t, a.(*net.TCPConn))
	var p [2]byte
	if n, err := a.Read(p[:]); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = b.(*net.TCPConn).SetLinger(0)
	_ = b.Close()
	Arrived(t, a.(*net.TCPConn))
	if _, err := a.Read(p[:]); err == nil {
		t.Error("the reset was taken")
	}
}

func TestNoLeakWaits(t *testing.T) {
	done := make(chan struct{})
	go func() { <-done }()
	go close(done)
	NoLeak(t)
}
