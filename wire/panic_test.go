// A fault outside of any handler ends one connection, not the process.

package wire

import (
	"io"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

// faulty is a handler that cannot be told of refused requests.
type faulty struct{ *funcHandler }

func (faulty) Refused(*Peer, int, error) { panic("a fault") }

func TestPanicOfTheWireEndsOneConnection(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := listen(t, mode, Limits{}, func(x Exchange) { _ = x.Respond(&message.Head{Status: 200}, nil) })
		s.Server.Close()
		s.Server = NewServer(Options{Handler: faulty{s.handler}, Transport: mode})
		s.conns.Go(s.accept)
		other := s.dial()
		other.send("GET / HTTP/1.1\r\n") // half a head: the connection is served already
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
