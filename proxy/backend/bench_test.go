// The fast path: how long it takes, and that it does not allocate.

package backend

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

// answerer serves a fixed response to each request head, as cheaply as possible.
func answerer(tb testing.TB, response string) netip.AddrPort {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	answer := []byte(response)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					for range bytes.Count(buf[:n], []byte("\r\n\r\n")) {
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func dialTCP(ctx context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.String())
}

func get(path string) *message.Head {
	h := &message.Head{}
	h.Reset()
	h.Method, h.Scheme, h.Authority, h.Path = []byte("GET"), []byte("http"), []byte("shop.example.com"), []byte(path)
	h.Fields.Add([]byte("Accept"), []byte("*/*"))
	return h
}

const hello = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

// once sends a request whose answer is in hand with its head.
func once(tb testing.TB, b *Backend, req *message.Head, res *Response) {
	if err := b.RoundTrip(nil, req, nil, Timeouts{}, res); err != nil {
		tb.Fatal(err)
	}
	if p, all := res.Body.InHand(); !all || string(p) != "hello" {
		tb.Fatalf("in hand: %q, all %v", p, all)
	}
	res.Finish()
}

func BenchmarkRoundTrip(b *testing.B) {
	r := NewRegistry(Options{Dial: dialTCP})
	be := r.Acquire(Config{Key: "k", Endpoints: []netip.AddrPort{answerer(b, hello)}})
	defer be.Release()
	req, res := get("/"), &Response{}
	b.ReportAllocs()
	for b.Loop() {
		once(b, be, req, res)
	}
}

func TestFastPathDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, portable := range []bool{false, true} {
		r := NewRegistry(Options{Dial: dialTCP, Portable: portable})
		be := r.Acquire(Config{Key: "k", Endpoints: []netip.AddrPort{answerer(t, hello)}})
		defer be.Release()
		req, res := get("/"), &Response{}
		once(t, be, req, res)
		if n := testing.AllocsPerRun(500, func() { once(t, be, req, res) }); n != 0 {
			t.Errorf("portable %v: %v allocations a request, want none", portable, n)
		}
		if n := be.stats.Opened.Load(); n != 1 {
			t.Errorf("portable %v: %d connections opened, want 1", portable, n)
		}
	}
}
