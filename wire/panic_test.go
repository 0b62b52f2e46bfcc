// A fault outside of any handler ends one connection, not the process.

package wire

import (
	"io"
	"testing"
)

func TestPanicOfTheWireEndsOneConnection(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, answering(2))
		other := s.dial()
		other.send("GET / HTTP/1.1\r\n") // half a head: the connection is served already
		close(s.handler.refused) // to tell it of a refused request panics from here on
		k := s.dial()
		k.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
		// Whether the refusal or the reset comes first is open; the end comes.
		_, _ = io.Copy(io.Discard, k.r)
		fresh := s.dial()
		fresh.send("GET / HTTP/1.1\r\n")
		for _, c := range []*client{other, fresh} {
			c.send("Host: a\r\n\r\n")
			c.expect("HTTP/1.1 200 OK\r\n")
		}
	})
}
