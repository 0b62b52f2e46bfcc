// What is said beside datagrams, and datagrams that the kernel has put together: read, sent on in one, and taken apart.

package datagram

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// hold makes message 0 of a batch one of n bytes, with something beside it.
func hold(b *batch, n int, beside []byte) {
	h := &b.messages[0].head
	b.messages[0].n = uint32(n)
	h.SetControllen(copy(b.controls[0].bytes(), beside))
}

// together is what the kernel says beside datagrams of a size that it has put together.
func together(size uint32) []byte {
	return appendControl(nil, unix.SOL_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, size))
}

func TestWhatIsBesideADatagram(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.7").As16(), netip.MustParseAddr("2001:db8::7").As16()
	for name, c := range map[string]struct {
		beside  []byte
		n       int
		local   [16]byte
		segment int
	}{
		"nothing":                 {nil, 100, [16]byte{}, 0},
		"an address of IPv4":      {appendFrom(nil, true, four, 0), 100, four, 0},
		"an address of IPv6":      {appendFrom(nil, false, six, 3), 100, six, 0},
		"several in one":          {together(40), 100, [16]byte{}, 40},
		"one that is as large":    {together(100), 100, [16]byte{}, 0},
		"both":                    {appendFrom(together(40), false, six, 0), 100, six, 40},
		"what nobody has asked":   {append(appendControl(nil, unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 16)), together(9)...), 100, [16]byte{}, 9},
		"an address cut short":    {appendFrom(nil, true, four, 0)[:unix.CmsgLen(4)], 100, [16]byte{}, 0},
		"a length that cannot be": {bytes.Repeat([]byte{0xff}, controlSize), 100, [16]byte{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBatch(1, true)
			hold(b, c.n, c.beside)
			var local [16]byte
			if segment := b.beside(0, &local); segment != c.segment || local != c.local {
				t.Errorf("segments of %d, sent to %v", segment, netip.AddrFrom16(local))
			}
		})
	}
}

// Whatever is beside a datagram, segments are smaller than it and no memory but the message's is read.
func FuzzBeside(f *testing.F) {
	four := netip.MustParseAddr("192.0.2.7").As16()
	f.Add(append(appendFrom(nil, true, four, 0), together(40)...), uint16(100))
	f.Add(append(appendFrom(nil, false, four, 1), appendSegment(nil, 40)...), uint16(0))
	f.Add(bytes.Repeat([]byte{0xff}, controlSize), uint16(1))
	b := newBatch(1, true)
	f.Fuzz(func(t *testing.T, beside []byte, n uint16) {
		beside = beside[:min(len(beside), controlSize)]
		b.controls[0] = control{}
		hold(b, int(n), beside)
		var local, again [16]byte
		segment := b.beside(0, &local)
		if segment < 0 || segment > 0 && segment >= int(n) {
			t.Errorf("segments of %d in %d bytes", segment, n)
		}
		for i := range b.controls[0].bytes()[len(beside):] { // what an earlier message has left there
			b.controls[0].bytes()[len(beside)+i] = 0xa5
		}
		if b.beside(0, &again) != segment || again != local {
			t.Error("bytes after the message's have changed what it says")
		}
	})
}

// pieces are five datagrams of 100 bytes and a shorter one, in a row.
func pieces() (p []byte) {
	for i := range 6 {
		p = append(p, bytes.Repeat([]byte(fmt.Sprint(i)), 100)...)
	}
	return p[:530]
}

// Several datagrams of a client, in one: the endpoint gets each of them, whether or not the way there takes them in one.
func TestDatagramsPutTogetherReachTheEndpoint(t *testing.T) {
	g := open(t, Options{}, "127.0.0.1")
	got := make(chan string, 16)
	g.serve(g.to(collector(t, got)))
	c := dial(t, g.addr)
	if _, err := c.Write([]byte("begin")); err != nil {
		t.Fatal(err)
	}
	<-got
	for _, gso := range []bool{true, false} {
		g.socket.mu.Lock()
		for _, x := range g.socket.sessions {
			l := x.flow.link.(*rawLink)
			l.gso = gso
			g.socket.send(x, pieces(), 100)
		}
		g.socket.mu.Unlock()
		for rest := pieces(); len(rest) > 0; rest = rest[min(100, len(rest)):] {
			if text := <-got; text != string(rest[:min(100, len(rest))]) {
				t.Errorf("gso %v: got %q", gso, text)
			}
		}
	}
	waitFor(t, "their count", func() bool { return g.counts("wicketgate_udp_datagrams_total", "in") == 1+2*6 })
}

// And the other way: answers that the kernel has put together, over a socket that can take them apart and one that cannot.
func TestAnswersPutTogetherReachTheClient(t *testing.T) {
	g := open(t, Options{}, "::")
	g.serve(g.to(echo(t, "")))
	c := dial(t, g.addr)
	ask(t, c, "begin")
	var l *rawLink
	g.socket.mu.Lock()
	for _, x := range g.socket.sessions {
		l = x.flow.link.(*rawLink)
	}
	g.socket.mu.Unlock()
	for _, gso := range []bool{true, false} {
		a := &answers{raw: l.raw, in: newBatch(outBatch, true), out: newBatch(outBatch, false), gso: gso}
		copy(a.in.buffers, pieces())
		hold(a.in, len(pieces()), together(100))
		a.take(l)
		a.flush()
		for rest := pieces(); len(rest) > 0; rest = rest[min(100, len(rest)):] {
			if text := hear(t, c); text != string(rest[:min(100, len(rest))]) {
				t.Errorf("gso %v: heard %q", gso, text)
			}
		}
	}
	waitFor(t, "their count", func() bool { return g.counts("wicketgate_udp_datagrams_total", "out") == 1+2*6 })
}
