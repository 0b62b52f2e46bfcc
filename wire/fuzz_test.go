// Whatever bytes a client sends, the server survives, and both transports answer alike.

package wire

import (
	"errors"
	"io"
	"syscall"
	"testing"
)

func FuzzServer(f *testing.F) {
	for _, c := range smuggling {
		f.Add([]byte(c.in))
	}
	f.Add([]byte(get + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + chunkedHead + "3\r\nabc\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.0\r\n\r\n"))
	f.Add([]byte("HEAD http://a HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"))
	raw, portable := serve(f, Raw, Limits{}, echo), serve(f, Portable, Limits{}, echo)
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := talk(t, raw, in), talk(t, portable, in)
		if a != b {
			t.Fatalf("%q: raw answers\n%q, portable\n%q", in, a, b)
		}
	})
}

// talk sends everything, ends its side, and returns what was answered.
func talk(t *testing.T, s *testServer, in []byte) string {
	k := s.dialFor(t)
	defer k.Close()
	if _, err := k.Write(in); err != nil {
		t.Fatal(err)
	}
	_ = k.CloseWrite()
	out, err := io.ReadAll(k.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) { // more was sent than is ever read
		t.Fatalf("%q: %v, after %q", in, err, out)
	}
	for len(s.handler.refused) > 0 {
		<-s.handler.refused
	}
	return undated(string(out))
}
