// Headers there and back, headers of others, and what is refused.

package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

func v2(command, family byte, rest string) string {
	return signature + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	tcp4 = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xca\x0c\x01\xbb"
	tcp6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xca\x0c\x01\xbb"
)

// sum appends a checksum value to a header of version 2.
func sum(header string) string {
	whole := []byte(header + "\x03\x00\x04\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(whole[14:], uint16(len(whole)-binaryHead))
	binary.BigEndian.PutUint32(whole[len(whole)-4:], crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)))
	return string(whole)
}

func TestReads(t *testing.T) {
	four := Header{Source: netip.MustParseAddrPort("192.0.2.7:51724"), Destination: netip.MustParseAddrPort("198.51.100.1:443")}
	six := Header{Source: netip.MustParseAddrPort("[2001:db8::1]:51724"), Destination: netip.MustParseAddrPort("[2001:db8::2]:443")}
	for in, want := range map[string]Header{
		"PROXY TCP4 192.0.2.7 198.51.100.1 51724 443\r\n":               {1, false, four.Source, four.Destination},
		"PROXY TCP6 2001:db8::1 2001:db8::2 51724 443\r\n":              {1, false, six.Source, six.Destination},
		"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 51724 443\r\n": {1, false, four.Source, four.Destination},
		"PROXY UNKNOWN\r\n":                          {Version: 1, Local: true},
		"PROXY UNKNOWN ffff::1 what ever 1 2\r\n":    {Version: 1, Local: true},
		v2(0x21, 0x11, tcp4):                         {2, false, four.Source, four.Destination},
		v2(0x21, 0x21, tcp6):                         {2, false, six.Source, six.Destination},
		v2(0x21, 0x11, tcp4+"\x02\x00\x03abc"):       {2, false, four.Source, four.Destination},
		sum(v2(0x21, 0x11, tcp4+"\xea\x00\x02hi")):   {2, false, four.Source, four.Destination},
		v2(0x20, 0x00, ""):                           {Version: 2, Local: true},
		v2(0x20, 0x11, "anything"):                   {Version: 2, Local: true},
		v2(0x21, 0x00, ""):                           {Version: 2, Local: true},
		v2(0x21, 0x31, strings.Repeat("/tmp/s", 36)): {Version: 2, Local: true},
	} {
		rest := strings.NewReader(in + "PROXY is data, too")
		for name, r := range map[string]io.Reader{"whole": rest, "byte by byte": iotest.OneByteReader(strings.NewReader(in))} {
			if got, err := Read(r); err != nil || got != want {
				t.Errorf("%q %s: %+v, %v; want %+v", in, name, got, err, want)
			}
		}
		if left, _ := io.ReadAll(rest); string(left) != "PROXY is data, too" {
			t.Errorf("%q: %q is left", in, left)
		}
	}
}

func TestRefuses(t *testing.T) {
	wrongSum := []byte(sum(v2(0x21, 0x11, tcp4)))
	wrongSum[17]++
	for in, want := range map[string]error{
		"":                                  io.EOF,
		"PROXY TCP4 1":                      io.ErrUnexpectedEOF,
		"PROXY TCP4 1.1.1.1":                io.ErrUnexpectedEOF,
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n": ErrMalformed,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdef": ErrMalformed,
		"proxy TCP4 192.0.2.7 198.51.100.1 51724 443\r\n":    ErrMalformed,
		"PROXY TCP5 192.0.2.7 198.51.100.1 51724 443\r\n":    ErrMalformed,
		"PROXY UDP4 192.0.2.7 198.51.100.1 51724 443\r\n":    ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 51724\r\n":        ErrMalformed,
		"PROXY TCP4  192.0.2.7 198.51.100.1 51724 443\r\n":   ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 51724 443 \r\n":   ErrMalformed,
		"PROXY TCP4 192.0.2.07 198.51.100.1 51724 443\r\n":   ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 051724 443\r\n":   ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 +1724 443\r\n":    ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n":    ErrMalformed,
		"PROXY TCP4 2001:db8::1 2001:db8::2 51724 443\r\n":   ErrMalformed,
		"PROXY TCP6 192.0.2.7 198.51.100.1 51724 443\r\n":    ErrMalformed,
		"PROXY TCP6 fe80::1%eth0 2001:db8::2 51724 443\r\n":  ErrMalformed,
		"PROXY TCP4 192.0.2.7 198.51.100.1 51724 443\n\r\n":  ErrMalformed,
		"PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n": ErrMalformed,
		v2(0x21, 0x11, tcp4[:11]):                            ErrMalformed,
		v2(0x21, 0x21, tcp4):                                 ErrMalformed,
		v2(0x21, 0x12, tcp4):                                 ErrMalformed,
		v2(0x22, 0x11, tcp4):                                 ErrMalformed,
		v2(0x11, 0x11, tcp4):                                 ErrMalformed,
		v2(0x21, 0x11, tcp4+"\x02\x00"):                      ErrMalformed,
		v2(0x21, 0x11, tcp4+"\x02\x00\x09abc"):               ErrMalformed,
		v2(0x21, 0x11, tcp4+"\x03\x00\x01a"):                 ErrMalformed,
		v2(0x21, 0x11, strings.Repeat("x", 5000)):            ErrMalformed,
		v2(0x21, 0x11, tcp4)[:20]:                            io.ErrUnexpectedEOF,
		signature + "\x21\x11\x00":                           io.ErrUnexpectedEOF,
		string(wrongSum):                                     ErrMalformed,
	} {
		if got, err := Read(strings.NewReader(in)); !errors.Is(err, want) {
			t.Errorf("%q: %+v, error %v; want %v", in, got, err, want)
		}
	}
}

