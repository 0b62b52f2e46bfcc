// Both implementations of IO, and connections that are read directly.

package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// connected returns both ends of a connection over TCP.
func connected(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	here, there = a.(*net.TCPConn), b.(*net.TCPConn)
	for _, c := range []*net.TCPConn{here, there} { // whatever this system's default is
		_ = c.SetReadBuffer(256 << 10)
		_ = c.SetWriteBuffer(256 << 10)
	}
	return here, there
}

// eachIO runs a test over what the system has and over the portable one.
func eachIO(t *testing.T, f func(t *testing.T, open func(net.Conn) IO)) {
	t.Run("this system's", func(t *testing.T) { f(t, NewIO) })
	t.Run("portable", func(t *testing.T) { f(t, func(c net.Conn) IO { return &portableIO{c} }) })
}

func TestIOReceives(t *testing.T) {
	eachIO(t, func(t *testing.T, open func(net.Conn) IO) {
		here, there := connected(t)
		// An end that comes together with the bytes before it must be seen, without anything else that happens on the connection.
		if _, err := there.Write([]byte("to the end")); err != nil {
			t.Fatal(err)
		}
		_ = there.CloseWrite()
		var buf [4]byte
		var got []byte
		space := func() []byte { return buf[:] }
		err := open(here).Receive(space, func(n int) bool {
			got = append(got, buf[:n]...)
			return len(got) != 4
		}, func() {})
		if err != nil || string(got) != "to t" {
			t.Fatalf("stopped with %q, %v", got, err)
		}
		err = open(here).Receive(space, func(n int) bool {
			got = append(got, buf[:n]...)
			return true
		}, func() {})
		if !errors.Is(err, io.EOF) || string(got) != "to the end" {
			t.Errorf("received %q, %v", got, err)
		}
	})
}

// TestIOHoldsNoMemoryWhileItWaits takes away what was lent whenever IO pauses.
func TestIOHoldsNoMemoryWhileItWaits(t *testing.T) {
	here, there := connected(t)
	raw := newRawIO(here)
	if raw == nil {
		t.Skip("there is no raw IO here")
	}
	paused := make(chan struct{}, 1)
	var lent []byte
	var got []byte
	done := make(chan error, 1)
	go func() {
		done <- raw.Receive(func() []byte {
			if lent == nil {
				lent = make([]byte, 8)
			}
			return lent
		}, func(n int) bool {
			got = append(got, lent[:n]...)
			return true
		}, func() {
			clear(lent)
			lent = nil
			paused <- struct{}{}
		})
	}()
	for range 3 {
		<-paused
		if _, err := there.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
	}
	<-paused
	_ = there.Close()
	if err := <-done; !errors.Is(err, io.EOF) || string(got) != "abcabcabc" {
		t.Errorf("received %q, %v", got, err)
	}
}

func TestIOReceivingEndsAtTheDeadline(t *testing.T) {
	eachIO(t, func(t *testing.T, open func(net.Conn) IO) {
		here, there := connected(t)
		var buf [4]byte
		go func() { _, _ = there.Write([]byte("x")) }()
		err := open(here).Receive(func() []byte { return buf[:] }, func(int) bool {
			_ = here.SetReadDeadline(time.Unix(1, 0))
			return true
		}, func() {})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestIOWrites(t *testing.T) {
	eachIO(t, func(t *testing.T, open func(net.Conn) IO) {
		here, there := connected(t)
		w := open(here)
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		n, err := w.TryWrite(want) // far more than sockets hold
		if err != nil || n == len(want) {
			t.Fatalf("%d bytes left without waiting, %v", n, err)
		}
		done := startRead(there)
		if k, err := w.Write(want[n:]); k != len(want)-n || err != nil {
			t.Fatalf("wrote %d of %d, %v", k, len(want)-n, err)
		}
		_ = here.CloseWrite()
		if got := <-done; !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived of %d, or others", len(got), len(want))
		}
	})
}

func startRead(r io.Reader) <-chan []byte {
	done := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(r)
		done <- all
	}()
	return done
}

func TestIOWritingEndsAtTheDeadlineAndWithTheConnection(t *testing.T) {
	eachIO(t, func(t *testing.T, open func(net.Conn) IO) {
		here, there := connected(t)
		w := open(here)
		_ = here.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := w.Write(bytes.Repeat([]byte{0}, 16<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		_ = here.SetWriteDeadline(time.Time{})
		_ = there.SetLinger(0)
		_ = there.Close()
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
		}
	})
}

func TestDirectIsTheSameConnection(t *testing.T) {
	a, b := connected(t)
	here, there := Direct(a), Direct(b)
	go func() {
		_, _ = io.Copy(there, there)
		_ = there.(interface{ CloseWrite() error }).CloseWrite()
	}()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	done := startRead(here)
	if n, err := here.Write(want); n != len(want) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	_ = here.(interface{ CloseWrite() error }).CloseWrite()
	if got := <-done; !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back", len(got))
	}
	_ = here.SetReadDeadline(time.Unix(1, 0))
	if n, err := here.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v after the end", n, err)
	}
	if n, err := here.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
}
