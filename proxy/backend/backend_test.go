// What the tests of this package share: scripted servers, request bodies, a client that may leave.

package backend

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// transports runs a test on both, and looks for goroutines left behind.
func transports(t *testing.T, f func(t *testing.T, o Options)) {
	for _, portable := range []bool{false, true} {
		name := "raw"
		if portable {
			name = "portable"
		}
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			f(t, Options{Dial: dialTCP, Portable: portable, IdleTimeout: 4 * time.Second})
			patient.NoLeak(t, before)
		})
	}
}

// server is a backend whose connections are scripted one by one.
type server struct {
	addr netip.AddrPort
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen []string // request heads
}

// serve runs each connection's script with its number. It is closed with the test.
func serve(t testing.TB, script func(s *server, n int, c net.Conn, in *bufio.Reader)) *server {
	t.Helper()
	return serveOn(t, "tcp", "127.0.0.1:0", script)
}

// serveOn does it on another address, perhaps that of a Unix socket.
func serveOn(t testing.TB, network, address string, script func(s *server, n int, c net.Conn, in *bufio.Reader)) *server {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{l: l}
	s.addr, _ = netip.ParseAddrPort(l.Addr().String()) // a socket has none
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				script(s, n, c, bufio.NewReader(c))
			})
		}
	})
	return s
}

func (s *server) close() {
	s.l.Close()
	s.wg.Wait()
}

// head reads a request's head; "" at the end.
func (s *server) head(in *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return ""
		}
		b.WriteString(line)
		if line == "\r\n" {
			s.mu.Lock()
			s.seen = append(s.seen, b.String())
			s.mu.Unlock()
			return b.String()
		}
	}
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// polite answers every request.
func polite(s *server, _ int, c net.Conn, in *bufio.Reader) {
	for s.head(in) != "" {
		if _, err := io.WriteString(c, hello); err != nil {
			return
		}
	}
}

// refusing is an address that refuses connections.
func refusing(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// ask does a whole exchange and returns the body, or the error.
func ask(b *Backend, req *message.Head, body message.Body, t Timeouts, res *Response) (string, error) {
	if err := b.RoundTrip(nil, req, body, t, res); err != nil {
		return "", err
	}
	defer res.Finish()
	var all strings.Builder
	for res.Body != nil {
		p, err := res.Body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(p)
	}
	return all.String(), nil
}

// result is the Result of an error; 255 if it has none.
func result(err error) Result {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Result
	}
	return 255
}

func acquire(o Options, endpoints ...netip.AddrPort) *Backend {
	return NewRegistry(o).Acquire(Config{Key: "k", Endpoints: endpoints, Loopback: true})
}

// content is a request body: all in hand, or not.
type content struct {
	p     string
	part  bool
	given bool
}

func (b *content) InHand() ([]byte, bool) {
	if b.part || b.given {
		return nil, b.given
	}
	return []byte(b.p), true
}

func (b *content) Next() ([]byte, error) {
	if b.given {
		return nil, io.EOF
	}
	b.given = true
	return []byte(b.p), nil
}
func (*content) Trailers() *message.Fields { return nil }
func (*content) Stop(message.Reason)       {}

func post(method string, n int) *message.Head {
	h := get("/")
	h.Method, h.Length = []byte(method), int64(n)
	return h
}

// client is an exchange of a client that may leave.
type client struct {
	wire.Exchange
	ctx context.Context // what it hands out

	mu   sync.Mutex
	kill wire.Canceller
}

func (x *client) Context() context.Context { return x.ctx }
func (x *client) Watch(c wire.Canceller) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kill = c
}

func (x *client) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.kill != nil {
		x.kill.Cancel(message.ClientGone)
	}
}