// What is written is read as it was meant, also where families differ.
func TestThereAndBack(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, c := range [][2]string{
			{"192.0.2.7:51724", "198.51.100.1:443"},
			{"[2001:db8::1]:1", "[2001:db8::2]:65535"},
			{"192.0.2.7:1", "[2001:db8::2]:2"},
			{"[::ffff:192.0.2.7]:1", "192.0.2.8:2"},
		} {
			h := Header{Version: version, Source: netip.MustParseAddrPort(c[0]), Destination: netip.MustParseAddrPort(c[1])}
			got, err := Read(bytes.NewReader(h.Append(nil)))
			same := func(a, b netip.AddrPort) bool { return a.Addr().Unmap() == b.Addr().Unmap() && a.Port() == b.Port() }
			if err != nil || got.Local || got.Version != version || !same(got.Source, h.Source) || !same(got.Destination, h.Destination) {
				t.Errorf("%+v comes back as %+v, %v", h, got, err)
			}
		}
		got, err := Read(bytes.NewReader(Header{Version: version}.Append(nil)))
		if err != nil || !got.Local {
			t.Errorf("an unknown client comes back as %+v, %v", got, err)
		}
	}
}

func TestConn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c, ok := out.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP connection")
	}
	if NewConn(c, Header{Local: true}) != net.Conn(c) {
		t.Error("a connection that a proxy opened for itself has another address")
	}
	h := Header{Version: 1, Source: netip.MustParseAddrPort("192.0.2.7:51724"), Destination: netip.MustParseAddrPort("198.51.100.1:443")}
	client := NewConn(c, h)
	if client.RemoteAddr().String() != "192.0.2.7:51724" || client.LocalAddr() != c.LocalAddr() {
		t.Errorf("from %s to %s", client.RemoteAddr(), client.LocalAddr())
	}
	if got := Describe(client, 1); got != h {
		t.Errorf("passed on as %+v", got)
	}
	if got := Describe(c, 2); got.Local || got.Source.String() != l.Addr().String() {
		t.Errorf("described as %+v", got)
	}
}

// FuzzRead: whatever is taken for a header is one, and means the same after it was written again.
func FuzzRead(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 51724 443\r\nrest"))
	f.Add([]byte(sum(v2(0x21, 0x21, tcp6))))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		h, err := Read(r)
		pieces, again := Read(iotest.OneByteReader(bytes.NewReader(in)))
		if (err == nil) != (again == nil) || h != pieces {
			t.Fatalf("whole: %+v, %v; in pieces: %+v, %v", h, err, pieces, again)
		}
		if err != nil {
			return
		}
		if taken := len(in) - r.Len(); taken > binaryHead+maxBinary {
			t.Fatalf("%d bytes were taken", taken)
		}
		back, err := Read(bytes.NewReader(h.Append(nil)))
		if err != nil || back.Local != h.Local || back.Source.Port() != h.Source.Port() || back.Destination.Addr().Unmap() != h.Destination.Addr().Unmap() {
			t.Fatalf("%+v comes back as %+v, %v", h, back, err)
		}
	})
}
