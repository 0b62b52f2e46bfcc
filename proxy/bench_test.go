// What a request costs from end to end.

package proxy

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// BenchmarkLoopback is a request through everything, over loopback, from a client to an origin that do nothing else: what it allocates is
// allocated by the gateway.
func BenchmarkLoopback(b *testing.B) {
	origin, front := listen(b), listen(b)
	go func() {
		for {
			c, err := origin.Accept()
			if err != nil {
				return
			}
			go answer(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		}
	}()
	var d net.Dialer
	p := New(Options{Registry: backend.NewRegistry(backend.Options{
		Dial: func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", origin.Addr().String())
		},
	})})
	defer p.Close()
	p.Swap(p.Compile(graphOf(b, "plain.yaml", plainYAML), nil))
	server := wire.NewServer(wire.Options{Handler: p})
	defer server.Close()
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c, anyOn80, nil)
		}
	}()
	request := []byte("GET /cart HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if n, err := c.Read(buf); err != nil || string(buf[n-2:n]) != "ok" {
				b.Errorf("%q %v", buf[:n], err)
				return
			}
		}
	})
}

// answer answers every request, of which each arrives in one piece after the other, with the same bytes.
func answer(c net.Conn, with []byte) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := c.Write(with); err != nil {
			return
		}
	}
}
