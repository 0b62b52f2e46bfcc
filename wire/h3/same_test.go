// The same request by HTTP/1 and by HTTP/3 reaches the handler as the same message (and by HTTP/2: see the test of wire/h2).

package h3

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/spoken"
	"github.com/wicketgate/wicketgate/wire"
)

// three is a request's frames, in pieces that are sent one by one.
func three(q *spoken.Request) (pieces [][]byte) {
	headers := func(lines []string) []byte {
		var fields []string
		for _, l := range lines {
			i := strings.Index(l[1:], ": ") + 1
			fields = append(fields, l[:i], l[i+2:])
		}
		return frame(frameHeaders, section(fields...))
	}
	pieces = append(pieces, headers(q.Lines("https")))
	for _, p := range q.Pieces {
		pieces = append(pieces, frame(frameData, []byte(p)))
	}
	if q.Body && len(q.Pieces) == 0 {
		pieces = append(pieces, frame(frameData, nil))
	}
	if len(q.Trailers) > 0 {
		pieces = append(pieces, headers(q.Trailers))
	}
	return pieces
}

func TestBothVersionsGiveTheSameMessage(t *testing.T) {
	first, third := make(chan spoken.Seen, 1), make(chan spoken.Seen, 1)
	one := wire.NewServer(wire.Options{Handler: &handler{serve: spoken.Witness(first)}})
	defer one.Close()
	c := start(t, spoken.Witness(third)).dial()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		q := spoken.Invent(r)
		client, server := net.Pipe()
		go one.ServeConn(server, netip.AddrPort{}, &wire.TLS{ServerName: "example.test"})
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := client.Write(q.One()); err != nil {
			t.Fatal(err)
		}
		s := c.open()
		pieces := three(&q)
		if r.IntN(2) == 0 {
			s.send(pieces[0])
			pieces = pieces[1:]
		}
		var rest []byte
		for _, p := range pieces {
			rest = append(rest, p...)
		}
		s.send(rest)
		s.end()
		a, b := <-first, <-third
		client.Close()
		if q.Body && !q.Length && q.Content() == "" && len(q.Trailers) == 0 {
			continue // what has no content and no length has no body, if its end is there
		}
		if a != b {
			t.Fatalf("seed %d: %+v\nHTTP/1: %+v\nHTTP/3: %+v", seed, q, a, b)
		}
		if got := s.fate(); got != "200" && got != "100" {
			t.Fatalf("seed %d: %+v: %s", seed, q, got)
		}
	}
}
